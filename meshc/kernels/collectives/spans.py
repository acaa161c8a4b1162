"""Few strided ranges for many positions, so that routes stay a few rectangles whatever the length of a line."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from meshc.kernels.ring import strided

#: Start, stop and step of positions along a line.
Span = tuple[int, int, int]


def spans(positions: Sequence[int]) -> list[Span]:
    """Cover sorted positions by few ranges.

    Equal stretches at equal distances, which is how messages of one kind lie, take as many ranges
    as there are stretches, or as one has positions, whichever is less.
    """
    by_size: dict[int, list[int]] = {}
    for start, stop in _stretches(positions):
        by_size.setdefault(stop - start, []).append(start)
    found: list[Span] = []
    for size, starts in by_size.items():
        for first, stop, step in strided(starts):
            firsts = range(first, stop, step)
            if len(firsts) <= size:
                found += [(start, start + size, 1) for start in firsts]
            else:
                found += [(first + at, stop + at, step) for at in range(size)]
    return sorted(found)


def _stretches(positions: Sequence[int]) -> Iterator[tuple[int, int]]:
    """The maximal stretches (start, stop) of consecutive numbers in sorted positions."""
    at = 0
    while at < len(positions):
        end = at + 1
        while end < len(positions) and positions[end] == positions[end - 1] + 1:
            end += 1
        yield positions[at], positions[end - 1] + 1
        at = end
