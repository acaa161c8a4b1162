"""Instructions made ready to run for a set of PEs: operands resolved, costs known, one call away.

What an instruction needs depends on the set and on the counters its expressions read;
it is prepared once for each and kept.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from meshrt.engines.batched.code_run import CodeRun
from meshrt.engines.batched.index_cache import IndexCache
from meshrt.engines.batched.operands import Diverges, Operands
from meshrt.engines.batched.pe_sets import PeSet, PeSets
from meshrt.engines.batched.prepare_arithmetic import Arithmetic
from meshrt.engines.batched.prepare_fabric import Fabric
from meshrt.engines.batched.prepared import Prepared
from meshrt.engines.batched.records import I32
from meshrt.engines.batched.sram import Sram
from meshrt.engines.batched.state import Tables
from meshrt.engines.loading.flatten import Execute
from meshrt.program.instructions import INSTRUCTIONS
from meshrt.program.model import Instruction, View
from meshrt.target import Target

#: Calls of one instruction that are kept; more than any loop nest of one model needs at once.
_KEPT = 4096


class Preparer:
    """Prepares instructions against one machine's state."""

    def __init__(
        self,
        tables: Tables,
        sram: Sram,
        index: IndexCache,
        target: Target,
        sets: PeSets,
    ):
        self._tables = tables
        self._sram = sram
        self._sets = sets
        self._operands = Operands(sram, index)
        self._arithmetic = Arithmetic(tables, sram, index, target, self._operands)
        self._fabric = Fabric(tables, sram, index, target, self._operands)

    def prepare(
        self, instruction: Instruction, number: int, pes: PeSet, counters: Mapping[str, int], handles: Mapping[str, int]
    ) -> list[Prepared]:
        """Calls that execute the instruction on all PEs of the set: one, or one per part where PEs diverge."""
        try:
            return [self._one(instruction, number, pes, counters, handles)]
        except Diverges as split:
            parts: list[Prepared] = []
            for value in np.unique(split.values):
                part = self._sets.intern(pes.region, pes.pes[split.values == value])
                parts += self.prepare(instruction, number, part, counters, handles)
            return parts

    def calls(self, run: CodeRun, at: int, counters: tuple[int, ...], pes: PeSet) -> list[Prepared]:
        """The calls of step ``at`` of a code, kept for the next time that it is executed with these counters."""
        key = (pes.number, *[counters[i] for i in run.reads[at]])
        kept = run.prepared[at]
        found = kept.get(key)
        if found is None:
            if len(kept) >= _KEPT:
                kept.clear()
            step = run.linear.steps[at]
            assert isinstance(step, Execute)
            bound = dict(zip(run.names[at], counters, strict=True))
            found = kept[key] = self.prepare(step.instruction, step.number, pes, bound, run.handles)
        return found

    def flags(self, view: View, pes: PeSet, counters: Mapping[str, int], line: int) -> np.ndarray:
        """The value of a one-element view on each PE: what an ``until`` ends on."""
        operand = self._operands.resolve(view, pes, counters, Instruction("until", line=line))
        if operand.row in self._sram.watched:
            self._sram.touch(self._tables.memory_at, pes, (operand.row,), (), False, Instruction("until", line=line))
        at = self._sram.addresses[operand.row, pes.pes] + operand.offsets
        return (self._tables.integers if operand.dtype == I32 else self._tables.memory)[at]

    def _one(self, instruction, number, pes, counters, handles) -> Prepared:
        if INSTRUCTIONS[instruction.opcode].group == "arithmetic":
            return self._arithmetic.prepare(instruction, pes, counters)
        return self._fabric.prepare(instruction, number, pes, counters, handles)
