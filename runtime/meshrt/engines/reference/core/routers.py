"""Routers: which words go over which links in a cycle.

Every link is decided once in a cycle: of the colors whose first word waits for it, in
round-robin order, the first that can move does. A word can move when each of its outputs
has a place for it, or a word that makes one in this very cycle; so before a link is
decided, those are that the places behind it depend on. Where links depend on one another
in a circle, the place counts as free in the next cycle only.
"""

from __future__ import annotations

import numpy as np

from meshrt.compiled import called_by_address, inline
from meshrt.engines.pointers import (
    call_at,
    count_bits,
    first_bit,
    i32_at,
    i64_at,
)
from meshrt.engines.reference.core.faults import is_stuck
from meshrt.engines.reference.core.passing import count_use, go, gone_on
from meshrt.engines.reference.core.queues import is_decided, link_at, queue_behind
from meshrt.engines.reference.core.records import (
    A_ACTIVE,
    A_PES,
    A_STACK,
    B_COLORS,
    B_FAULTS,
    B_QUEUE,
    E_HELD,
    E_SIZE,
    FINISHED,
    FROM_PE,
    H_CONTENDED,
    H_STATUS,
    L_EMPTY,
    L_FULL,
    L_GONE,
    L_KEPT,
    L_NEXT,
    L_STATE,
    L_WANT,
    LINKS,
    P_BRANCH,
    P_CAN_BRANCH,
    P_QUEUES,
    P_ROUTES,
    P_SELF,
    Q_HEAD,
    Q_RING,
    ZERO,
)
from meshrt.engines.reference.core.room import CYCLE, MOVES, NO_LINK, NO_ROOM, capacity_of, room, room_made
from meshrt.engines.reference.core.sending import can_send, inject

DECIDED = -1
#: Among the colors that a link refuses: one of them may go in the next cycle.
AWAKE = np.int64(-(1 << 63))


@inline
def can_leave_pe(r, link, router, color, time):
    """Whether a PE can send the next word of a color in this cycle, as :func:`room_made` says it."""
    if is_stuck(r, link, time):
        return NO_ROOM + ZERO
    found = room(r, link, color, time)
    return NO_LINK + ZERO if found == MOVES and not can_send(r, router, color, time) else found


@inline
def pass_on(r, router, side, color, number, time):
    """The first word of a queue goes over the only output of its route."""
    q, at = i32_at(r[P_QUEUES]), number * r[B_QUEUE]
    first = at + Q_RING + 2 * q[at + Q_HEAD]
    word, gone = np.int64(q[first]), np.int64(q[first + 1])
    count_use(r, router * LINKS + side, color, time)
    go(r, router, side, color, word, gone, time)
    link = link_at(r, router * LINKS + side)
    empty = gone_on(r, router * r[B_COLORS] + color, number, gone, time)
    r[link + L_WANT] &= ~(np.int64(empty) << color)
    r[link + L_EMPTY] = time + 1 if r[link + L_WANT] == 0 else r[link + L_EMPTY]


@inline
def decide(r, frame, time):
    """Move the words of a link in this cycle; gives DECIDED, or a link that is to be decided first.

    ``frame`` is an entry of the stack: the link, and the colors that cannot move in this cycle, as bits; AWAKE among
    them when one may in the next.
    """
    link, refused = r[frame], r[frame + 1]
    at = link_at(r, link)
    router = link // LINKS
    side = link - router * LINKS
    if r[at + L_EMPTY] != 0 and r[at + L_WANT] != 0:
        # A link for which no word waited in the cycle before is idle, and begins with the lowest color.
        if r[at + L_EMPTY] - 1 < time - 1:
            r[at + L_NEXT] = 0
        r[at + L_EMPTY] = 0
    full = (time + 1) * CYCLE + capacity_of(r, side)
    while r[at + L_GONE] < full:
        waiting = r[at + L_WANT] & ~refused
        if waiting == 0:
            break
        later = waiting >> r[at + L_NEXT] << r[at + L_NEXT]
        color = first_bit(later if later != 0 else waiting)
        route = np.int64(i32_at(r[P_ROUTES])[router * r[B_COLORS] + color])
        # Most words go one way, to the next router or the PE, over links that work.
        simple = side != FROM_PE and (route & 1) == 0 and r[B_FAULTS] == 0
        if simple:
            verdict = MOVES + ZERO
            if r[at + L_FULL] >> color & 1:
                verdict = room_made(r, queue_behind(r, link, color), time)
        elif side == FROM_PE:
            verdict = can_leave_pe(r, link, router, color, time)
        else:
            verdict = call_at(r[P_CAN_BRANCH], r[P_SELF], link, color)
        if verdict >= 0:
            r[frame + 1] = refused
            return verdict
        if verdict != MOVES:
            refused |= 1 << color
            if verdict == NO_LINK:
                refused |= AWAKE
            elif side == FROM_PE:
                # A word of the PE that finds its queue full is late; so are those of the same move behind it.
                r[r[A_PES] + router * E_SIZE + E_HELD] |= 1 << color
            continue
        if max(r[at + L_GONE], (time + 1) * CYCLE) + 1 == full:
            # Words of other colors that wait are kept from the link by the one that goes; each is counted once.
            others = r[at + L_WANT] & ~(1 << color) & ~r[at + L_KEPT]
            r[at + L_KEPT] |= others
            r[H_CONTENDED] += count_bits(others)
        if simple:
            pass_on(r, router, side, color, route >> 1, time)
        elif side == FROM_PE:
            count_use(r, link, color, time)
            inject(r, router, color, time)
        else:
            call_at(r[P_BRANCH], r[P_SELF], router, color)
        if r[H_STATUS] != FINISHED:
            return DECIDED + ZERO
    # Where all words wait for room, somebody wakes the link who makes some.
    awake = (refused & AWAKE) != 0 or r[at + L_GONE] >= full
    bits, bit = r[A_ACTIVE] + (link >> 6), 1 << (link & 63)
    r[bits] = r[bits] & ~bit | (bit if r[at + L_WANT] != 0 and awake else ZERO)
    return DECIDED + ZERO


@inline
def begin(r, frame, link, time):
    """The decision of a link begins."""
    r[link_at(r, link) + L_STATE] = 2 * time + 2
    r[frame] = link
    r[frame + 1] = 0


@called_by_address
def settle(header_at, link, time):
    """Decide a link in this cycle, and before it those that it depends on."""
    r = i64_at(header_at)
    if is_decided(r, link, time):
        return ZERO
    frame = r[A_STACK]
    begin(r, frame, link, time)
    while frame >= r[A_STACK] and r[H_STATUS] == FINISHED:
        first = decide(r, frame, time)
        if first >= 0:
            frame += 2
            begin(r, frame, first, time)
        else:
            r[link_at(r, r[frame]) + L_STATE] += 1
            frame -= 2
    return ZERO
