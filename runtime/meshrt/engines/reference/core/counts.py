"""The table of costs: Python says what an instruction of some sizes costs, once; compiled code counts how often.

From the counts Python knows in the end what was executed, by operation: the events that
cycles and joules are made of.
"""

from __future__ import annotations

from meshrt.compiled import inline, internal, native
from meshrt.engines.pointers import i64_at
from meshrt.engines.reference.core.records import (
    B_COSTS,
    H_KEY,
    H_STATUS,
    K_CALL,
    K_COUNT,
    K_CYCLES,
    K_DTYPES,
    K_ROW,
    K_SIZE,
    K_SIZES,
    K_USED,
    P_COSTS,
    WANTS_COST,
    ZERO,
)


@inline
def place_of(call, row, dtypes, a, b, c, d):
    """Where the search for an entry begins."""
    return call * 31 + row * 131071 + dtypes * 7 + a * 1009 + b * 9176 + c * 31337 + d * 65599


@inline
def is_entry(table, k, call, row, dtypes, a, b, c, d):
    """Whether an entry is that of an instruction of some sizes."""
    same = table[k + K_CALL] == call and table[k + K_ROW] == row and table[k + K_DTYPES] == dtypes
    same = same and table[k + K_SIZES] == a and table[k + K_SIZES + 1] == b
    return same and table[k + K_SIZES + 2] == c and table[k + K_SIZES + 3] == d and table[k + K_USED] != 0


@internal
def entry_of(r, call, row, dtypes, a, b, c, d):
    """The entry of an instruction of some sizes in the table of costs, or -1 where Python has to say its cost first."""
    table, mask = i64_at(r[P_COSTS]), r[B_COSTS] - 1
    at = place_of(call, row, dtypes, a, b, c, d) & mask
    while table[at * K_SIZE + K_USED] != 0:
        if is_entry(table, at * K_SIZE, call, row, dtypes, a, b, c, d):
            return at * K_SIZE
        at = (at + 1) & mask
    r[H_STATUS] = WANTS_COST
    r[H_KEY], r[H_KEY + 1], r[H_KEY + 2] = call, row, dtypes
    r[H_KEY + 3], r[H_KEY + 4], r[H_KEY + 5], r[H_KEY + 6] = a, b, c, d
    return ZERO - 1


@inline
def known_entry(r, guess, call, row, dtypes, a, b, c, d):
    """The same, where it is likely that the entry is the one whose number stands at ``guess``."""
    if is_entry(i64_at(r[P_COSTS]), r[guess], call, row, dtypes, a, b, c, d):
        return r[guess]
    entry = entry_of(r, call, row, dtypes, a, b, c, d)
    if entry >= 0:
        r[guess] = entry
    return entry


@inline
def count_one(r, entry):
    """What an entry stands for is executed once more; gives its cycles."""
    if entry < 0:
        return ZERO
    table = i64_at(r[P_COSTS])
    table[entry + K_COUNT] += 1
    return table[entry + K_CYCLES]


@native
def remember(table_at, mask, call, row, dtypes, a, b, c, d, value, count):
    """Enter what Python says into a table of ``mask + 1`` entries, which is not full."""
    table = i64_at(table_at)
    at = place_of(call, row, dtypes, a, b, c, d) & mask
    while table[at * K_SIZE + K_USED] != 0:
        at = (at + 1) & mask
    k = at * K_SIZE
    table[k + K_USED], table[k + K_CALL], table[k + K_ROW], table[k + K_DTYPES] = 1, call, row, dtypes
    table[k + K_SIZES], table[k + K_SIZES + 1] = a, b
    table[k + K_SIZES + 2], table[k + K_SIZES + 3] = c, d
    table[k + K_CYCLES], table[k + K_COUNT] = value, count
