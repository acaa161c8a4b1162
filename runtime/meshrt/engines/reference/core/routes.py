"""Routes of channels and their changes, behind the words that a PE has sent."""

from __future__ import annotations

import numpy as np

from meshrt.compiled import inline, internal
from meshrt.engines.loading.codes import RAMP
from meshrt.engines.pointers import first_bit, i32_at
from meshrt.engines.reference.core.calendar import push_event
from meshrt.engines.reference.core.queues import channel_at, fail, queue_at, queue_behind, want_no_outputs, want_outputs
from meshrt.engines.reference.core.records import (
    A_TURNS,
    B_COLORS,
    B_QUEUE,
    B_SHIFT,
    ERROR_ROUTE_RACE,
    F_CONFIG,
    F_LAST_TURN,
    F_PASSED,
    F_TURN,
    FINISHED,
    H_STATUS,
    H_TURN_FREE,
    HELD,
    LINKS,
    MIDWAY,
    P_QUEUES,
    P_ROUTES,
    Q_ROUTE,
    Q_THERE,
    QUEUES,
    T_BEHIND,
    T_CALL,
    T_CONFIG,
    T_NEXT,
    T_SIZE,
    T_TIME,
    TELL,
    TURN,
    ZERO,
)


@inline
def set_route(r, channel, config):
    """A channel has another route from now on; what its queues and its router know about it changes with it."""
    f, q = channel_at(r, channel), i32_at(r[P_QUEUES])
    router, color = channel >> r[B_SHIFT], channel & (r[B_COLORS] - 1)
    port, before = (config & 7) - 1, (r[f + F_CONFIG] & 7) - 1
    flags = ZERO
    if before >= 0:
        old = queue_at(r, channel, before) + Q_ROUTE
        flags = np.int64(q[old] & (MIDWAY | HELD))
        q[old] = q[old] & TELL
    new, outputs = queue_at(r, channel, port) + Q_ROUTE, config >> 3
    q[new] = q[new] & TELL | flags | outputs
    branches = outputs & (outputs - 1) != 0
    rest = outputs
    while rest != 0:
        behind = queue_behind(r, router * LINKS + first_bit(rest), color)
        if behind < 0:
            branches = True
        elif outputs & (outputs - 1) != 0:
            q[behind * r[B_QUEUE] + Q_ROUTE] |= TELL
        rest &= rest - 1
    i32_at(r[P_ROUTES])[channel] = 2 * (channel * QUEUES + port) + (1 if branches else 0)
    r[f + F_CONFIG] = config


@internal
def turn_routes(r, channel, time):
    """Apply the changes of a route whose time has come and whose PE's words have passed."""
    f = channel_at(r, channel)
    while r[f + F_TURN] != 0 and r[H_STATUS] == FINISHED:
        turn = r[f + F_TURN]
        t = r[A_TURNS] + (turn - 1) * T_SIZE
        if r[f + F_PASSED] < r[t + T_BEHIND]:
            return
        if r[t + T_TIME] > time:
            push_event(r, r[t + T_TIME], TURN, channel)
            return
        turn_route(r, channel, r[t + T_CONFIG], r[t + T_CALL], time)
        r[f + F_TURN] = r[t + T_NEXT]
        r[t + T_NEXT] = r[H_TURN_FREE]
        r[H_TURN_FREE] = turn
    r[f + F_LAST_TURN] = 0


@internal
def turn_route(r, channel, config, call, time):
    """A channel's route is rewritten in this cycle; no word of another PE may be on its way through."""
    q, old = i32_at(r[P_QUEUES]), r[channel_at(r, channel) + F_CONFIG]
    port = (old & 7) - 1
    if port >= 0:
        at = queue_at(r, channel, port)
        if port != RAMP and (q[at + Q_THERE] != 0 or q[at + Q_ROUTE] & MIDWAY):
            router, color = channel >> r[B_SHIFT], channel & (r[B_COLORS] - 1)
            fail(r, ERROR_ROUTE_RACE, router, color, call, time, ZERO)
            return
        if q[at + Q_THERE] != 0:
            want_no_outputs(r, channel, old >> 3, time)
    set_route(r, channel, config)
    if q[queue_at(r, channel, (config & 7) - 1) + Q_THERE] != 0:
        want_outputs(r, channel, config >> 3, time)
