"""Finding the longest run of a sequence that repeats itself with some period."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class Run:
    """Items ``start`` to ``start + length`` repeat with the period: item i equals item i + period."""

    start: int
    length: int
    period: int

    @property
    def count(self) -> int:
        """How many whole repetitions there are."""
        return self.length // self.period


def repeated_runs(items: Sequence[Hashable]) -> list[Run]:
    """Maximal runs of at least two repetitions, best first: most items covered, then the shortest period."""
    numbers: dict[Hashable, int] = {}
    codes = np.array([numbers.setdefault(item, len(numbers)) for item in items], dtype=np.int64)
    found: list[Run] = []
    for period in range(1, len(codes) // 2 + 1):
        same = codes[:-period] == codes[period:]
        edges = np.flatnonzero(np.diff(np.concatenate(([False], same, [False])).astype(np.int8)))
        for start, stop in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
            if stop - start >= period:
                found.append(Run(start, stop - start + period, period))
    return sorted(found, key=lambda run: (-run.count * run.period, run.period, run.start))
