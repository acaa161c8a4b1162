"""The fabric instructions, each for a whole group of PEs: send, receives and streams, wait, route; host input."""

from __future__ import annotations

import numpy as np

from meshrt.engines.batched.critical import (
    EVENT_SIZE,
    ISSUE,
    LAUNCH,
    ROUTE_WRITE,
    SETUP,
    VECTOR_ISSUE,
    WORD,
    copy_events,
    message_events,
    pe_events,
    slot_events,
)
from meshrt.engines.batched.fabric import follow, occupy, unpark
from meshrt.engines.batched.mailbox import add_work, fail, new_message, outgoing_message, push_post, sent_by
from meshrt.engines.batched.receive import element_offset, end_move, end_wait, shorter, take, taken_time
from meshrt.engines.batched.records import (
    A_CHANNELS,
    A_COLORS,
    A_METRICS,
    A_PARKED,
    A_PES,
    A_ROUTES,
    A_SLOTS,
    A_WOKEN,
    A_WORK,
    B_COLOR_LIMIT,
    B_HANDLES,
    B_PES,
    B_WORK_MASK,
    BLOCKING,
    C_ERROR,
    C_HOST_IN,
    C_LATEST,
    C_POSTED,
    C_ROUTE_WRITES,
    C_STALLED,
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
    E_HOPS,
    E_MOVES,
    E_ON,
    E_RAMP_IN,
    E_RAMP_OUT,
    E_ROW,
    E_SIZE,
    E_STAGES,
    ERROR_ASYNC_MOVES,
    ERROR_COLOR,
    ERROR_HANDLE_BUSY,
    ERROR_HANDLE_IDLE,
    ERROR_INPUT_QUEUES,
    ERROR_OUTPUT_QUEUES,
    ERROR_ROUTE_RACE,
    F_BEFORE,
    F_CHUNK,
    F_CHUNK_FIRST,
    F_CHUNK_LAST,
    F_ELEMENTS,
    F_ENTERED,
    F_OWN,
    F_PASSED,
    F_POST_HEAD,
    F_SINCE,
    F_SIZE,
    F_TAKEN,
    FLYING,
    G_CALL,
    G_CELLS,
    G_DENSE,
    G_DTYPE,
    G_HANDLE,
    G_KIND,
    G_N,
    G_PERIOD,
    G_POOL,
    G_ROW,
    G_VIEW,
    G_WORDS,
    HOST_ROW,
    IDLE,
    K_HEAD,
    K_SIZE,
    M_ADDR,
    MANY,
    NOTHING,
    ON_HANDLE,
    ON_ROOM,
    ON_ROUTE,
    ON_WORDS,
    OUT,
    P_ADDR,
    P_GROUP,
    P_HOPS,
    P_NEXT,
    P_PE,
    P_SIZE,
    P_STAGES,
    P_START,
    P_STATE,
    PORTS,
    RAMP,
    RECV,
    RUNNING,
    SEND,
    STREAM_COPY,
    T_HOPS,
    T_SIZE,
    T_WORDS,
    X_ASYNC_MOVES,
    X_EVENTS,
    X_HOP,
    X_INPUT_QUEUES,
    X_ISSUE,
    X_LAUNCH,
    X_LINK_WORDS,
    X_OUTPUT_QUEUES,
    X_QUEUE_WORDS,
    X_RAMP,
    X_RAMP_WORDS,
    X_ROUTE_WRITE,
    X_SETUP,
    X_VALUES,
    X_VECTOR_ISSUE,
    ZERO,
)
from meshrt.engines.batched.sharing import own_row, share_row
from meshrt.engines.batched.tracing import Y_CHANNEL, Y_HOPS, Y_LINKS, Y_PE, Y_SLOT
from meshrt.engines.compiled import inline, internal, native
from meshrt.engines.pointers import f32_at, i64_at, prefetch

#: PEs ahead of the present one whose records are asked for, so that they are at hand when its turn comes.
AHEAD = 12


