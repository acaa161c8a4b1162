"""Tables in the program text: runs of entries written as one item, so that a table stays a line or two.

An item is an integer, ``count of value`` (a value repeated) or ``start..stop:step`` (an
arithmetic run, the stop exclusive, the step 1 where it is left out).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

#: Shortest run of equal entries, and of equally spaced ones, that is written as one item.
MIN_REPEAT = 3
MIN_RANGE = 4


def compress(entries: Sequence[int]) -> Iterator[str]:
    """The items that stand for the entries, greedily from the left.

    >>> list(compress((0, 1, 3, 5, 7, 9, 4, 4, 4)))
    ['0', '1..10:2', '3 of 4']
    """
    start = 0
    while start < len(entries):
        first = entries[start]
        end = start + 1
        step = entries[end] - first if end < len(entries) else 0
        while end < len(entries) and entries[end] - entries[end - 1] == step:
            end += 1
        count = end - start
        if step == 0 and count >= MIN_REPEAT:
            yield f"{count} of {first}"
        elif step != 0 and count >= MIN_RANGE:
            stop = entries[end - 1] + (1 if step > 0 else -1)
            yield f"{first}..{stop}" + ("" if step == 1 else f":{step}")
        else:
            # Too short a run: its first entry alone, since the next may open a longer one.
            end = start + 1
            yield str(first)
        start = end
