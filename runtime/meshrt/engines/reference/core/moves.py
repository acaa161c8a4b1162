"""Moves of PEs: words leave memory, are taken into it, or stream through."""

from __future__ import annotations

import numpy as np

from meshrt.compiled import inline, internal
from meshrt.engines.loading.codes import BF16, F16, I32
from meshrt.engines.numeric.rounding import round_to
from meshrt.engines.pointers import f32_at, i32_at, i64_at
from meshrt.engines.reference.core.calendar import push_event
from meshrt.engines.reference.core.faults import disturb
from meshrt.engines.reference.core.queues import (
    channel_at,
    fail,
    first_hops,
    first_word,
    free_word,
    list_taker,
    new_word,
    queue_at,
    remove_first,
    set_off,
    want,
    want_no_more,
)
from meshrt.engines.reference.core.records import (
    A_MOVES,
    A_PES,
    A_ROWS,
    B_COLORS,
    B_FAULTS,
    B_MOVES,
    B_SHIFT,
    BEGIN_OUT,
    DONE,
    E_BLOCKED,
    E_CLOCK,
    E_HELD,
    E_HOPS,
    E_ON,
    E_ROW,
    E_SIZE,
    E_STAGES,
    ERROR_DTYPE,
    ERROR_SPLIT_WORD,
    F_LAST_OUT,
    F_LAST_POST,
    F_LAUNCHED,
    F_MOVES,
    F_OUT,
    F_POST,
    F_SENDER,
    F_THERE,
    F_TRIED,
    FINISHED,
    FLYING,
    FROM_PE,
    H_LATEST,
    H_STALLED,
    H_STATUS,
    H_STREAMS,
    IDLE,
    INTO_PE,
    LAST,
    LINKS,
    MOVE_ENDS,
    N_CYCLES,
    N_HOPS,
    N_SIZE,
    N_WAITS,
    N_WORDS,
    ON_HANDLE,
    P_MEMORY,
    P_QUEUES,
    P_WORDS,
    Q_THERE,
    QUEUES,
    RECV,
    RECV_ADD,
    RUN_PE,
    RUNNING,
    SEND,
    STREAM_ADD,
    STREAM_COPY,
    V_AT,
    V_BLOCKING,
    V_CALL,
    V_DTYPE,
    V_ELEMENTS,
    V_END,
    V_EXTENT,
    V_FULL,
    V_HOPS,
    V_IN,
    V_KIND,
    V_LINEAR,
    V_N,
    V_NEXT_OUT,
    V_NEXT_POST,
    V_OUT,
    V_PE,
    V_PERIOD,
    V_READY,
    V_RESULT,
    V_ROW,
    V_SENT,
    V_SERIAL,
    V_SIZE,
    V_STAGES,
    V_START,
    V_STATE,
    V_STRIDE,
    V_TAKEN,
    V_VALUE,
    V_WORDS,
    W_CALL,
    W_ELEMENTS,
    W_HOPS,
    W_INDEX,
    W_KIND,
    W_ROW,
    W_SHORTS,
    W_SIZE,
    W_STAGES,
    W_VALUE,
    X_CHECKED,
    X_RAMP,
    X_WAKEUP,
    ZERO,
)
from meshrt.engines.reference.core.shadow import seal, verify

LOW = 0xFFFFFFFF


@inline
def move_at(r, move):
    """The record of a move."""
    return r[A_MOVES] + move * V_SIZE


@inline
def per_word(dtype):
    """Elements that a word carries."""
    return 2 if dtype == F16 or dtype == BF16 else 1


@inline
def element_at(r, v, j):
    """Where element j of a move's view lies in memory."""
    if r[v + V_LINEAR] != 0:
        return r[v + V_AT] + j * r[v + V_STRIDE]
    at = r[v + V_AT]
    for d in range(4):
        extent = r[v + V_EXTENT + d]
        at += (j % extent) * r[v + V_STRIDE + d]
        j //= extent
    return at


@inline
def shorter(stages, hops, other_stages, other_hops):
    """Of two critical paths that end at once, the one with fewer stages, then hops, counts."""
    return stages < other_stages or (stages == other_stages and hops < other_hops)


# Sending.


@inline
def can_send(r, router, color, time):
    """Whether the first move that sends to a color has a word for this cycle."""
    move = r[channel_at(r, router * r[B_COLORS] + color) + F_OUT] - 1
    if move < 0:
        return False
    v = move_at(r, move)
    if r[v + V_KIND] == SEND:
        return r[v + V_READY] <= time
    return r[v + V_FULL] != 0 and r[v + V_RESULT] <= time


