"""How a PE launches each kind of fabric instruction: a send, a receive or stream-through, a change of a route."""

from __future__ import annotations

from meshrt.compiled import inline, internal
from meshrt.engines.batched.combine import element_offset
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
from meshrt.engines.batched.fabric import unpark
from meshrt.engines.batched.mailbox import fail, new_message, outgoing_message, push_post, sent_by
from meshrt.engines.batched.receive import end_move, make_room, take
from meshrt.engines.batched.records import (
    A_CHANNELS,
    A_COLORS,
    A_METRICS,
    A_PARKED,
    A_PES,
    A_ROUTES,
    A_WOKEN,
    B_COLOR_LIMIT,
    B_PES,
    BLOCKING,
    C_ERROR,
    C_LATEST,
    C_ROUTE_WRITES,
    C_WOKEN,
    COLOR,
    E_BLOCKED,
    E_CALL,
    E_CLOCK,
    E_HOPS,
    E_MOVES,
    E_ON,
    E_ROW,
    E_SIZE,
    E_STAGES,
    ERROR_ASYNC_MOVES,
    ERROR_COLOR,
    ERROR_HANDLE_BUSY,
    ERROR_INPUT_QUEUES,
    ERROR_OUTPUT_QUEUES,
    ERROR_ROUTE_RACE,
    F_BEFORE,
    F_ELEMENTS,
    F_OWN,
    F_PASSED,
    F_POST_HEAD,
    F_SINCE,
    F_SIZE,
    FLYING,
    G_BUFFER,
    G_CALL,
    G_CELLS,
    G_DENSE,
    G_DTYPE,
    G_HANDLE,
    G_KIND,
    G_N,
    G_ROW,
    G_VIEW,
    G_WORDS,
    IDLE,
    K_HEAD,
    K_SIZE,
    M_ADDR,
    MANY,
    ON_ROOM,
    ON_ROUTE,
    ON_WORDS,
    OUT,
    P_ADDR,
    P_GROUP,
    P_HOPS,
    P_PE,
    P_STAGES,
    P_START,
    P_STATE,
    PORTS,
    RAMP,
    SEND,
    STREAM_COPY,
    T_SIZE,
    T_WORDS,
    X_ASYNC_MOVES,
    X_EVENTS,
    X_INPUT_QUEUES,
    X_ISSUE,
    X_LAUNCH,
    X_OUTPUT_QUEUES,
    X_ROUTE_WRITE,
    X_SETUP,
    X_VALUES,
    X_VECTOR_ISSUE,
    ZERO,
)
from meshrt.engines.batched.value_log import GATHERED, log


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
        m = outgoing_message(r, at, n, r[g + G_CELLS], r[g + G_BUFFER] + pe)
    else:
        m = new_message(r, n)
        for j in range(n):
            memory[r[m + M_ADDR] + j] = memory[at + element_offset(r, r[g + G_VIEW], j)]
        log(r, GATHERED, g, n, r[g + G_BUFFER] + pe, at, r[g + G_CALL], ZERO, r[m + M_ADDR], ZERO, ZERO)
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
        take(r, memory, f, p, ZERO, r[g + G_N], ZERO, ZERO, ZERO)
    else:
        push_post(r, f, p)
        make_room(r, memory, f)


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
