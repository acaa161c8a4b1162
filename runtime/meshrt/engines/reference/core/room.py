"""Room: whether a word can go over a link in a cycle, or which link has to be decided first."""

from __future__ import annotations

import numpy as np

from meshrt.compiled import inline, internal
from meshrt.engines.loading.codes import RAMP
from meshrt.engines.pointers import (
    call_at,
    first_bit,
    i32_at,
)
from meshrt.engines.reference.core.faults import is_deaf
from meshrt.engines.reference.core.queues import channel_at, has_room, is_begun, link_at, queue_behind
from meshrt.engines.reference.core.records import (
    A_MOVES,
    B_QUEUE,
    B_SHIFT,
    F_POST,
    F_TRIED,
    FROM_PE,
    INTO_PE,
    L_FULL,
    L_GONE,
    LINKS,
    OUTPUTS,
    P_QUEUES,
    P_SELF,
    P_TAKE_THROUGH,
    Q_ROUTE,
    Q_THERE,
    QUEUES,
    STREAM_COPY,
    USED_BITS,
    V_KIND,
    V_SIZE,
    X_LINK_WORDS,
    X_RAMP_WORDS,
    ZERO,
)

#: What keeps a word from moving: a full queue, or a link whose words of this cycle have gone. Else a link's number
#: says that this link is to be decided first.
MOVES, NO_ROOM, NO_LINK = -1, -2, -3
#: What a link has carried in a cycle is counted from this times the cycle, plus one, on.
CYCLE = 1 << USED_BITS


@inline
def capacity_of(r, side):
    """Words that a link moves in a cycle."""
    return r[X_RAMP_WORDS] if side >= RAMP else r[X_LINK_WORDS]


@inline
def used_up(r, link, side, time):
    """Whether a link has moved all its words of this cycle."""
    return r[link_at(r, link) + L_GONE] >= (time + 1) * CYCLE + capacity_of(r, side)


@inline
def room(r, link, color, time):
    """Whether the queue behind a link has a place for one more word in this cycle: as :func:`room_made` says it."""
    if (r[link_at(r, link) + L_FULL] >> color & 1) == 0 or is_deaf(r, link, time):
        return MOVES + ZERO
    return room_made(r, queue_behind(r, link, color), time)


@internal
def room_made(r, number, time):
    """Whether the first word of a full queue makes a place in this cycle: MOVES, NO_ROOM, or a link to decide first."""
    channel = number // QUEUES
    router = channel >> r[B_SHIFT]
    if number - channel * QUEUES == INTO_PE:
        f = channel_at(r, channel)
        move = r[f + F_POST] - 1
        if move < 0 or r[f + F_TRIED] == time + 1 or r[r[A_MOVES] + move * V_SIZE + V_KIND] < STREAM_COPY:
            return NO_ROOM + ZERO
        link = router * LINKS + FROM_PE
        if not is_begun(r, link, time):
            return link
        call_at(r[P_TAKE_THROUGH], r[P_SELF], channel, time)
        return MOVES + ZERO if has_room(r, channel, INTO_PE) else NO_ROOM + ZERO
    q, at = i32_at(r[P_QUEUES]), number * r[B_QUEUE]
    outputs = np.int64(q[at + Q_ROUTE] & OUTPUTS) if q[at + Q_THERE] != 0 else ZERO
    while outputs != 0:
        # Where the word is still to be moved in this cycle, its link comes first.
        link = router * LINKS + first_bit(outputs)
        if not is_begun(r, link, time):
            return link
        outputs &= outputs - 1
    return NO_ROOM + ZERO
