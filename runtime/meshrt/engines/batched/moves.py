"""The fabric instructions, each for a whole group of PEs: send, receives and streams, wait, route, host input."""

from __future__ import annotations

from meshrt.engines.batched.compiled import native
from meshrt.engines.batched.fabric import follow, transmit, unpark
from meshrt.engines.batched.mailbox import fail, free_message, free_node, new_message, new_node, push_post, words_of
from meshrt.engines.batched.receive import element_offset, end_wait, settle, shorter, take
from meshrt.engines.batched.records import (
    BLOCKING,
    C_ERROR,
    C_HOST_IN,
    C_LATEST,
    C_ROUTE_WRITES,
    C_WOKEN,
    C_WORK_HEAD,
    C_WORK_TAIL,
    DONE,
    E_BLOCKED,
    E_CALL,
    E_CLOCK,
    E_HOPS,
    E_MOVES,
    E_ON,
    E_RECEIVES,
    E_ROW,
    E_SENDS,
    E_STAGES,
    ERROR_ASYNC_MOVES,
    ERROR_COLOR,
    ERROR_HANDLE_BUSY,
    ERROR_HANDLE_IDLE,
    ERROR_INPUT_QUEUES,
    ERROR_OUTPUT_QUEUES,
    ERROR_ROUTE_RACE,
    F_ELEMENTS,
    F_POST_HEAD,
    FLYING,
    H_CALL,
    H_COLOR,
    H_HIGH,
    H_HOPS,
    H_KIND,
    H_LOW,
    H_STAGES,
    H_STATE,
    H_TIME,
    IDLE,
    K_HEAD,
    M_ADDR,
    M_CALL,
    M_COLOR,
    M_DISTANCE,
    M_DTYPE,
    M_END,
    M_FIRST,
    M_HANDLE,
    M_HOPS,
    M_LAST,
    M_N,
    M_OWNER,
    M_SEND,
    M_STAGES,
    NOTHING,
    ON_HANDLE,
    ON_ROOM,
    ON_ROUTE,
    ON_WORDS,
    P_ADDR,
    P_CALL,
    P_DTYPE,
    P_HANDLE,
    P_HOPS,
    P_KIND,
    P_N,
    P_OUT,
    P_PE,
    P_PERIOD,
    P_ROW,
    P_STAGES,
    P_START,
    P_VIEW,
    R_BEFORE,
    R_CONFIG,
    R_OWN,
    R_PASSED,
    R_SINCE,
    RAMP,
    RUNNING,
    SEND,
    STREAM_COPY,
    T_WORDS,
    V_DENSE,
)


@native
def launch(s, pe, handle, kind, color, call, at, low, high):
    """Take a handle for an asynchronous move, and a queue for each direction; False when there is none."""
    h = pe * s.handle_count + handle
    if s.handles[h, H_STATE] != IDLE:
        fail(s, ERROR_HANDLE_BUSY, pe, color, call, handle, 0)
        return
    s.handles[h, H_STATE] = FLYING
    s.handles[h, H_KIND] = kind
    s.handles[h, H_COLOR] = color
    s.handles[h, H_CALL] = call
    s.handles[h, H_LOW] = low
    s.handles[h, H_HIGH] = high
    s.pes[pe, E_MOVES] += 1
    if kind == SEND or kind >= STREAM_COPY:
        s.pes[pe, E_SENDS] += 1
    if kind != SEND:
        s.pes[pe, E_RECEIVES] += 1
    if s.pes[pe, E_MOVES] > s.timing.async_moves:
        fail(s, ERROR_ASYNC_MOVES, pe, color, call, s.pes[pe, E_MOVES], s.timing.async_moves)
    if s.pes[pe, E_SENDS] > s.timing.output_queues:
        fail(s, ERROR_OUTPUT_QUEUES, pe, color, call, s.pes[pe, E_SENDS], s.timing.output_queues)
    if s.pes[pe, E_RECEIVES] > s.timing.input_queues:
        fail(s, ERROR_INPUT_QUEUES, pe, color, call, s.pes[pe, E_RECEIVES], s.timing.input_queues)
    s.pes[pe, E_CLOCK] = at
    s.counters[C_LATEST] = max(s.counters[C_LATEST], at)


@native
def dense_color(s, color, pe, call):
    """The dense number of a color; an error where the program routes no such color."""
    number = s.color_numbers[color] if 0 <= color < s.color_numbers.shape[0] else -1
    if number < 0:
        fail(s, ERROR_COLOR, pe, color, call, 0, 0)
        return 0
    return number


@native
def work_off(s, stack):
    """Send on all results that are on the list of work."""
    while s.counters[C_WORK_HEAD] < s.counters[C_WORK_TAIL] and s.counters[C_ERROR] == 0:
        m = s.work[s.counters[C_WORK_HEAD] % s.work.shape[0]]
        s.counters[C_WORK_HEAD] += 1
        transmit(s, m, stack)
        free_message(s, m)


