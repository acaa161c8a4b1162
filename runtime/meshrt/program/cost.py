"""What each instruction costs, in cycles: its events, counted by cause, and their price on a target.

The engines and the compiler's cost models call the same functions, so that an
estimate and a run can differ only where words wait for one another. The cause of a
cycle is a key of the target: an instruction is a number of events for each key
(:data:`Events`), and :func:`price` is their dot product with the target's numbers. A
fit of the numbers to measured cycles is linear in these counts.

========== ======= ======= ============ ===================================
class      issue   set-up  vector issue elements, at the rate of the class
========== ======= ======= ============ ===================================
move, add  1       1       1            n
divide,    1       1       1            n, each of so many cycles
root,
special
fma        1       3 x     outer x      of the sum, in whole memory words
                   outer   (inner +
                           words of
                           factors - 1)
========== ======= ======= ============ ===================================

A product is two nested loops around a vector operation (:func:`gemm_events`): each round
of the outer loop sets its three vectors up anew, the inner one only steps them and takes
the factor of the next operation.

A move of n elements over the fabric takes :func:`words` words; the first leaves or is
taken after :func:`launch_cycles`, the others follow one every :func:`word_period`.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from fractions import Fraction
from math import ceil, gcd, prod
from typing import TYPE_CHECKING

from meshrt.program.model import DTYPE_BYTES

if TYPE_CHECKING:
    from meshrt.target import Target

#: Events by cause: a key of the target (``key.dtype`` for a rate) and how often it occurs.
Events = Mapping[str, int]


def words(elements: int, dtype: str, word_bytes: int = 4) -> int:
    """Fabric words that carry so many elements; the last word may be partly empty."""
    return -(-elements * DTYPE_BYTES[dtype] // word_bytes)


def elements_per_word(dtype: str, word_bytes: int = 4) -> int:
    """Elements that one fabric word carries."""
    return word_bytes // DTYPE_BYTES[dtype]


def unit_cycles(target: Target, cause: str) -> Fraction:
    """Cycles of one event, exactly: the key's number, or one over a rate."""
    if cause in ("word_cycles", "waited_cycles"):
        return Fraction(1)
    key, _, dtype = cause.partition(".")
    number = getattr(target, "fma_elements_per_cycle" if key == "fma_idle_elements" else key)
    # Through its text, a rate is the decimal number of the file.
    return 1 / Fraction(str(number[dtype])) if dtype else Fraction(number)


def price(target: Target, events: Events) -> int:
    """Whole cycles of one instruction: all its events priced together, a fraction of a cycle rounded up."""
    return ceil(sum(count * unit_cycles(target, cause) for cause, count in events.items()))


#: Elements of 16 bits in the 64-bit words that SRAM gives and takes in a cycle; longer ones count one by one.
_PACKED = {"f16": 4, "bf16": 4}
#: The dtypes that elements and multiply-adds have rates for.
_RATES = {
    "fma_elements_per_cycle": ("f16", "mixed", "bf16", "f32"),
    "add_elements_per_cycle": ("f16", "bf16", "f32", "i32"),
    "move_elements_per_cycle": ("f16", "bf16", "f32", "i32"),
}
#: Every cause that cycles may have. Besides the keys of the target, ``fma_idle_elements`` are elements beside those of
#: a multiply-add in the memory words of its sum, as long as they; ``word_cycles`` are cycles in which a word followed
#: another one, and ``waited_cycles`` those in which one waited for a link or for room.
CAUSES = (
    "issue_cycles",
    "vector_setup_cycles",
    "vector_issue_cycles",
    "loop_cycles",
    "branch_cycles",
    "route_write_cycles",
    "async_launch_cycles",
    "task_wakeup_cycles",
    "ramp_cycles",
    "hop_cycles",
    "divide_cycles",
    "root_cycles",
    "special_cycles",
    *(f"{key}.{dtype}" for key, dtypes in _RATES.items() for dtype in dtypes),
    *(f"fma_idle_elements.{dtype}" for dtype in _PACKED),
    "word_cycles",
    "waited_cycles",
)

#: The cause of each element of an elementwise instruction, by cost class.
_ELEMENT_CAUSE = {
    "move": "move_elements_per_cycle.{dtype}",
    "add": "add_elements_per_cycle.{dtype}",
    "divide": "divide_cycles",
    "root": "root_cycles",
    "special": "special_cycles",
}


def element_events(cost: str, elements: int, dtype: str) -> dict[str, int]:
    """Events of an elementwise, reducing or moving instruction over so many elements.

    ``dtype`` is the result's; for a reduction ``elements`` counts what is read.
    """
    return {**launch_events(False), _ELEMENT_CAUSE[cost].format(dtype=dtype): elements}


#: Cost models ask for the same few prices for every step of a loop.
_remember = functools.lru_cache(maxsize=4096)


@_remember
def element_cycles(target: Target, cost: str, elements: int, dtype: str) -> int:
    """Cycles of :func:`element_events`."""
    return price(target, element_events(cost, elements, dtype))


