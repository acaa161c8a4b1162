"""The calendar: what is to happen in which cycle.

Events of the next SLOTS cycles lie in slots, one for each cycle: PEs that run as bits of a table, so that they come in
their order, and all else in lists, which are sorted when their cycle comes. What lies further ahead waits in a heap.
"""

from __future__ import annotations

from meshrt.compiled import inline, internal
from meshrt.engines.pointers import first_bit
from meshrt.engines.reference.core.queues import fail
from meshrt.engines.reference.core.records import (
    A_DUE,
    A_EVENTS,
    A_LISTS,
    A_NODES,
    A_RUNS,
    B_EVENTS,
    B_RUNS,
    C_KEY,
    C_NEXT,
    C_SIZE,
    ERROR_FULL,
    EVENT_KIND,
    EVENT_TIME,
    H_EVENTS,
    H_NODE_FREE,
    H_SLOTS,
    H_TIME,
    RUN_PE,
    SLOTS,
    ZERO,
)

#: Distances of the sort; more than a few thousand events in a cycle are rare.
_GAPS = (701, 132, 23, 4, 1)


@inline
def runs_of(r, slot):
    """The table of PEs that run in the cycle of a slot."""
    return r[A_RUNS] + slot * r[B_RUNS]


@internal
def push_event(r, time, kind, number):
    """Put an event on the calendar, for the present cycle or a later one."""
    if time - r[H_TIME] >= SLOTS:
        push_far(r, time * EVENT_TIME + kind * EVENT_KIND + number)
        return
    slot = time & (SLOTS - 1)
    r[H_SLOTS] |= 1 << slot
    if kind == RUN_PE:
        r[runs_of(r, slot) + (number >> 6)] |= 1 << (number & 63)
        return
    node = r[H_NODE_FREE]
    if node == 0:
        fail(r, ERROR_FULL, ZERO, ZERO - 1, ZERO - 1, r[B_EVENTS], ZERO)
        return
    n = r[A_NODES] + node * C_SIZE
    r[H_NODE_FREE] = r[n + C_NEXT]
    r[n + C_KEY] = kind * EVENT_KIND + number
    r[n + C_NEXT] = r[r[A_LISTS] + slot]
    r[r[A_LISTS] + slot] = node


@internal
def push_far(r, key):
    """Put an event on the heap of those that are far ahead."""
    at = r[H_EVENTS]
    if at == r[B_EVENTS]:
        fail(r, ERROR_FULL, ZERO, ZERO - 1, ZERO - 1, at, ZERO)
        return
    r[H_EVENTS] = at + 1
    heap = r[A_EVENTS]
    while at > 0:
        above = (at - 1) >> 1
        if r[heap + above] <= key:
            break
        r[heap + at] = r[heap + above]
        at = above
    r[heap + at] = key


@internal
def pop_far(r):
    """Take the earliest event off the heap, which is not empty."""
    heap = r[A_EVENTS]
    first = r[heap]
    count = r[H_EVENTS] - 1
    r[H_EVENTS] = count
    key = r[heap + count]
    at = 0
    while True:
        below = 2 * at + 1
        if below >= count:
            break
        if below + 1 < count and r[heap + below + 1] < r[heap + below]:
            below += 1
        if key <= r[heap + below]:
            break
        r[heap + at] = r[heap + below]
        at = below
    r[heap + at] = key
    return first


@inline
def come_near(r, time):
    """Events of the heap whose cycle is the present one go to its slot."""
    while r[H_EVENTS] > 0 and r[r[A_EVENTS]] // EVENT_TIME <= time:
        key = pop_far(r)
        push_event(r, time, key % EVENT_TIME // EVENT_KIND, key % EVENT_KIND)


@inline
def next_pe(r, slot, after):
    """The first PE from word ``after`` of a slot's table on, which it leaves; -1 where there is none."""
    runs = runs_of(r, slot)
    for word in range(after, r[B_RUNS]):
        bits = r[runs + word]
        if bits != 0:
            r[runs + word] = bits & (bits - 1)
            return word * 64 + first_bit(bits)
    return ZERO - 1


@internal
def due(r, slot):
    """Empty the list of a slot into the table of what is due, sorted; gives how many there are."""
    keys, count, node = r[A_DUE], ZERO, r[r[A_LISTS] + slot]
    r[r[A_LISTS] + slot] = 0
    while node != 0:
        n = r[A_NODES] + node * C_SIZE
        r[keys + count] = r[n + C_KEY]
        count += 1
        following = r[n + C_NEXT]
        r[n + C_NEXT] = r[H_NODE_FREE]
        r[H_NODE_FREE] = node
        node = following
    for gap in _GAPS:
        for i in range(gap, count):
            key, at = r[keys + i], i
            while at >= gap and r[keys + at - gap] > key:
                r[keys + at] = r[keys + at - gap]
                at -= gap
            r[keys + at] = key
    return count


@inline
def soonest(r, time):
    """The next cycle after ``time`` for which there is an event; -1 where there is none."""
    near = ZERO - 1
    if r[H_SLOTS] != 0:
        turn = (time + 1) & (SLOTS - 1)
        # Bits from that of the next cycle on come first.
        later = r[H_SLOTS] >> turn << turn
        near = time + 1 + ((first_bit(later if later != 0 else r[H_SLOTS]) - turn) & (SLOTS - 1))
    if r[H_EVENTS] == 0:
        return near
    far = r[r[A_EVENTS]] // EVENT_TIME
    return far if near < 0 or far < near else near
