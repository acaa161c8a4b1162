"""Sets of PEs that run together, interned so that what is known of one is computed once."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np


@dataclass(eq=False, slots=True)
class PeSet:
    """PEs of one region in ascending order; ``number`` is unique among the sets of a run."""

    number: int
    region: int
    pes: np.ndarray
    #: Values of x, y and parameters for these PEs, filled in by the index cache.
    bindings: dict[str, np.ndarray] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.pes)


class PeSets:
    """All sets of a run, by content; unions and selections are remembered."""

    def __init__(self) -> None:
        self._by_content: dict[tuple[int, bytes], PeSet] = {}
        self._unions: dict[tuple[int, ...], PeSet] = {}
        self._splits: dict[tuple[int, int, int | None], tuple[np.ndarray, list[tuple[int, PeSet]]]] = {}

    def intern(self, region: int, pes: np.ndarray) -> PeSet:
        """The set of these PEs, which must be in ascending order."""
        pes = np.ascontiguousarray(pes, np.int32)
        key = (region, pes.tobytes())
        found = self._by_content.get(key)
        if found is None:
            found = PeSet(len(self._by_content), region, pes)
            self._by_content[key] = found
        return found

    def union(self, sets: list[PeSet]) -> PeSet:
        """The union of disjoint sets."""
        if len(sets) == 1:
            return sets[0]
        key = tuple(sorted(s.number for s in sets))
        found = self._unions.get(key)
        if found is None:
            found = self.intern(sets[0].region, np.sort(np.concatenate([s.pes for s in sets])))
            self._unions[key] = found
        return found

    def split(self, pes: PeSet, values: np.ndarray, counter: int | None = None) -> list[tuple[int, PeSet]]:
        """The parts of a set by value, in ascending order of the values.

        With a counter, the parts for which it is not less than the value (0) and less (1). The
        array is remembered by identity, so it must not change.
        """
        key = (pes.number, id(values), counter)
        found = self._splits.get(key)
        if found is None:
            by = values if counter is None else (counter < values).astype(np.int64)
            # The array is kept, so that its identity stays its own.
            found = self._splits[key] = (values, self.parts(pes, by))
        return found[1]

    def parts(self, pes: PeSet, values: np.ndarray) -> list[tuple[int, PeSet]]:
        """The parts of a set by value, not remembered: for values that follow from the run."""
        return [(int(v), self.intern(pes.region, pes.pes[values == v])) for v in np.unique(values)]
