"""What an instruction does besides taking time: multiply-adds, other operations, and bytes of SRAM.

A :class:`Work` is that of one PE executing one instruction once. Engines sum it by
operation, and :mod:`meshrt.energy` prices it. As with cycles (:mod:`.cost`), the compiler's
estimates and the engines share these functions.

What is counted for ``n`` elements of a result:

=================== ============================= ==============================================
instruction         operations                    SRAM bytes
=================== ============================= ==============================================
product             one multiply-add per (m, k,   per vector operation of length l: l elements of
                    n) and batch                  one operand, one element of the other, and l
                                                  elements of the accumulator read and written
elementwise         one per element; divide, root every operand read, the result written
                    and special: one per cycle
move, fill, gather  none                          what is read and what is written
fabric              one per element that is       the buffer, once for each way that its role says
                    combined
=================== ============================= ==============================================
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING

from meshrt.program.cost import macs
from meshrt.program.instructions import INSTRUCTIONS
from meshrt.program.model import DTYPE_BYTES

if TYPE_CHECKING:
    from meshrt.target import Target

#: Times that an operand of a role passes between SRAM and the PE.
_PASSES = {"in": 1, "out": 1, "inout": 2}


@dataclass(frozen=True, slots=True)
class Work:
    """Multiply-adds of a kind (a key of ``mac_picojoules``), operations of a dtype, and bytes read and written."""

    mac_kind: str = ""
    macs: int = 0
    operation_dtype: str = ""
    operations: int = 0
    sram_bytes: int = 0

    def events(self) -> Iterable[tuple[str, int]]:
        """Counts by name, those of zero left out: ``mac.f16``, ``operation.f32``, ``sram_bytes``."""
        if self.macs:
            yield f"mac.{self.mac_kind}", self.macs
        if self.operations:
            yield f"operation.{self.operation_dtype}", self.operations
        if self.sram_bytes:
            yield "sram_bytes", self.sram_bytes


NO_WORK = Work()


def mac_kind(c_dtype: str, a_dtype: str) -> str:
    """The kind of a multiply-add: f16 into f32 is ``mixed``, else the operands' dtype."""
    return "mixed" if a_dtype == "f16" and c_dtype != "f16" else a_dtype


def product_work(
    batch: int, m: int, k: int, n: int, c_dtype: str, a_dtype: str, b_dtype: str, vector: str = "m"
) -> Work:
    """Work of ``gemm`` and ``gemm_t``; ``vector`` says which index the vector operations run over."""
    length, operations = (m, batch * k * n) if vector == "m" else (n, batch * m * k)
    along, single = (a_dtype, b_dtype) if vector == "m" else (b_dtype, a_dtype)
    touched = length * (DTYPE_BYTES[along] + 2 * DTYPE_BYTES[c_dtype]) + DTYPE_BYTES[single]
    return Work(mac_kind(c_dtype, a_dtype), macs(batch, m, k, n), sram_bytes=operations * touched)


def element_work(target: Target, cost: str, elements: int, dtype: str, operands: Iterable[tuple[int, str]]) -> Work:
    """Work of an instruction of another cost class than ``fma`` and ``fabric``.

    ``elements`` of ``dtype`` are computed; ``operands`` are (elements, dtype) of all that is
    read from or written to SRAM.
    """
    each = {"add": 1, "divide": target.divide_cycles, "root": target.root_cycles, "special": target.special_cycles}
    touched = sum(n * DTYPE_BYTES[held] for n, held in operands)
    return Work("", 0, dtype, ceil(elements * each.get(cost, 0)), touched)


def fabric_work(opcode: str, elements: int, dtype: str) -> Work:
    """Work of a fabric move at its own PE; what its words cost on the way counts as ``word_hops``."""
    role = INSTRUCTIONS[opcode].operands[0][1]
    combined = elements if opcode.endswith(("_add", "_max")) else 0
    return Work("", 0, dtype, combined, elements * DTYPE_BYTES[dtype] * _PASSES[role])