@inline
def begin_out(r, channel, time):
    """The first move that sends to a channel may have a word: its color waits for the RAMP, now or later."""
    move = r[channel_at(r, channel) + F_OUT] - 1
    if move < 0:
        return
    v = move_at(r, move)
    if r[v + V_KIND] != SEND and r[v + V_FULL] == 0:
        return
    ready = r[v + V_READY] if r[v + V_KIND] == SEND else r[v + V_RESULT]
    router, color = channel >> r[B_SHIFT], channel & (r[B_COLORS] - 1)
    if ready <= time:
        want(r, router * LINKS + FROM_PE, color, time)
    else:
        push_event(r, ready, BEGIN_OUT, channel)


@internal
def inject(r, router, color, time):
    """The first move that sends to a color sends its next word."""
    words, shorts, memory = i64_at(r[P_WORDS]), i32_at(r[P_WORDS]), i32_at(r[P_MEMORY])
    channel = router * r[B_COLORS] + color
    f = channel_at(r, channel)
    move = r[f + F_OUT] - 1
    v = move_at(r, move)
    sent = r[v + V_SENT]
    last = sent + 1 == r[v + V_WORDS]
    dtype = r[v + V_DTYPE]
    word = new_word(r)
    w, s = word * W_SIZE, word * W_SHORTS
    if r[v + V_KIND] == SEND:
        j = sent * per_word(dtype)
        elements = min(per_word(dtype), r[v + V_N] - j)
        value = memory[element_at(r, v, j)] & LOW
        if elements == 2:
            value |= memory[element_at(r, v, j + 1)] << 32
        r[v + V_READY] = time + 1
    else:
        value, elements = r[v + V_VALUE], r[v + V_ELEMENTS]
        r[v + V_FULL] = 0
    words[w + W_VALUE] = value
    words[w + W_INDEX] = sent
    words[w + W_ELEMENTS] = r[v + V_N]
    shorts[s + W_HOPS] = r[v + V_HOPS]
    shorts[s + W_STAGES] = r[v + V_STAGES]
    shorts[s + W_KIND] = dtype + 4 * elements + (LAST if last else 0)
    shorts[s + W_CALL] = r[v + V_CALL]
    shorts[s + W_ROW] = r[v + V_ROW]
    if r[X_CHECKED] != 0:
        seal(r, word, r[v + V_PE], r[v + V_SERIAL])
    r[v + V_SENT] = sent + 1
    link = router * LINKS + FROM_PE
    held = r[A_PES] + router * E_SIZE + E_HELD
    r[H_STALLED] += r[held] >> color & 1
    if last or r[v + V_KIND] != SEND:
        r[held] &= ~(1 << color)
    if r[B_FAULTS] != 0 and disturb(r, word, link, time):
        free_word(r, word)
    else:
        set_off(r, link, color, word, MOVE_ENDS if last else 0, time + r[X_RAMP])
    if last:
        following = r[v + V_NEXT_OUT]
        r[f + F_OUT] = following
        if following == 0:
            r[f + F_LAST_OUT] = 0
        else:
            n = move_at(r, following - 1)
            r[n + V_READY] = max(r[n + V_READY], time + 1)
        end_move(r, move, time + 1)
    if last or r[v + V_KIND] != SEND:
        want_no_more(r, link, color, time)
        begin_out(r, channel, time)


# Receiving.


@inline
def count_hops(r, word, hops):
    """A word has come to its end: the hops that it has gone are its path's and its operation's."""
    shorts, s = i32_at(r[P_WORDS]), word * W_SHORTS
    shorts[s + W_HOPS] += hops
    r[r[A_ROWS] + shorts[s + W_ROW] * N_SIZE + N_HOPS] += hops


@internal
def combine(r, v, value, done, elements):
    """A word's elements are combined with ``done`` onwards of a move; gives what a stream-through sends on."""
    integers, memory = i32_at(r[P_MEMORY]), f32_at(r[P_MEMORY])
    kind, dtype = r[v + V_KIND], r[v + V_DTYPE]
    adds = kind == RECV_ADD or kind == STREAM_ADD
    result = ZERO
    for e in range(elements):
        bits = np.int32(value >> (32 * e))
        at = element_at(r, v, done + e)
        if dtype == I32:
            mine = integers[at]
            bits = np.int32(mine + bits) if adds else max(mine, bits)
        else:
            x, y = memory[at], bits.view(np.float32)
            combined = round_to(x + y, dtype) if adds else (x if x > y or x != x else y)
            bits = np.float32(combined).view(np.int32)
        if kind < STREAM_COPY:
            integers[at] = bits
        result |= (np.int64(bits) & LOW) << (32 * e)
    return result


