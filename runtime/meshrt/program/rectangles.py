"""PEs as rectangles, for messages that people read."""

from __future__ import annotations

from collections.abc import Iterable


def rectangles(pes: Iterable[tuple[int, int]]) -> list[tuple[int, int, int, int]]:
    """Disjoint rectangles (x0, x1, y0, y1), half open, that cover exactly these PEs; wide ones first in a row."""
    left = set(pes)
    found = []
    for x, y in sorted(left, key=lambda pe: (pe[1], pe[0])):
        if (x, y) not in left:
            continue
        x1 = x
        while (x1, y) in left:
            x1 += 1
        y1 = y + 1
        while all((i, y1) in left for i in range(x, x1)):
            y1 += 1
        left -= {(i, j) for i in range(x, x1) for j in range(y, y1)}
        found.append((x, x1, y, y1))
    return found


def describe(pes: Iterable[tuple[int, int]], most: int = 4) -> str:
    """``PEs (0:4, 2), (5, 7)``: the rectangles in the program's notation, the first few of many."""
    pes = list(pes)
    found = rectangles(pes)
    texts = [f"({_span(x0, x1)}, {_span(y0, y1)})" for x0, x1, y0, y1 in found[:most]]
    if len(found) > most:
        texts.append(f"and {len(found) - most} more")
    return ("PE " if len(pes) == 1 else "PEs ") + ", ".join(texts)


def _span(start: int, stop: int) -> str:
    return str(start) if stop == start + 1 else f"{start}:{stop}"
