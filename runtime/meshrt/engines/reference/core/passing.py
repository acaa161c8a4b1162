"""Passing: a word goes over links, and the next one of its queue is the first."""

from __future__ import annotations

import numpy as np

from meshrt.compiled import inline
from meshrt.engines.loading.codes import RAMP
from meshrt.engines.pointers import (
    i32_at,
)
from meshrt.engines.reference.core.calendar import push_event
from meshrt.engines.reference.core.queues import channel_at, link_at, remove_first, set_off
from meshrt.engines.reference.core.records import (
    A_TURNS,
    B_QUEUE,
    F_PASSED,
    F_TURN,
    HELD,
    L_GONE,
    L_KEPT,
    L_NEXT,
    L_WORDS,
    LINKS,
    MIDWAY,
    MOVE_ENDS,
    P_QUEUES,
    Q_ROUTE,
    Q_THERE,
    QUEUES,
    T_BEHIND,
    T_SIZE,
    T_TIME,
    TURN,
    X_HOP,
    X_RAMP,
)
from meshrt.engines.reference.core.room import CYCLE


@inline
def count_use(r, link, color, time):
    """One more word over a link."""
    at = link_at(r, link)
    r[at + L_GONE] = max(r[at + L_GONE], (time + 1) * CYCLE) + 1
    r[at + L_WORDS] += 1
    r[at + L_NEXT] = color + 1
    r[at + L_KEPT] &= ~(1 << color)


@inline
def go(r, router, side, color, word, hops, time):
    """A word that has gone so many hops goes over a link within its region."""
    ramp = side == RAMP
    arrival = time + (r[X_RAMP] if ramp else r[X_HOP])
    set_off(r, router * LINKS + side, color, word, hops + (0 if ramp else 1), arrival)


@inline
def gone_on(r, channel, number, gone, time):
    """The first word of a queue has gone over the outputs of its route; gives whether none is there now."""
    q, at = i32_at(r[P_QUEUES]), number * r[B_QUEUE]
    remove_first(r, number, time)
    flags = np.int64(q[at + Q_ROUTE]) & ~HELD
    if number - channel * QUEUES == RAMP:
        f = channel_at(r, channel)
        r[f + F_PASSED] += 1
        turn = r[f + F_TURN]
        if turn != 0 and r[f + F_PASSED] >= r[r[A_TURNS] + (turn - 1) * T_SIZE + T_BEHIND]:
            push_event(r, max(time + 1, r[r[A_TURNS] + (turn - 1) * T_SIZE + T_TIME]), TURN, channel)
        q[at + Q_ROUTE] = flags
    else:
        q[at + Q_ROUTE] = flags & ~MIDWAY if gone & MOVE_ENDS else flags | MIDWAY
    return q[at + Q_THERE] == 0