@native
def send_group(s, stack, pes, colors, addresses, offsets, view, n, dtype, handle, row, call):
    """``send``: one message from each PE, read from its buffer row at ``addresses`` plus offset."""
    s.counters[C_WOKEN] = 0
    words = words_of(s, n, dtype)
    wide_color = 1 if colors.shape[0] > 1 else 0
    wide_offset = 1 if offsets.shape[0] > 1 else 0
    dense = s.views[view, V_DENSE] == 1
    for i in range(pes.shape[0]):
        pe = pes[i]
        color = dense_color(s, colors[i * wide_color], pe, call)
        at = addresses[pe] + offsets[i * wide_offset]
        m = new_message(s, 0 if dense else n)
        if dense:
            s.messages[m, M_ADDR] = at
            s.messages[m, M_N] = n
        else:
            target = s.messages[m, M_ADDR]
            for j in range(n):
                s.memory[target + j] = s.memory[at + element_offset(s, view, j)]
        time = s.pes[pe, E_CLOCK] + s.timing.issue
        if handle == BLOCKING:
            time += s.timing.setup
            s.pes[pe, E_BLOCKED] = ON_ROOM
            s.pes[pe, E_ON] = color
            s.pes[pe, E_CALL] = call
        else:
            time += s.timing.launch
            launch(s, pe, handle, SEND, color, call, time, at, at + n)
        s.pes[pe, E_ROW] = row
        s.messages[m, M_DTYPE] = dtype
        s.messages[m, M_COLOR] = color
        s.messages[m, M_FIRST] = time
        s.messages[m, M_LAST] = time + words - 1
        s.messages[m, M_HOPS] = s.pes[pe, E_HOPS]
        s.messages[m, M_STAGES] = s.pes[pe, E_STAGES]
        s.messages[m, M_OWNER] = pe
        s.messages[m, M_HANDLE] = handle
        s.messages[m, M_END] = time + words
        s.messages[m, M_CALL] = call
        s.messages[m, M_SEND] = 0
        s.messages[m, M_DISTANCE] = 0
        s.metrics[row, T_WORDS] += words
        if s.counters[C_ERROR] != 0:
            return
        transmit(s, m, stack)
        free_message(s, m)
    work_off(s, stack)


@native
def receive_group(
    s, stack, kind, pes, colors, outs, addresses, offsets, view, n, span, dtype, period, handle, row, call
):
    """Receives, receive-and-combine and stream-through: one move of each PE waits for its words."""
    s.counters[C_WOKEN] = 0
    wide_color = 1 if colors.shape[0] > 1 else 0
    wide_out = 1 if outs.shape[0] > 1 else 0
    wide_offset = 1 if offsets.shape[0] > 1 else 0
    for i in range(pes.shape[0]):
        pe = pes[i]
        color = dense_color(s, colors[i * wide_color], pe, call)
        at = addresses[pe] + offsets[i * wide_offset]
        p = new_node(s)
        start = s.pes[pe, E_CLOCK] + s.timing.issue
        if handle == BLOCKING:
            start += s.timing.setup
            s.pes[pe, E_BLOCKED] = ON_WORDS
            s.pes[pe, E_ON] = color
            s.pes[pe, E_CALL] = call
        else:
            start += s.timing.launch
            launch(s, pe, handle, kind, color, call, start, at, at + span)
        s.pes[pe, E_ROW] = row
        s.nodes[p, P_KIND] = kind
        s.nodes[p, P_PE] = pe
        s.nodes[p, P_ADDR] = at
        s.nodes[p, P_VIEW] = view
        s.nodes[p, P_N] = n
        s.nodes[p, P_DTYPE] = dtype
        s.nodes[p, P_START] = start
        s.nodes[p, P_HANDLE] = handle
        s.nodes[p, P_ROW] = row
        s.nodes[p, P_CALL] = call
        s.nodes[p, P_PERIOD] = period
        s.nodes[p, P_HOPS] = s.pes[pe, E_HOPS]
        s.nodes[p, P_STAGES] = s.pes[pe, E_STAGES]
        if kind >= STREAM_COPY:
            s.nodes[p, P_OUT] = dense_color(s, outs[i * wide_out], pe, call)
        if s.counters[C_ERROR] != 0:
            return
        f = pe * s.colors + color
        if s.queues[f, F_POST_HEAD] == 0 and s.queues[f, F_ELEMENTS] >= n:
            take(s, f, p)
            free_node(s, p)
        else:
            push_post(s, f, p)
    work_off(s, stack)


