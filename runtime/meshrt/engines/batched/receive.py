"""Moves that take words: receives, receive-and-combine, stream-through.

A move *waits* in the queue of its PE and color until enough elements have arrived; then
it takes them, and either ends or, when it streams through, sends its result on. Results
to be sent are put on the list of work, which :mod:`.moves` empties.

Timing of a move of w words that may start at r and takes a word every e cycles, when the
first word arrived at a and the last at b: the first word is taken at ``max(r, a)``, the
last at ``max(max(r, a) + (w - 1) e, b)``; the move ends e cycles later. A stream-through
sends the result of each word e cycles after it was taken, and ends one cycle after the
last. The clock takes over the message's critical path where the message set it.
"""

from __future__ import annotations

from meshrt.engines.batched.rounding import round_to
from meshrt.engines.batched.compiled import native, native_inline
from meshrt.engines.batched.mailbox import (
    fail,
    free_message,
    free_node,
    new_message,
    pop_post,
    push_message,
    word_time,
    words_of,
)
from meshrt.engines.batched.records import (
    BF16,
    BLOCKING,
    C_LATEST,
    C_STALLED,
    C_WOKEN,
    C_WORK_TAIL,
    DONE,
    E_BLOCKED,
    E_CLOCK,
    E_HOPS,
    E_ON,
    E_ROW,
    E_STAGES,
    ERROR_DTYPE,
    ERROR_SPLIT_WORD,
    F16,
    F_CHUNK,
    F_CHUNK_FIRST,
    F_CHUNK_LAST,
    F_ELEMENTS,
    F_ENTERED,
    F_MESSAGE_HEAD,
    F_POST_HEAD,
    F_ROOM_HEAD,
    F_TAKEN,
    H_COLUMNS,
    H_HOPS,
    H_STAGES,
    H_STATE,
    H_TIME,
    I32,
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
    M_NEXT,
    M_OWNER,
    M_SEND,
    M_STAGES,
    N_NEXT,
    ON_HANDLE,
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
    RECV,
    RECV_ADD,
    RECV_MAX,
    RUNNING,
    S_CALL,
    S_HANDLE,
    S_HOPS,
    S_LEFT,
    S_OWNER,
    S_STAGES,
    S_TIME,
    STREAM_ADD,
    STREAM_COPY,
    STREAM_MAX,
    T_WAIT,
    T_WORDS,
    V_DENSE,
    W_SEND,
    W_TARGET,
)


@native_inline
def element_offset(s, view, j):
    """Where element j of a view lies, relative to the view's first element."""
    if s.views[view, V_DENSE] == 1:
        return j
    offset = 0
    for d in range(3, -1, -1):
        extent = s.views[view, d]
        offset += (j % extent) * s.views[view, 4 + d]
        j //= extent
    return offset


@native_inline
def wake(s, pe):
    """A blocked PE goes on from its clock."""
    s.pes[pe, E_BLOCKED] = RUNNING
    s.woken[s.counters[C_WOKEN]] = pe
    s.counters[C_WOKEN] += 1
    if s.pes[pe, E_CLOCK] > s.counters[C_LATEST]:
        s.counters[C_LATEST] = s.pes[pe, E_CLOCK]


@native_inline
def end_wait(s, pe, start, time, hops, stages):
    """The clock after a ``wait`` begun at ``start`` (its issue included) for a move that ended at ``time``."""
    row = s.pes[pe, E_ROW]
    if time > start:
        s.metrics[row, T_WAIT] += time - start
        s.pes[pe, E_CLOCK] = time + s.timing.wakeup
        s.pes[pe, E_HOPS] = hops
        s.pes[pe, E_STAGES] = stages
    else:
        s.pes[pe, E_CLOCK] = start + s.timing.wakeup
        if time == start and shorter(stages, hops, s.pes[pe, E_STAGES], s.pes[pe, E_HOPS]):
            s.pes[pe, E_HOPS] = hops
            s.pes[pe, E_STAGES] = stages


@native_inline
def shorter(stages, hops, other_stages, other_hops):
    """Of two critical paths that end at once, the one with fewer stages, then hops, counts."""
    return stages < other_stages or (stages == other_stages and hops < other_hops)


@native_inline
def end_move(s, pe, handle, time, hops, stages):
    """A move of a PE has ended: its blocked PE goes on, or its handle is done."""
    if handle == BLOCKING:
        s.pes[pe, E_CLOCK] = time
        s.pes[pe, E_HOPS] = hops
        s.pes[pe, E_STAGES] = stages
        wake(s, pe)
    elif handle >= 0:
        h = pe * s.handle_count + handle
        s.handles[h, H_STATE] = DONE
        s.handles[h, H_TIME] = time
        s.handles[h, H_HOPS] = hops
        s.handles[h, H_STAGES] = stages
        if s.pes[pe, E_BLOCKED] == ON_HANDLE and s.pes[pe, E_ON] == handle:
            end_wait(s, pe, s.pes[pe, E_CLOCK], time, hops, stages)
            wake(s, pe)