@inline
def store(r, v, value, done, elements):
    """What a word brings becomes elements ``done`` onwards of a move; gives what a stream-through sends on."""
    if r[v + V_KIND] != RECV and r[v + V_KIND] != STREAM_COPY:
        return combine(r, v, value, done, elements)
    memory = i32_at(r[P_MEMORY])
    memory[element_at(r, v, done)] = value
    if elements == 2:
        memory[element_at(r, v, done + 1)] = value >> 32
    return value


@internal
def take(r, channel, time):
    """The first move that waits for words of a channel takes the first one."""
    words, shorts = i64_at(r[P_WORDS]), i32_at(r[P_WORDS])
    f = channel_at(r, channel)
    move = r[f + F_POST] - 1
    v = move_at(r, move)
    word = first_word(r, channel, INTO_PE)
    w, s = word * W_SIZE, word * W_SHORTS
    dtype, kind = r[v + V_DTYPE], np.int64(shorts[s + W_KIND])
    elements, left = (kind >> 2) & 3, r[v + V_N] - r[v + V_TAKEN]
    pe, color, call = channel >> r[B_SHIFT], channel & (r[B_COLORS] - 1), r[v + V_CALL]
    if (kind & 3) != dtype:
        fail(r, ERROR_DTYPE, pe, color, call, kind & 3, dtype)
        return
    if elements > left or (elements < per_word(dtype) and left > elements):
        fail(r, ERROR_SPLIT_WORD, pe, color, call, words[w + W_ELEMENTS], r[v + V_N])
        return
    if r[X_CHECKED] != 0:
        verify(r, word, f + F_SENDER, pe, color, call)
        if r[H_STATUS] != FINISHED:
            return
    count_hops(r, word, first_hops(r, channel, INTO_PE) & (MOVE_ENDS - 1))
    # A word that came later than it could have been taken decides when the move ends; of two that decide, the
    # shorter path counts. A word that came while another one was there could not have been taken before it.
    there, ready = r[f + F_THERE], r[v + V_READY]
    hops, stages = np.int64(shorts[s + W_HOPS]), np.int64(shorts[s + W_STAGES]) + 1
    if there > ready or (there == ready and shorter(stages, hops, r[v + V_STAGES], r[v + V_HOPS])):
        r[v + V_HOPS] = hops
        r[v + V_STAGES] = stages
    result = store(r, v, words[w + W_VALUE], r[v + V_TAKEN], elements)
    r[v + V_TAKEN] += elements
    r[v + V_READY] = time + r[v + V_PERIOD]
    free_word(r, word)
    remove_first(r, channel * QUEUES + INTO_PE, time)
    complete = r[v + V_TAKEN] == r[v + V_N]
    if complete:
        following = r[v + V_NEXT_POST]
        r[f + F_POST] = following
        if following == 0:
            r[f + F_LAST_POST] = 0
        else:
            n = move_at(r, following - 1)
            r[n + V_READY] = max(r[n + V_READY], time + r[v + V_PERIOD])
    if r[v + V_KIND] < STREAM_COPY:
        if complete:
            end_move(r, move, time + r[v + V_PERIOD])
        return
    r[v + V_FULL] = 1
    r[v + V_VALUE] = result
    r[v + V_ELEMENTS] = elements
    r[v + V_RESULT] = time + r[v + V_PERIOD]
    if r[channel_at(r, r[v + V_OUT]) + F_OUT] == move + 1:
        push_event(r, r[v + V_RESULT], BEGIN_OUT, r[v + V_OUT])


@internal
def take_through(r, channel, time):
    """A stream-through takes a word, unless the result of the one before still waits; it tries once in a cycle."""
    f = channel_at(r, channel)
    r[f + F_TRIED] = time + 1
    move = r[f + F_POST] - 1
    if move < 0 or i32_at(r[P_QUEUES])[queue_at(r, channel, INTO_PE) + Q_THERE] == 0:
        return
    v = move_at(r, move)
    if r[v + V_READY] <= time and r[v + V_FULL] == 0:
        take(r, channel, time)


