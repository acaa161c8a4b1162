"""What compiled code asks for by numbers: the cycles of an arithmetic instruction of some sizes."""

from __future__ import annotations

from meshrt.engines.loading.codes import DTYPES
from meshrt.program import cost
from meshrt.program.instructions import INSTRUCTIONS
from meshrt.program.model import Instruction
from meshrt.target import Target

_NAMES = tuple(DTYPES)


def cycles_of_key(target: Target, instruction: Instruction, dtypes: int, a: int, b: int, c: int, d: int) -> int:
    """Cycles of an instruction: ``a`` elements, or a product of ``a`` batches of m, k, n = ``b``, ``c``, ``d``.

    ``dtypes`` is the result's, plus 4 times that of a product's first factor.
    """
    opcode = instruction.opcode
    result, factor = _NAMES[dtypes % 4], _NAMES[dtypes // 4]
    if opcode in ("gemm", "gemm_t"):
        return cost.gemm_cycles(target, a, b, c, d, result, factor, str(instruction.option("vector", "m")))
    return cost.element_cycles(target, INSTRUCTIONS[opcode].cost, a, result)
