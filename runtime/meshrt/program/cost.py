"""What each instruction costs, in cycles: table-driven rules over the numbers of a target.

The engines and the compiler's cost models call the same functions, so that an
estimate and a run can differ only where words wait for one another. The rules, with
``issue`` for ``issue_cycles`` and ``setup`` for ``vector_setup_cycles``:

========== ==================================================================
class      cycles for ``n`` elements
========== ==================================================================
move, add  issue + setup + ceil(n / elements per cycle of the result's dtype)
divide,    issue + setup + n * cycles per element
root,
special
fma        issue + v * (setup + ceil(l / multiply-adds per cycle)), with ``v``
           vector operations of length ``l`` (see :func:`gemm_cycles`)
========== ==================================================================

A move of n elements over the fabric takes :func:`words` words; the first leaves or is
taken after :func:`launch_cycles`, the others follow one every :func:`word_period`.
"""

from __future__ import annotations

from collections.abc import Callable
from math import ceil, prod
from typing import TYPE_CHECKING

from meshrt.program.model import DTYPE_BYTES

if TYPE_CHECKING:
    from meshrt.target import Target


def words(elements: int, dtype: str, word_bytes: int = 4) -> int:
    """Fabric words that carry so many elements; the last word may be partly empty."""
    return -(-elements * DTYPE_BYTES[dtype] // word_bytes)


def elements_per_word(dtype: str, word_bytes: int = 4) -> int:
    """Elements that one fabric word carries."""
    return word_bytes // DTYPE_BYTES[dtype]


def _at_rate(elements: int, per_cycle: float) -> int:
    return ceil(elements / per_cycle)


#: Cycles after issue and set-up that an elementwise instruction of each cost class takes.
_ELEMENT_CYCLES: dict[str, Callable[[Target, int, str], int]] = {
    "move": lambda t, n, dtype: _at_rate(n, t.move_elements_per_cycle[dtype]),
    "add": lambda t, n, dtype: _at_rate(n, t.add_elements_per_cycle[dtype]),
    "divide": lambda t, n, dtype: ceil(n * t.divide_cycles),
    "root": lambda t, n, dtype: ceil(n * t.root_cycles),
    "special": lambda t, n, dtype: ceil(n * t.special_cycles),
}


def element_cycles(target: Target, cost: str, elements: int, dtype: str) -> int:
    """Cycles of an elementwise, reducing or moving instruction over so many elements.

    ``dtype`` is the result's; for a reduction ``elements`` counts what is read.
    """
    return target.issue_cycles + target.vector_setup_cycles + _ELEMENT_CYCLES[cost](target, elements, dtype)


def fma_rate(target: Target, c_dtype: str, a_dtype: str) -> float:
    """Multiply-adds per cycle: f16 into f16, f16 into f32 (``mixed``), bf16 into f32 or bf16, or f32."""
    rates = target.fma_elements_per_cycle
    if a_dtype == "bf16":
        return rates["bf16"]
    if a_dtype == "f16":
        return rates["f16" if c_dtype == "f16" else "mixed"]
    return rates["f32"]


def gemm_cycles(
    target: Target, batch: int, m: int, k: int, n: int, c_dtype: str, a_dtype: str, vector: str = "m"
) -> int:
    """Cycles of ``gemm`` and ``gemm_t``: one vector operation for each pair of the two other indices.

    ``vector="m"`` runs ``batch*k*n`` operations of length m, ``vector="n"`` runs
    ``batch*m*k`` of length n.
    """
    length, operations = (m, batch * k * n) if vector == "m" else (n, batch * m * k)
    return target.issue_cycles + operations * (
        target.vector_setup_cycles + _at_rate(length, fma_rate(target, c_dtype, a_dtype))
    )


def macs(batch: int, m: int, k: int, n: int) -> int:
    """Multiply-accumulates of a tile product."""
    return prod((batch, m, k, n))


def launch_cycles(target: Target, asynchronous: bool) -> int:
    """From the issue of a fabric move to its first word."""
    return target.issue_cycles + (target.async_launch_cycles if asynchronous else target.vector_setup_cycles)


def word_period(target: Target, cost: str, dtype: str) -> int:
    """Cycles from one word to the next of a receive (``move``) or of a combining one (``add``)."""
    rates = target.move_elements_per_cycle if cost == "move" else target.add_elements_per_cycle
    return max(1, _at_rate(elements_per_word(dtype, target.word_bytes), rates[dtype]))


def path_capacity(target: Target, hops: int) -> int:
    """Words that a path of so many hops holds: a queue in every router on it and one at the receiver."""
    return target.queue_words * (hops + 2)


def flight_cycles(target: Target, hops: int) -> int:
    """From the injection of a word to its arrival at a PE so many hops away."""
    return 2 * target.ramp_cycles + hops * target.hop_cycles
