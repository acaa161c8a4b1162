"""Does again what the log of values holds: the elements that the moves of a later round move, without its time."""

from __future__ import annotations

from meshrt.compiled import native
from meshrt.engines.batched.combine import combine, element_offset
from meshrt.engines.batched.records import (
    D_DONE,
    D_FROM,
    D_FROM_AT,
    D_FROM_CALL,
    D_GROUP,
    D_N,
    D_RESULT,
    D_SIZE,
    D_TO,
    D_TO_AT,
    D_WHAT,
    G_CALL,
    G_POOL,
    G_VIEW,
    ZERO,
)
from meshrt.engines.batched.sharing import own_row, share_row
from meshrt.engines.batched.value_log import COPIED, GATHERED, OWNED, SHARED, TAKEN
from meshrt.engines.pointers import f32_at, i64_at, prefetch

#: Entries ahead of the present one whose elements are asked for.
AHEAD = 16


@native
def redo(records_at, memory_at, first, last, moved):
    """Do the entries ``first .. last`` (addresses) again; views of instruction i lie ``moved[i + 1]`` further on."""
    r, memory = i64_at(records_at), f32_at(memory_at)
    for e in range(first, last, D_SIZE):
        soon = e + AHEAD * D_SIZE
        if soon < last:
            prefetch(memory_at + (r[r[soon + D_FROM]] + r[soon + D_FROM_AT]) * 4)
            prefetch(memory_at + (r[r[soon + D_TO]] + r[soon + D_TO_AT]) * 4)
        what, g, n = r[e + D_WHAT], r[e + D_GROUP], r[e + D_N]
        source = r[r[e + D_FROM]] + r[e + D_FROM_AT] + moved[r[e + D_FROM_CALL]]
        cell = r[e + D_TO]
        to = r[cell] + r[e + D_TO_AT]
        if what == TAKEN:
            combine(r, memory, to + moved[r[g + G_CALL] + 1], g, r[e + D_RESULT], r[e + D_DONE], source, n)
        elif what == COPIED:
            for j in range(n):
                memory[to + j] = memory[source + j]
        elif what == GATHERED:
            for j in range(n):
                memory[to + j] = memory[source + element_offset(r, r[g + G_VIEW], j)]
        elif what == SHARED:
            share_row(r, memory, cell, source, r[g + G_POOL])
        elif what == OWNED:
            own_row(r, memory, cell, r[g + G_POOL], ZERO)