@inline
def begin(r, pe, p, g, color, out, why, at):
    """A PE starts a move of group g in slot p: it blocks, or goes on. Gives the time of the first word."""
    e = r[A_PES] + pe * E_SIZE
    time = r[e + E_CLOCK] + r[X_ISSUE]
    if r[g + G_HANDLE] == BLOCKING:
        time += r[X_SETUP] + r[X_VECTOR_ISSUE]
        r[e + E_ROW] = r[g + G_ROW]
        r[e + E_BLOCKED] = why
        r[e + E_ON] = color
        r[e + E_CALL] = r[g + G_CALL]
    else:
        time += r[X_LAUNCH]
        if r[p + P_STATE] != IDLE:
            fail(r, ERROR_HANDLE_BUSY, pe, color, r[g + G_CALL], r[g + G_HANDLE], ZERO)
        r[p + P_STATE] = FLYING + color * COLOR
        r[e + E_MOVES] += load_of(r[g + G_KIND])
        if not within_limits(r, r[e + E_MOVES]):
            too_many(r, pe, g, color)
        r[e + E_CLOCK] = time
        if time > r[C_LATEST]:
            r[C_LATEST] = time
    r[p + P_GROUP] = g
    r[p + P_PE] = pe + out * OUT
    r[p + P_ADDR] = at
    r[p + P_START] = time
    r[p + P_HOPS] = r[e + E_HOPS]
    r[p + P_STAGES] = r[e + E_STAGES]
    if r[X_EVENTS] == 1:
        launch_events(r, e, p, r[g + G_HANDLE] == BLOCKING)
    return time


@internal
def launch_events(r, e, p, blocking):
    """What the launch of a move adds to the critical path: to its start, and to the clock unless it blocks."""
    vector = slot_events(r, p)
    copy_events(r, vector, pe_events(r, e))
    r[vector + ISSUE] += 1
    if blocking:
        r[vector + SETUP] += 1
        r[vector + VECTOR_ISSUE] += 1
    else:
        r[vector + LAUNCH] += 1
        copy_events(r, pe_events(r, e), vector)


@inline
def load_of(kind):
    """What a move of a kind adds to the count of those under way."""
    change = MANY * MANY
    if kind == SEND or kind >= STREAM_COPY:
        change += MANY
    if kind != SEND:
        change += 1
    return change


@inline
def within_limits(r, moves):
    """Whether so many asynchronous moves may be under way at once."""
    return (
        moves // (MANY * MANY) <= r[X_ASYNC_MOVES]
        and moves // MANY % MANY <= r[X_OUTPUT_QUEUES]
        and moves % MANY <= r[X_INPUT_QUEUES]
    )


