"""Extents and strides: dense ones, and fewer of them that walk the same elements."""

from __future__ import annotations

from collections.abc import Sequence


def dense_strides(extents: Sequence[int]) -> tuple[int, ...]:
    """Strides of consecutive elements in row-major order."""
    strides: list[int] = []
    step = 1
    for extent in reversed(extents):
        strides.insert(0, step)
        step *= extent
    return tuple(strides)


def is_dense(extents: Sequence[int], strides: Sequence[int]) -> bool:
    """Whether the elements are consecutive."""
    step = 1
    for extent, stride in zip(reversed(extents), reversed(strides), strict=True):
        if extent > 1 and stride != step:
            return False
        step *= extent
    return True


def collapse(extents: Sequence[int], strides: Sequence[Sequence[int]], most: int) -> tuple[list[int], list[list[int]]]:
    """Fewer dimensions of the same elements: extents of 1 go, neighbours merge where every operand allows it.

    The result has exactly ``most`` dimensions, filled up in front. Raises ValueError when more are needed.
    """
    kept = [(e, [s[d] for s in strides]) for d, e in enumerate(extents) if e != 1]
    merged: list[tuple[int, list[int]]] = []
    for extent, steps in kept:
        if merged and all(outer == inner * extent for outer, inner in zip(merged[-1][1], steps, strict=True)):
            merged[-1] = (merged[-1][0] * extent, steps)
        else:
            merged.append((extent, steps))
    if len(merged) > most:
        raise ValueError(len(merged))
    while len(merged) < most:
        merged.insert(0, (1, [0] * len(strides)))
    if merged[-1][0] == 1:
        merged[-1] = (1, [1] * len(strides))
    return [e for e, _ in merged], [[s[o] for _, s in merged] for o in range(len(strides))]
