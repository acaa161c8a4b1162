"""What compiled code asks about and counts by numbers: an instruction with the sizes and dtypes of its operands."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from meshrt.engines.loading.codes import DTYPES
from meshrt.program import cost
from meshrt.program.instructions import INSTRUCTIONS
from meshrt.program.model import Instruction
from meshrt.program.sram_traffic import arithmetic_bytes, fabric_bytes, gemm_bytes

_NAMES = tuple(DTYPES)


@dataclass(frozen=True, slots=True)
class Executed:
    """One execution on one PE: its events by cause (:mod:`meshrt.program.cost`) and its bytes of SRAM."""

    events: cost.Events
    sram_bytes: int

    @staticmethod
    def alike(instructions: Sequence[Instruction], key: Sequence[int]) -> tuple:
        """The same for all keys that :meth:`of` makes the same of: what it looks at."""
        call, _, *rest = key
        instruction = instructions[call]
        asynchronous = instruction.option("async") is not None
        return (instruction.opcode, asynchronous, instruction.option("vector"), *rest)

    @classmethod
    def of(cls, instructions: Sequence[Instruction], key: Sequence[int]) -> Executed:
        """By the key of an entry of the table of costs: call, row, dtypes, and four sizes.

        The sizes are the result's elements, those that a reduction reads and those that index a table; of a
        product batches, m, k and n.
        """
        call, _, packed, a, b, c, d = key
        instruction = instructions[call]
        opcode, spec = instruction.opcode, INSTRUCTIONS[instruction.opcode]
        dtypes = [_NAMES[number] for which in range(4) if (number := packed >> (3 * which) & 7) < len(_NAMES)]
        if opcode == "rotate":
            return cls({"issue_cycles": 1}, 0)
        if spec.cost == "fabric":
            asynchronous = instruction.option("async") is not None
            events = cost.fabric_events(opcode, a, dtypes[0], asynchronous)
            return cls(events, fabric_bytes(opcode, a, dtypes[0]))
        if spec.cost == "fma":
            vector = str(instruction.option("vector", "m"))
            events = cost.gemm_events(a, b, c, d, dtypes[0], dtypes[1], vector)
            return cls(events, gemm_bytes(a, b, c, d, dtypes[0], dtypes[1], dtypes[2], vector))
        elements = b if opcode in ("sum", "reduce_max") else a
        events = cost.element_events(spec.cost, elements, dtypes[0])
        if opcode in ("sum", "reduce_max"):
            touched = [(a, dtypes[0]), (b, dtypes[1])]
        elif opcode == "gather":
            # The rows that are read have as many elements as the result.
            touched = [(a, dtypes[0]), (a, dtypes[1]), (c, dtypes[2])]
        elif opcode == "fill":
            # Where only some elements are filled, all are looked at.
            touched = [(a, dtypes[0])]
        else:
            touched = [(a, dtype) for dtype in dtypes]
        return cls(events, arithmetic_bytes(touched))