def fma_cause(c_dtype: str, a_dtype: str) -> str:
    """The rate of multiply-adds: f16 into f16, f16 into f32 (``mixed``), bf16 into f32 or bf16, or f32."""
    kind = "mixed" if a_dtype == "f16" and c_dtype != "f16" else a_dtype
    return f"fma_elements_per_cycle.{kind}"


#: The vectors of a multiply-add that have to be set up: what it reads and writes the sum in, and one factor.
FMA_VECTORS = 3
#: Bytes of what a scalar is fetched in.
_SCALAR_BYTES = 4


def packed_elements(vectors: int, length: int, dtype: str) -> int:
    """Elements in the memory words of vectors that lie one behind the other, each word whole, once for each vector."""
    per_word = _PACKED.get(dtype, 1)

    def touched(count: int) -> int:
        return sum(((v + 1) * length - 1) // per_word - v * length // per_word + 1 for v in range(count))

    if not length:
        return 0
    # After so many vectors the next one begins where a word does.
    period = per_word // gcd(length, per_word)
    whole, rest = divmod(vectors, period)
    return per_word * (whole * touched(period) + touched(rest))


def gemm_events(batch: int, m: int, k: int, n: int, c_dtype: str, a_dtype: str, vector: str = "m") -> dict[str, int]:
    """Events of ``gemm`` and ``gemm_t``: vector multiply-adds in two nested loops.

    ``vector="m"``: for each k (outer) and each n (inner) one operation of length m.
    ``vector="n"``: for each m (outer) and each k (inner) one of length n; a product of one row
    sets its vectors up once. An operation is issued when it has its scalar factor, of which a word
    of 32 bits brings as many as fit; the first word of a round comes with the set-up. It takes whole
    memory words of the sum (:func:`packed_elements`), whose vectors lie one behind the other.
    """
    outer, inner, length = (k, n, m) if vector == "m" else (m, k, n)
    fetched = max(words(inner, a_dtype, _SCALAR_BYTES) - 1, 0)
    elements = macs(batch, m, k, n)
    idle = k * packed_elements(batch * (n if vector == "m" else m), length, c_dtype) - elements
    return {
        "issue_cycles": 1,
        "vector_setup_cycles": FMA_VECTORS * batch * outer,
        "vector_issue_cycles": batch * outer * (inner + fetched),
        fma_cause(c_dtype, a_dtype): elements,
        **({f"fma_idle_elements.{c_dtype}": idle} if idle else {}),
    }


@_remember
def gemm_cycles(
    target: Target, batch: int, m: int, k: int, n: int, c_dtype: str, a_dtype: str, vector: str = "m"
) -> int:
    """Cycles of :func:`gemm_events`."""
    return price(target, gemm_events(batch, m, k, n, c_dtype, a_dtype, vector))


def macs(batch: int, m: int, k: int, n: int) -> int:
    """Multiply-accumulates of a tile product."""
    return prod((batch, m, k, n))


def launch_events(asynchronous: bool) -> dict[str, int]:
    """Events from the issue of a fabric move to its first word; those of any one vector operation where it blocks."""
    if asynchronous:
        return {"issue_cycles": 1, "async_launch_cycles": 1}
    return {"issue_cycles": 1, "vector_setup_cycles": 1, "vector_issue_cycles": 1}


@_remember
def launch_cycles(target: Target, asynchronous: bool) -> int:
    """Cycles of :func:`launch_events`."""
    return price(target, launch_events(asynchronous))


def combines(opcode: str) -> bool:
    """Whether a fabric instruction computes with the words that it takes."""
    return opcode.endswith(("_add", "_max"))


def fabric_events(opcode: str, elements: int, dtype: str, asynchronous: bool) -> dict[str, int]:
    """Events of a fabric instruction at its own PE: its launch, and an addition for each element that it combines."""
    added = {_ELEMENT_CAUSE["add"].format(dtype=dtype): elements} if combines(opcode) else {}
    return {**launch_events(asynchronous), **added}


@_remember
def word_period(target: Target, cost: str, dtype: str) -> int:
    """Cycles from one word to the next of a receive (``move``) or of a combining one (``add``)."""
    return max(
        1, price(target, {_ELEMENT_CAUSE[cost].format(dtype=dtype): elements_per_word(dtype, target.word_bytes)})
    )


def word_events(target: Target, cost: str, dtype: str) -> dict[str, int]:
    """Events of one :func:`word_period`: its elements, or a cycle where they take less."""
    cause, elements = _ELEMENT_CAUSE[cost].format(dtype=dtype), elements_per_word(dtype, target.word_bytes)
    return {cause: elements} if elements * unit_cycles(target, cause) > 1 else {"word_cycles": 1}


def path_capacity(target: Target, hops: int) -> int:
    """Words that a path of so many hops holds: a queue in every router on it and one at the receiver."""
    return target.queue_words * (hops + 2)


def flight_cycles(target: Target, hops: int) -> int:
    """From the injection of a word to its arrival at a PE so many hops away."""
    return 2 * target.ramp_cycles + hops * target.hop_cycles