@native
def give_room(s, f):
    """Sends that waited until this queue's words were taken: count them off, ending those that had to wait no more."""
    while s.queues[f, F_ROOM_HEAD] != 0:
        w = s.queues[f, F_ROOM_HEAD]
        target = s.nodes[w, W_TARGET]
        if target > s.queues[f, F_TAKEN]:
            return
        time = taken_time(s, f, target) + 1
        send = s.nodes[w, W_SEND]
        s.queues[f, F_ROOM_HEAD] = s.nodes[w, N_NEXT]
        free_node(s, w)
        release(s, send, time)


@native_inline
def taken_time(s, f, target):
    """When the word that brought the count of taken words to ``target`` was taken, or 0 when long ago."""
    before = s.queues[f, F_CHUNK]
    if target <= before:
        return 0
    return word_time(
        s.queues[f, F_CHUNK_FIRST], s.queues[f, F_CHUNK_LAST], s.queues[f, F_TAKEN] - before, target - before - 1
    )


@native_inline
def release(s, send, time):
    """One of the places that a send waits for has room since ``time``."""
    if time > s.nodes[send, S_TIME]:
        s.nodes[send, S_TIME] = time
    s.nodes[send, S_LEFT] -= 1
    if s.nodes[send, S_LEFT] == 0:
        end_move(
            s,
            s.nodes[send, S_OWNER],
            s.nodes[send, S_HANDLE],
            s.nodes[send, S_TIME],
            s.nodes[send, S_HOPS],
            s.nodes[send, S_STAGES],
        )
        free_node(s, send)


@native_inline
def combine(s, p, result, done, source, n):
    """Values of n elements from ``source`` on, as elements ``done`` onwards of move p (and of message ``result``)."""
    kind = s.nodes[p, P_KIND]
    base = s.nodes[p, P_ADDR]
    view = s.nodes[p, P_VIEW]
    dtype = s.nodes[p, P_DTYPE]
    dense = s.views[view, V_DENSE] == 1
    memory = s.memory
    target = s.messages[result, M_ADDR] + done
    if kind == RECV:
        if dense:
            for j in range(n):
                memory[base + done + j] = memory[source + j]
        else:
            for j in range(n):
                memory[base + element_offset(s, view, done + j)] = memory[source + j]
    elif kind == STREAM_COPY:
        for j in range(n):
            memory[base + element_offset(s, view, done + j)] = memory[source + j]
            memory[target + j] = memory[source + j]
    elif dtype == I32:
        integers = s.integers
        for j in range(n):
            at = base + element_offset(s, view, done + j)
            a = integers[at]
            b = integers[source + j]
            r = a + b if kind == RECV_ADD or kind == STREAM_ADD else max(a, b)
            if kind == RECV_ADD or kind == RECV_MAX:
                integers[at] = r
            else:
                integers[target + j] = r
    else:
        adds = kind == RECV_ADD or kind == STREAM_ADD
        stores = kind == RECV_ADD or kind == RECV_MAX
        for j in range(n):
            at = base + element_offset(s, view, done + j)
            a = memory[at]
            b = memory[source + j]
            r = round_to(a + b, dtype) if adds else (a if a > b or a != a else b)
            if stores:
                memory[at] = r
            else:
                memory[target + j] = r


@native_inline
def settle(s, f, p, a_first, a_last, hops, stages, result):
    """Times of move p, which takes the words of queue f that arrived at ``a_first .. a_last``; it ends or sends on."""
    pe = s.nodes[p, P_PE]
    n = s.nodes[p, P_N]
    dtype = s.nodes[p, P_DTYPE]
    words = words_of(s, n, dtype)
    start = s.nodes[p, P_START]
    period = s.nodes[p, P_PERIOD]
    c_first = max(start, a_first)
    c_last = max(c_first + (words - 1) * period, a_last)
    alone = start + (words - 1) * period
    own_hops, own_stages = s.nodes[p, P_HOPS], s.nodes[p, P_STAGES]
    if c_last > alone:
        own_hops, own_stages = hops, stages + 1
        if s.nodes[p, P_HANDLE] == BLOCKING:
            s.metrics[s.nodes[p, P_ROW], T_WAIT] += c_last - alone
    elif a_last == alone and shorter(stages + 1, hops, own_stages, own_hops):
        own_hops, own_stages = hops, stages + 1
    s.queues[f, F_CHUNK] = s.queues[f, F_TAKEN]
    s.queues[f, F_TAKEN] += words
    s.queues[f, F_CHUNK_FIRST] = c_first
    s.queues[f, F_CHUNK_LAST] = c_last
    if s.queues[f, F_ROOM_HEAD] != 0:
        give_room(s, f)
    handle = s.nodes[p, P_HANDLE]
    if s.nodes[p, P_KIND] < STREAM_COPY:
        end_move(s, pe, handle, c_last + period, own_hops, own_stages)
        return
    s.messages[result, M_FIRST] = c_first + period
    s.messages[result, M_LAST] = c_last + period
    s.messages[result, M_END] = c_last + period + 1
    s.messages[result, M_HOPS] = own_hops
    s.messages[result, M_STAGES] = own_stages
    s.messages[result, M_DTYPE] = dtype
    s.messages[result, M_COLOR] = s.nodes[p, P_OUT]
    s.messages[result, M_OWNER] = pe
    s.messages[result, M_HANDLE] = handle
    s.messages[result, M_CALL] = s.nodes[p, P_CALL]
    s.messages[result, M_SEND] = 0
    s.messages[result, M_DISTANCE] = 0
    s.metrics[s.nodes[p, P_ROW], T_WORDS] += words
    tail = s.counters[C_WORK_TAIL]
    s.work[tail % s.work.shape[0]] = result
    s.counters[C_WORK_TAIL] = tail + 1