@internal
def too_many(r, pe, g, color):
    """Report which limit on asynchronous moves a PE has passed."""
    moves = r[r[A_PES] + pe * E_SIZE + E_MOVES]
    sends, receives, call = moves // MANY % MANY, moves % MANY, r[g + G_CALL]
    if sends > r[X_OUTPUT_QUEUES]:
        fail(r, ERROR_OUTPUT_QUEUES, pe, color, call, sends, r[X_OUTPUT_QUEUES])
    elif receives > r[X_INPUT_QUEUES]:
        fail(r, ERROR_INPUT_QUEUES, pe, color, call, receives, r[X_INPUT_QUEUES])
    else:
        fail(r, ERROR_ASYNC_MOVES, pe, color, call, moves // (MANY * MANY), r[X_ASYNC_MOVES])


@inline
def dense_color(r, color, pe, call):
    """The dense number of a color; an error where the program routes no such color."""
    number = r[r[A_COLORS] + color] if 0 <= color < r[B_COLOR_LIMIT] else -1 + ZERO
    if number < 0:
        fail(r, ERROR_COLOR, pe, color, call, ZERO, ZERO)
        return ZERO
    return number


@inline
def start_send(r, memory, g, p, pe, color, at):
    """A PE sends the view at ``at``; gives its message."""
    n = r[g + G_N]
    if r[g + G_DENSE] == 1 or r[X_VALUES] == 0:
        m = outgoing_message(r, at, n, r[g + G_CELLS])
    else:
        m = new_message(r, n)
        for j in range(n):
            memory[r[m + M_ADDR] + j] = memory[at + element_offset(r, r[g + G_VIEW], j)]
    time = begin(r, pe, p, g, color, ZERO, ON_ROOM, at)
    words = r[g + G_WORDS]
    call, dtype, handle = r[g + G_CALL], r[g + G_DTYPE], r[g + G_HANDLE]
    hops, stages = r[p + P_HOPS], r[p + P_STAGES]
    sent_by(r, m, pe, RAMP, handle, call, r[g + G_ROW], dtype, color, words, time, time + words - 1, hops, stages)
    r[r[A_METRICS] + r[g + G_ROW] * T_SIZE + T_WORDS] += words
    if r[X_EVENTS] == 1:
        vector = message_events(r, m)
        copy_events(r, vector, slot_events(r, p))
        copy_events(r, vector + EVENT_SIZE, vector)
        r[vector + EVENT_SIZE + WORD] += words - 1
    return m


@inline
def send_nothing(r, g, p, pe, color, at):
    """A PE sends a view without elements: the move starts, and ends where its first word would leave."""
    time = begin(r, pe, p, g, color, ZERO, ON_ROOM, at)
    end_move(r, pe, r[g + G_HANDLE], time, r[p + P_HOPS], r[p + P_STAGES], slot_events(r, p))


@inline
def start_receive(r, memory, g, p, pe, color, out, at):
    """A PE's move waits for its words, or takes them at once."""
    begin(r, pe, p, g, color, out, ON_WORDS, at)
    f = r[A_CHANNELS] + (color * r[B_PES] + pe) * F_SIZE
    if r[C_ERROR] != 0:
        return
    if r[f + F_POST_HEAD] == 0 and r[f + F_ELEMENTS] >= r[g + G_N]:
        take(r, memory, f, p, ZERO, ZERO, ZERO, ZERO)
    else:
        push_post(r, f, p)


@internal
def start_route(r, g, pe, color, config):
    """A PE rewrites a route: words that wait for the new configuration join the list of work."""
    e = r[A_PES] + pe * E_SIZE
    f = r[A_CHANNELS] + (color * r[B_PES] + pe) * F_SIZE
    time = r[e + E_CLOCK] + r[X_ISSUE] + r[X_ROUTE_WRITE]
    r[e + E_CLOCK] = time
    r[e + E_ROW] = r[g + G_ROW]
    r[C_LATEST] = max(r[C_LATEST], time)
    r[C_ROUTE_WRITES] += 1
    if r[X_EVENTS] == 1:
        r[pe_events(r, e) + ISSUE] += 1
        r[pe_events(r, e) + ROUTE_WRITE] += 1
    if r[r[A_PARKED] + ((color * r[B_PES] + pe) * PORTS + RAMP) * K_SIZE + K_HEAD] != 0:
        # The change goes behind this PE's own words, which the present configuration never lets through.
        r[e + E_BLOCKED] = ON_ROUTE
        r[e + E_ON] = color
        r[e + E_CALL] = r[g + G_CALL]
        return
    since = max(time, r[f + F_OWN] + 1)
    if r[f + F_PASSED] >= since:
        fail(r, ERROR_ROUTE_RACE, pe, color, r[g + G_CALL], r[f + F_PASSED], since)
        return
    route = r[A_ROUTES] + color * r[B_PES] + pe
    r[f + F_BEFORE] = r[route] & 7
    r[route] = config
    r[f + F_SINCE] = since
    r[r[A_WOKEN] + r[C_WOKEN]] = pe
    r[C_WOKEN] += 1
    unpark(r, pe, color, (config & 7) - 1, since)


@inline
def send_straight(r, memory, g, p, pe, color, at, paths, i):
    """Send along a known path to a receive that waits for just this message; False where that is not so.

    It does what :func:`~.fabric.follow` and :func:`~.receive.take` do, without looking the way up.
    """
    f = paths[i, Y_CHANNEL]
    if f == 0 or r[f + F_ELEMENTS] != 0:
        return False
    q = r[f + F_POST_HEAD]
    if q == 0:
        return False
    theirs = r[q + P_GROUP]
    handle = r[theirs + G_HANDLE]
    e = paths[i, Y_PE]
    if (
        r[theirs + G_KIND] != RECV
        or r[theirs + G_N] != r[g + G_N]
        or r[theirs + G_DTYPE] != r[g + G_DTYPE]
        or r[theirs + G_DENSE] == 0
        or handle < 0
        or r[e + E_BLOCKED] != RUNNING
    ):
        return False
    words = r[g + G_WORDS]
    first = begin(r, pe, p, g, color, ZERO, ON_ROOM, at)
    ends = first + words
    last = ends - 1
    r[r[A_METRICS] + r[g + G_ROW] * T_SIZE + T_WORDS] += words
    # The way there.
    lost = occupy(r, r[A_PES] + pe * E_SIZE + E_RAMP_IN, first, last, words, r[X_RAMP_WORDS])
    ends += lost
    first += min(lost, 1) + r[X_RAMP]
    last += lost + r[X_RAMP]
    hops = paths[i, Y_HOPS]
    r[r[A_METRICS] + r[g + G_ROW] * T_SIZE + T_HOPS] += words * hops
    for hop in range(hops):
        lost = occupy(r, paths[i, Y_LINKS + hop], first, last, words, r[X_LINK_WORDS])
        first += min(lost, 1) + r[X_HOP]
        last += lost + r[X_HOP]
    lost = occupy(r, e + E_RAMP_OUT, first, last, words, r[X_RAMP_WORDS])
    first += min(lost, 1) + r[X_RAMP]
    last += lost + r[X_RAMP]
    # The receive.
    there = r[q + P_PE] % OUT
    if r[theirs + G_CELLS] != 0 and r[g + G_CELLS] != 0:
        share_row(r, memory, r[theirs + G_CELLS] + there, at, r[theirs + G_POOL])
    else:
        to = r[q + P_ADDR]
        if r[theirs + G_CELLS] != 0:
            to = own_row(r, memory, r[theirs + G_CELLS] + there, r[theirs + G_POOL], ZERO)
        for j in range(r[g + G_N] * r[X_VALUES]):
            memory[to + j] = memory[at + j]
    period = r[theirs + G_PERIOD]
    alone = r[q + P_START] + (words - 1) * period
    c_first = max(r[q + P_START], first)
    c_last = max(c_first + (words - 1) * period, last)
    hops += r[p + P_HOPS]
    stages = r[p + P_STAGES] + 1
    if c_last > alone or (last == alone and shorter(stages, hops, r[q + P_STAGES], r[q + P_HOPS])):
        r[q + P_HOPS] = hops
        r[q + P_STAGES] = stages
    r[q + P_START] = c_last + period
    r[q + P_STATE] += DONE - FLYING
    r[f + F_POST_HEAD] = r[q + P_NEXT]
    r[C_POSTED] -= 1
    r[f + F_ENTERED] += words
    r[f + F_CHUNK] = r[f + F_TAKEN]
    r[f + F_TAKEN] += words
    r[f + F_CHUNK_FIRST] = c_first
    r[f + F_CHUNK_LAST] = c_last
    paths[i, Y_SLOT] = q
    # The sender, once its last word had room.
    target = r[f + F_ENTERED] - r[X_QUEUE_WORDS] * (paths[i, Y_HOPS] + 2)
    if target > r[f + F_CHUNK]:
        room = taken_time(r, f, target) + 1
        if room > ends:
            r[C_STALLED] += min(words, target - r[f + F_CHUNK])
            ends = room
    r[p + P_STATE] += DONE - FLYING
    r[p + P_START] = ends
    return True


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
