"""Bytes that an instruction reads from and writes to its PE's SRAM.

With the events of :mod:`.cost` they are what an instruction's energy is made of
(:mod:`meshrt.energy`). The counts are those of one PE executing it once:

=================== ==========================================================================
instruction         bytes
=================== ==========================================================================
product             for each vector operation of length l: l elements of one operand, one
                    element of the other, and l elements of the accumulator, read and written
arithmetic          every operand that is read, and the result
fabric              the buffer, once for each way that its role says
=================== ==========================================================================
"""

from __future__ import annotations

from collections.abc import Iterable

from meshrt.program.instructions import INSTRUCTIONS
from meshrt.program.model import DTYPE_BYTES

#: Times that an operand of a role passes between SRAM and the PE.
_PASSES = {"in": 1, "out": 1, "inout": 2}


def gemm_bytes(batch: int, m: int, k: int, n: int, c_dtype: str, a_dtype: str, b_dtype: str, vector: str = "m") -> int:
    """Of ``gemm`` and ``gemm_t``; ``vector`` says which index the vector operations run over."""
    length, operations = (m, batch * k * n) if vector == "m" else (n, batch * m * k)
    along, single = (a_dtype, b_dtype) if vector == "m" else (b_dtype, a_dtype)
    return operations * (length * (DTYPE_BYTES[along] + 2 * DTYPE_BYTES[c_dtype]) + DTYPE_BYTES[single])


def arithmetic_bytes(operands: Iterable[tuple[int, str]]) -> int:
    """Of any other arithmetic, from the (elements, dtype) of all that is read and of all that is written."""
    return sum(elements * DTYPE_BYTES[dtype] for elements, dtype in operands)


def fabric_bytes(opcode: str, elements: int, dtype: str) -> int:
    """Of a fabric move, at the PE that executes it."""
    return elements * DTYPE_BYTES[dtype] * _PASSES[INSTRUCTIONS[opcode].operands[0][1]]
