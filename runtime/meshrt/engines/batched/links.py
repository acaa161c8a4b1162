"""A link that several messages want: between routers, or a RAMP between a router and its PE."""

from __future__ import annotations

from meshrt.compiled import inline
from meshrt.engines.batched.records import C_CONTENDED, L_BUSY, L_END, L_FIRST, L_WORDS


@inline
def occupy(r, link, first, last, words, per_cycle):
    """Cycles that a message loses on a link which it would use from ``first`` to ``last``."""
    start, end = r[link + L_FIRST], r[link + L_END]
    r[link + L_WORDS] += words
    if first >= end:
        r[link + L_FIRST] = first
        r[link + L_END] = last + 1
        r[link + L_BUSY] = words
        return 0
    if last < start:
        return 0
    begin = min(start, first)
    room = max(end, last + 1) - begin
    needed = (r[link + L_BUSY] + words + per_cycle - 1) // per_cycle
    lost = max(0, needed - room)
    r[C_CONTENDED] += lost
    r[link + L_FIRST] = begin
    r[link + L_END] = max(end, last + 1 + lost)
    r[link + L_BUSY] += words
    return lost
