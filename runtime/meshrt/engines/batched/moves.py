"""The fabric instructions, each for a whole group of PEs: send, receives and streams, wait, route; host input."""

from __future__ import annotations

import numpy as np

from meshrt.compiled import native
from meshrt.engines.batched.critical import EVENT_SIZE, ISSUE, WORD, message_events, pe_events, slot_events
from meshrt.engines.batched.fabric import follow
from meshrt.engines.batched.launch import dense_color, load_of, send_nothing, start_receive, start_route, start_send
from meshrt.engines.batched.mailbox import add_work, fail, new_message, sent_by
from meshrt.engines.batched.receive import end_wait
from meshrt.engines.batched.records import (
    A_CHANNELS,
    A_COLORS,
    A_PES,
    A_SLOTS,
    A_WOKEN,
    A_WORK,
    B_HANDLES,
    B_PES,
    B_WORK_MASK,
    C_ERROR,
    C_HOST_IN,
    C_LATEST,
    C_WOKEN,
    C_WORK_HEAD,
    C_WORK_TAIL,
    COLOR,
    DO_RECEIVE,
    DO_ROUTE,
    DO_SEND,
    DONE,
    E_BLOCKED,
    E_CALL,
    E_CLOCK,
    E_MOVES,
    E_ON,
    E_RAMP_OUT,
    E_ROW,
    E_SIZE,
    ERROR_HANDLE_IDLE,
    F_SIZE,
    G_CALL,
    G_DENSE,
    G_HANDLE,
    G_KIND,
    G_WORDS,
    HOST_ROW,
    IDLE,
    NOTHING,
    ON_HANDLE,
    P_GROUP,
    P_HOPS,
    P_SIZE,
    P_STAGES,
    P_START,
    P_STATE,
    STREAM_COPY,
    X_EVENTS,
    X_ISSUE,
    ZERO,
)
from meshrt.engines.batched.straight import send_straight
from meshrt.engines.batched.tracing import Y_CHANNEL, Y_LINKS, Y_PE, Y_SLOT
from meshrt.engines.pointers import f32_at, i64_at, prefetch

#: PEs ahead of the present one whose records are asked for, so that they are at hand when its turn comes.
AHEAD = 12


@native
def move(records_at, memory_at, what, g, pes, colors, others, addresses, offsets, paths):
    """A fabric instruction of a group of PEs, and all that it sets off in others.

    ``what`` is one of the DO constants and ``g`` the instruction's record. ``colors``,
    ``others`` and ``offsets`` have one entry, or one for each PE; ``others`` are the outgoing
    colors of a stream-through or the configurations of a route. A PE's buffer lies at
    ``addresses[pe] + offset``. ``paths`` are those of :mod:`.tracing`, or none. Messages are
    sent on before the next PE starts, so that the order is that of the PEs.
    """
    r, memory = i64_at(records_at), f32_at(memory_at)
    r[C_WOKEN] = 0
    count = pes.shape[0]
    wide_color = 1 if colors.shape[0] > 1 else 0
    wide_other = 1 if others.shape[0] > 1 else 0
    wide_offset = 1 if offsets.shape[0] > 1 else 0
    handle = r[g + G_HANDLE] if r[g + G_HANDLE] >= 0 else r[B_HANDLES]
    slots = r[A_SLOTS] + handle * r[B_PES] * P_SIZE
    straight = (
        what == DO_SEND
        and r[X_EVENTS] == 0
        and paths.shape[0] == count
        and r[g + G_HANDLE] >= 0
        and r[g + G_DENSE] == 1
    )
    i = 0
    while r[C_ERROR] == 0:
        m = ZERO
        if r[C_WORK_HEAD] < r[C_WORK_TAIL]:
            m = r[r[A_WORK] + (r[C_WORK_HEAD] & r[B_WORK_MASK])]
            r[C_WORK_HEAD] += 1
        elif i == count:
            return
        else:
            if i + AHEAD < count:
                soon = np.int64(pes[i + AHEAD])
                color = r[r[A_COLORS] + colors[(i + AHEAD) * wide_color]]
                prefetch(records_at + (slots + soon * P_SIZE) * 8)
                prefetch(records_at + (r[A_PES] + soon * E_SIZE) * 8)
                if straight:
                    prefetch(records_at + paths[i + AHEAD, Y_CHANNEL] * 8)
                    prefetch(records_at + (paths[i + AHEAD, Y_PE] + E_RAMP_OUT) * 8)
                    prefetch(records_at + paths[i + AHEAD, Y_SLOT] * 8)
                    prefetch(records_at + paths[i + AHEAD, Y_LINKS] * 8)
                    prefetch(records_at + paths[i + AHEAD, Y_LINKS + 1] * 8)
                else:
                    prefetch(records_at + (r[A_CHANNELS] + (color * r[B_PES] + soon) * F_SIZE) * 8)
            pe = np.int64(pes[i])
            color = dense_color(r, colors[i * wide_color], pe, r[g + G_CALL])
            other = others[i * wide_other]
            at = addresses[pe] + offsets[i * wide_offset]
            p = slots + pe * P_SIZE
            i += 1
            if what == DO_SEND:
                if r[g + G_WORDS] == 0:
                    send_nothing(r, g, p, pe, color, at)
                elif not straight or not send_straight(r, memory, g, p, pe, color, at, paths, i - 1):
                    m = start_send(r, memory, g, p, pe, color, at)
            elif what == DO_RECEIVE:
                if r[g + G_KIND] >= STREAM_COPY:
                    other = dense_color(r, other, pe, r[g + G_CALL])
                start_receive(r, memory, g, p, pe, color, other, at)
            elif what == DO_ROUTE:
                start_route(r, g, pe, color, other)
        if m != 0:
            follow(r, memory, m)