@native
def wait_group(s, pes, handle, row, call):
    """``wait``: PEs whose move has ended go on; the others block until it has."""
    s.counters[C_WOKEN] = 0
    woken = 0
    for i in range(pes.shape[0]):
        pe = pes[i]
        h = pe * s.handle_count + handle
        state = s.handles[h, H_STATE]
        if state == IDLE:
            fail(s, ERROR_HANDLE_IDLE, pe, -1, call, handle, 0)
            return
        kind = s.handles[h, H_KIND]
        s.pes[pe, E_MOVES] -= 1
        if kind == SEND or kind >= STREAM_COPY:
            s.pes[pe, E_SENDS] -= 1
        if kind != SEND:
            s.pes[pe, E_RECEIVES] -= 1
        s.pes[pe, E_ROW] = row
        s.pes[pe, E_CLOCK] += s.timing.issue
        if state == DONE:
            end_wait(s, pe, s.pes[pe, E_CLOCK], s.handles[h, H_TIME], s.handles[h, H_HOPS], s.handles[h, H_STAGES])
            s.counters[C_LATEST] = max(s.counters[C_LATEST], s.pes[pe, E_CLOCK])
            s.woken[woken] = pe
            woken += 1
        else:
            s.pes[pe, E_BLOCKED] = ON_HANDLE
            s.pes[pe, E_ON] = handle
            s.pes[pe, E_CALL] = call
        # A flying move keeps FLYING in its handle until it ends; the handle is free for the PE afterwards.
        s.handles[h, H_STATE] = IDLE if state == DONE else FLYING
    s.counters[C_WOKEN] = woken


@native
def route_group(s, stack, pes, colors, config, row, call):
    """``route``: a new configuration behind the words that the PE has sent on the color."""
    s.counters[C_WOKEN] = 0
    wide_color = 1 if colors.shape[0] > 1 else 0
    cost = s.timing.issue + s.timing.route_write
    for i in range(pes.shape[0]):
        pe = pes[i]
        color = dense_color(s, colors[i * wide_color], pe, call)
        r = color * s.pe_count + pe
        s.pes[pe, E_CLOCK] += cost
        s.pes[pe, E_ROW] = row
        time = s.pes[pe, E_CLOCK]
        s.counters[C_LATEST] = max(s.counters[C_LATEST], time)
        s.counters[C_ROUTE_WRITES] += 1
        if s.parked[r * 5 + RAMP, K_HEAD] != 0:
            s.pes[pe, E_BLOCKED] = ON_ROUTE
            s.pes[pe, E_ON] = color
            s.pes[pe, E_CALL] = call
            continue
        since = max(time, s.routes[r, R_OWN] + 1)
        old = s.routes[r, R_CONFIG]
        if s.routes[r, R_PASSED] >= since:
            fail(s, ERROR_ROUTE_RACE, pe, color, call, s.routes[r, R_PASSED], since)
            return
        s.routes[r, R_BEFORE] = old & 7
        s.routes[r, R_CONFIG] = config
        s.routes[r, R_SINCE] = since
        s.woken[s.counters[C_WOKEN]] = pe
        s.counters[C_WOKEN] += 1
        unpark(s, pe, color, (config & 7) - 1, since, stack)
        if s.counters[C_ERROR] != 0:
            return
    work_off(s, stack)


@native
def inject(s, stack, router, port, color, m, words):
    """The host's words enter a router through an outer port, from time 0 on."""
    s.counters[C_WOKEN] = 0
    s.messages[m, M_COLOR] = color
    s.messages[m, M_FIRST] = 0
    s.messages[m, M_LAST] = words - 1
    s.messages[m, M_HOPS] = 0
    s.messages[m, M_STAGES] = 0
    s.messages[m, M_OWNER] = -1
    s.messages[m, M_HANDLE] = NOTHING
    s.messages[m, M_END] = words
    s.messages[m, M_CALL] = -1
    s.messages[m, M_SEND] = 0
    s.messages[m, M_DISTANCE] = 0
    s.counters[C_HOST_IN] += words
    stack[0, 0], stack[0, 1] = router, port
    stack[0, 2], stack[0, 3], stack[0, 4] = 0, words - 1, 0
    follow(s, m, stack, 0)
    free_message(s, m)
    work_off(s, stack)


@native
def advance(s, pes, cycles):
    """The clocks of a group move on together."""
    latest = s.counters[C_LATEST]
    for i in range(pes.shape[0]):
        time = s.pes[pes[i], E_CLOCK] + cycles
        s.pes[pes[i], E_CLOCK] = time
        if time > latest:
            latest = time
    s.counters[C_LATEST] = latest


@native
def swap(addresses, slots, a, b, pes):
    """``rotate``: exchange the addresses (and SRAM slots) of two buffers."""
    for i in range(pes.shape[0]):
        pe = pes[i]
        addresses[a, pe], addresses[b, pe] = addresses[b, pe], addresses[a, pe]
        slots[a, pe], slots[b, pe] = slots[b, pe], slots[a, pe]