# The end of a move.


@inline
def advance(r, e, time, row):
    """The clock of a PE is now ``time``; the latest clock goes on with it, on account of an operation."""
    r[e + E_CLOCK] = time
    if time > r[H_LATEST]:
        r[r[A_ROWS] + row * N_SIZE + N_CYCLES] += time - r[H_LATEST]
        r[H_LATEST] = time


@internal
def end_wait(r, pe, v, start, row):
    """A ``wait`` issued until ``start`` ends with its move."""
    e = r[A_PES] + pe * E_SIZE
    time, hops, stages = r[v + V_END], r[v + V_HOPS], r[v + V_STAGES]
    if time > start or (time == start and shorter(stages, hops, r[e + E_STAGES], r[e + E_HOPS])):
        r[e + E_HOPS] = hops
        r[e + E_STAGES] = stages
    if time > start:
        r[r[A_ROWS] + row * N_SIZE + N_WAITS] += time - start
        start = time
    r[v + V_STATE] = IDLE
    advance(r, e, start + r[X_WAKEUP], row)


@internal
def end_move(r, move, time):
    """A move has ended: its PE goes on if it waits for it, else its handle is done."""
    v = move_at(r, move)
    pe = r[v + V_PE]
    e = r[A_PES] + pe * E_SIZE
    r[v + V_END] = time
    if r[v + V_KIND] >= STREAM_COPY and r[v + V_WORDS] != 0:
        r[H_STREAMS] -= 1
    if r[v + V_BLOCKING] != 0:
        row, words, kind = r[v + V_ROW], r[v + V_WORDS], r[v + V_KIND]
        alone = r[v + V_START] + words * (1 if kind == SEND else r[v + V_PERIOD])
        if kind >= STREAM_COPY and words != 0:
            alone += 1
        r[r[A_ROWS] + row * N_SIZE + N_WAITS] += time - alone
        r[v + V_STATE] = IDLE
        r[e + E_HOPS] = r[v + V_HOPS]
        r[e + E_STAGES] = r[v + V_STAGES]
        advance(r, e, time, row)
    elif r[e + E_BLOCKED] == ON_HANDLE and r[e + E_ON] == move - pe * r[B_MOVES]:
        end_wait(r, pe, v, r[e + E_CLOCK], r[e + E_ROW])
    else:
        r[v + V_STATE] = DONE
        return
    r[e + E_BLOCKED] = RUNNING
    push_event(r, r[e + E_CLOCK], RUN_PE, pe)


# The beginning of a move.


@internal
def begin_move(r, move, start):
    """A move whose fields are filled in begins at ``start``: behind those of its PE on the same colors."""
    v = move_at(r, move)
    r[v + V_STATE] = FLYING
    r[v + V_START] = start
    r[v + V_READY] = start
    r[v + V_TAKEN] = 0
    r[v + V_SENT] = 0
    r[v + V_FULL] = 0
    r[v + V_NEXT_POST] = 0
    r[v + V_NEXT_OUT] = 0
    kind, words = r[v + V_KIND], r[v + V_WORDS]
    if words == 0:
        end_move(r, move, start)
        return
    if kind >= STREAM_COPY:
        r[H_STREAMS] += 1
    if kind == SEND or kind >= STREAM_COPY:
        channel = r[v + V_OUT]
        f = channel_at(r, channel)
        r[f + F_MOVES] += 1
        r[v + V_SERIAL] = r[f + F_MOVES]
        r[f + F_LAUNCHED] += words
        r[r[A_ROWS] + r[v + V_ROW] * N_SIZE + N_WORDS] += words
        if r[f + F_OUT] == 0:
            r[f + F_OUT] = move + 1
            if kind == SEND:
                push_event(r, start, BEGIN_OUT, channel)
        else:
            r[move_at(r, r[f + F_LAST_OUT] - 1) + V_NEXT_OUT] = move + 1
        r[f + F_LAST_OUT] = move + 1
    if kind != SEND:
        channel = r[v + V_IN]
        f = channel_at(r, channel)
        if r[f + F_POST] == 0:
            r[f + F_POST] = move + 1
        else:
            r[move_at(r, r[f + F_LAST_POST] - 1) + V_NEXT_POST] = move + 1
        r[f + F_LAST_POST] = move + 1
        if i32_at(r[P_QUEUES])[queue_at(r, channel, INTO_PE) + Q_THERE] != 0:
            list_taker(r, channel)
