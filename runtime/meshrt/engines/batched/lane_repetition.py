"""Whether the arrays of :mod:`.lanes` are as they were, only later; the rules are those of :mod:`.repetition`."""

from __future__ import annotations

from meshrt.compiled import native
from meshrt.engines.batched.records import L_BUSY, L_END, L_FIRST


@native
def times_repeat(before, now, base, shift):
    """Whether times that are no more read once they lie back go along, or lie back."""
    for i in range(before.shape[0]):
        if now[i] - before[i] != shift and not (before[i] < base and now[i] < base + shift):
            return False
    return True


@native
def links_repeat(before, now, base, shift):
    """Whether the busy intervals of links go along, or are over before anything to come could meet them."""
    for i in range(before.shape[0]):
        if before[i, L_END] <= base and now[i, L_END] <= base + shift:
            continue
        if (
            now[i, L_FIRST] - before[i, L_FIRST] != shift
            or now[i, L_END] - before[i, L_END] != shift
            or now[i, L_BUSY] != before[i, L_BUSY]
        ):
            return False
    return True


@native
def carry_times(before, now, shift, periods):
    """Move times that go along on by so many periods."""
    for i in range(before.shape[0]):
        if now[i] - before[i] == shift:
            now[i] += periods * shift


@native
def carry_links(before, now, shift, periods):
    """Move busy intervals that go along on by so many periods."""
    for i in range(before.shape[0]):
        for field in (L_FIRST, L_END):
            if now[i, field] - before[i, field] == shift:
                now[i, field] += periods * shift