@native_inline
def result_message(s, p):
    """Memory for what move p sends on; 0 when it only stores."""
    return new_message(s, s.nodes[p, P_N]) if s.nodes[p, P_KIND] >= STREAM_COPY else 0


@native
def take(s, f, p):
    """Move p takes its elements from the messages that wait in queue f (there are enough)."""
    n = s.nodes[p, P_N]
    dtype = s.nodes[p, P_DTYPE]
    result = result_message(s, p)
    done = 0
    a_first = a_last = hops = stages = 0
    while done < n:
        m = s.queues[f, F_MESSAGE_HEAD]
        here = s.messages[m, M_N]
        k = min(n - done, here)
        if s.messages[m, M_DTYPE] != dtype:
            fail(s, ERROR_DTYPE, s.nodes[p, P_PE], s.messages[m, M_COLOR], s.nodes[p, P_CALL], s.messages[m, M_DTYPE], dtype)
            return
        if (dtype == F16 or dtype == BF16) and k % 2 == 1 and (k < here or done + k < n):
            fail(s, ERROR_SPLIT_WORD, s.nodes[p, P_PE], s.messages[m, M_COLOR], s.nodes[p, P_CALL], here, n)
            return
        first = s.messages[m, M_FIRST]
        last = s.messages[m, M_LAST]
        words = words_of(s, here, dtype)
        taken = words_of(s, k, dtype)
        if done == 0:
            a_first = first
        a_last = word_time(first, last, words, taken - 1)
        hops = s.messages[m, M_HOPS] + s.messages[m, M_DISTANCE]
        stages = s.messages[m, M_STAGES]
        combine(s, p, result, done, s.messages[m, M_ADDR], k)
        if k == here:
            s.queues[f, F_MESSAGE_HEAD] = s.messages[m, M_NEXT]
            free_message(s, m)
        else:
            s.messages[m, M_ADDR] += k
            s.messages[m, M_FIRST] = word_time(first, last, words, taken)
            s.messages[m, M_N] = here - k
        done += k
    s.queues[f, F_ELEMENTS] -= n
    settle(s, f, p, a_first, a_last, hops, stages, result)


@native
def deliver(s, m, pe, first, last, hops):
    """Message m has come to a PE: its first word at ``first``, its last at ``last``, over so many hops."""
    f = pe * s.colors + s.messages[m, M_COLOR]
    n = s.messages[m, M_N]
    dtype = s.messages[m, M_DTYPE]
    s.queues[f, F_ENTERED] += words_of(s, n, dtype)
    p = s.queues[f, F_POST_HEAD]
    if p != 0 and s.queues[f, F_ELEMENTS] == 0 and s.nodes[p, P_N] == n and s.nodes[p, P_DTYPE] == dtype:
        # The usual case: a move waits for exactly this message, so no copy of it is needed.
        pop_post(s, f)
        result = result_message(s, p)
        combine(s, p, result, 0, s.messages[m, M_ADDR], n)
        settle(s, f, p, first, last, s.messages[m, M_HOPS] + hops, s.messages[m, M_STAGES], result)
        free_node(s, p)
        return
    copy = copy_message(s, m, first, last, hops)
    push_message(s, f, copy)
    drain(s, f)


@native
def drain(s, f):
    """Let the moves that wait in queue f take what is there, in order."""
    while True:
        p = s.queues[f, F_POST_HEAD]
        if p == 0 or s.nodes[p, P_N] > s.queues[f, F_ELEMENTS]:
            return
        pop_post(s, f)
        take(s, f, p)
        free_node(s, p)


@native
def copy_message(s, m, first, last, hops):
    """A message of its own, with its own memory, for what m brings to one place."""
    copy = new_message(s, s.messages[m, M_N])
    for column in range(M_DTYPE, M_DISTANCE + 1):
        s.messages[copy, column] = s.messages[m, column]
    s.messages[copy, M_FIRST] = first
    s.messages[copy, M_LAST] = last
    s.messages[copy, M_DISTANCE] = hops
    source, target = s.messages[m, M_ADDR], s.messages[copy, M_ADDR]
    for j in range(s.messages[m, M_N]):
        s.memory[target + j] = s.memory[source + j]
    return copy
