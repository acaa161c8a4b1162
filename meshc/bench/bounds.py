"""Lower bounds: cycles that no kernel of its kind can do without, whatever its algorithm."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from math import ceil

from meshrt.program.cost import fma_cause, unit_cycles, words
from meshrt.target import Target


@dataclass(frozen=True, slots=True)
class Bounds:
    """Three bounds, in cycles. Each holds alone, so the largest is a bound.

    ``macs``: multiply-adds, evenly over all PEs and their vector width. ``words``: what must
    come into one PE over its RAMP. ``distance``: hops and RAMPs from the farthest PE whose data count.
    """

    macs: int
    words: int
    distance: int

    @property
    def cycles(self) -> int:
        """The largest of them."""
        return max(self.macs, self.words, self.distance)

    def to_json(self) -> dict[str, int]:
        """As a JSON object, ``cycles`` included."""
        return {**asdict(self), "cycles": self.cycles}


def mac_bound(target: Target, macs: int, pes: int, operand: str, accumulator: str) -> int:
    """So many multiply-adds, spread evenly over the PEs, at the rate of their dtypes."""
    return ceil(ceil(macs / pes) * unit_cycles(target, fma_cause(accumulator, operand)))


def word_bound(target: Target, elements: int, dtype: str) -> int:
    """So many elements into one PE, at the rate of its RAMP."""
    return ceil(words(elements, dtype, target.word_bytes) / target.ramp_words_per_cycle)


def distance_bound(target: Target, hops: int) -> int:
    """One word over so many hops, from one RAMP to another."""
    return hops * target.hop_cycles + 2 * target.ramp_cycles if hops else 0


def product_bounds(
    target: Target, size: tuple[int, int, int], grid: tuple[int, int], operand: str, accumulator: str
) -> Bounds:
    """C[M, N] = X[M, K] W[K, N] where every PE begins with its tile of X and ends with its tile of C.

    Weights may lie anywhere before the run. A PE's tile of C depends on all of X in its row:
    what it does not hold of these comes in itself, or what it makes of it does, added up to one tile of C.
    """
    (m, k, n), (width, height) = size, grid
    rows = ceil(m / height)
    incoming = rows * min(k - ceil(k / width), ceil(n / width))
    return Bounds(
        mac_bound(target, m * k * n, width * height, operand, accumulator),
        word_bound(target, incoming, operand),
        distance_bound(target, width - 1),
    )