@native
def wait_group(records_at, pes, handle, row, call):
    """``wait``: PEs whose move has ended go on; the others block until it has."""
    r = i64_at(records_at)
    woken = 0
    for i in range(pes.shape[0]):
        pe = np.int64(pes[i])
        e = r[A_PES] + pe * E_SIZE
        p = r[A_SLOTS] + (handle * r[B_PES] + pe) * P_SIZE
        state = r[p + P_STATE] % COLOR
        if state == IDLE:
            fail(r, ERROR_HANDLE_IDLE, pe, -1 + ZERO, call, handle, ZERO)
            return
        r[e + E_MOVES] -= load_of(r[r[p + P_GROUP] + G_KIND])
        r[e + E_CLOCK] += r[X_ISSUE]
        if r[X_EVENTS] == 1:
            r[pe_events(r, e) + ISSUE] += 1
        if state == DONE:
            r[p + P_STATE] = IDLE
            vector = slot_events(r, p)
            end_wait(r, e, row, r[e + E_CLOCK], r[p + P_START], r[p + P_HOPS], r[p + P_STAGES], vector)
            r[r[A_WOKEN] + woken] = pe
            woken += 1
        else:
            r[e + E_BLOCKED] = ON_HANDLE
            r[e + E_ON] = handle
            r[e + E_CALL] = call
            r[e + E_ROW] = row
    r[C_WOKEN] = woken


@native
def wait_all(records_at, pes, handles, row):
    """Several waits, one after the other, when all their moves have ended on all PEs; else nothing, and False."""
    r = i64_at(records_at)
    for i in range(pes.shape[0]):
        for j in range(handles.shape[0]):
            p = r[A_SLOTS] + (handles[j] * r[B_PES] + pes[i]) * P_SIZE
            if r[p + P_STATE] % COLOR != DONE:
                return False
    for i in range(pes.shape[0]):
        pe = np.int64(pes[i])
        e = r[A_PES] + pe * E_SIZE
        for j in range(handles.shape[0]):
            p = r[A_SLOTS] + (handles[j] * r[B_PES] + pe) * P_SIZE
            r[e + E_MOVES] -= load_of(r[r[p + P_GROUP] + G_KIND])
            r[p + P_STATE] = IDLE
            start = r[e + E_CLOCK] + r[X_ISSUE]
            if r[X_EVENTS] == 1:
                r[pe_events(r, e) + ISSUE] += 1
            end_wait(r, e, row, start, r[p + P_START], r[p + P_HOPS], r[p + P_STAGES], slot_events(r, p))
    return True


@native
def host_message(records_at, n, router, port, color, dtype, words):
    """A message with memory for n elements that the host sends into a router through an outer port, from time 0 on."""
    r = i64_at(records_at)
    m = new_message(r, n)
    # A fresh message is sent on by the next call of :func:`move`.
    sent_by(r, m, router, port, NOTHING, -1, HOST_ROW, dtype, color, words, 0, words - 1, 0, 0)
    r[C_HOST_IN] += words
    if r[X_EVENTS] == 1:
        vector = message_events(r, m)
        for k in range(2 * EVENT_SIZE):
            r[vector + k] = 0
        r[vector + EVENT_SIZE + WORD] = words - 1
    add_work(r, m)
    return m


@native
def advance(records_at, pes, cycles):
    """The clocks of a group move on together."""
    r = i64_at(records_at)
    latest = r[C_LATEST]
    for i in range(pes.shape[0]):
        e = r[A_PES] + pes[i] * E_SIZE
        time = r[e + E_CLOCK] + cycles
        r[e + E_CLOCK] = time
        latest = max(latest, time)
    r[C_LATEST] = latest
