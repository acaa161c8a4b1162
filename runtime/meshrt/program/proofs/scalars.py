"""Choices of the runtime scalars, and the classes of them that one execution decides."""

from __future__ import annotations

import itertools
from collections.abc import Sequence, Set
from math import prod

import numpy as np

from meshrt.program.model import Region, Scalar

#: Choices of the scalars of one region that a proof looks at one by one.
MOST_CHOICES = 1 << 16


def choices(region: Region, read: Set[str], stops: Set[str] = frozenset()) -> np.ndarray | None:
    """Every choice of the region's scalars: int64 [choices, scalars]; None where there are too many.

    Of a scalar among ``stops`` the lowest and the highest value are taken; one that is not among those ``read`` either
    decides nothing and stands at its highest value.
    """
    ranges = [_values(scalar, read, stops) for scalar in region.scalars]
    total = 1
    for values in ranges:
        total *= len(values)
        if total > MOST_CHOICES:
            return None
    return np.array(list(itertools.product(*ranges)), np.int64).reshape(total, len(ranges))


def _values(scalar: Scalar, read: Set[str], stops: Set[str]) -> Sequence[int]:
    if scalar.name in read:
        return range(scalar.low, scalar.high + 1)
    return sorted({scalar.low, scalar.high}) if scalar.name in stops else [scalar.high]


def every_choice(region: Region) -> int:
    """How many choices of the region's scalars there are."""
    return prod(scalar.high - scalar.low + 1 for scalar in region.scalars)


def describe(scalars: Sequence[Scalar], rows: np.ndarray, read: Set[str]) -> str:
    """``length = 1 to 3``: choices of the scalars ``read`` in words, the first few of many; empty without any."""
    rows = rows[:, [s.name in read for s in scalars]]
    scalars = [s for s in scalars if s.name in read]
    if not scalars or not len(rows):
        return ""
    if len(scalars) == 1:
        return f"{scalars[0].name} = {_runs(sorted(rows[:, 0].tolist()))}"
    texts = [", ".join(f"{s.name} = {v}" for s, v in zip(scalars, row, strict=True)) for row in rows[:3].tolist()]
    return "; ".join(texts) + (f" and {len(rows) - 3} more" if len(rows) > 3 else "")


def _runs(values: list[int]) -> str:
    runs: list[list[int]] = []
    for value in values:
        if runs and runs[-1][1] == value - 1:
            runs[-1][1] = value
        else:
            runs.append([value, value])
    texts = [str(a) if a == b else f"{a} to {b}" for a, b in runs[:4]]
    return ", ".join(texts) + (", .." if len(runs) > 4 else "")
