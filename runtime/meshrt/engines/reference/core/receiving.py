"""Receiving: PEs take words into their memory, or combine them with what they hold and send them on."""

from __future__ import annotations

import numpy as np

from meshrt.compiled import called_by_address, inline, internal
from meshrt.engines.loading.codes import I32
from meshrt.engines.numeric.rounding import round_to
from meshrt.engines.pointers import (
    f32_at,
    i32_at,
    i64_at,
)
from meshrt.engines.reference.core.calendar import push_event
from meshrt.engines.reference.core.moves import element_at, end_move, move_at, per_word, shorter
from meshrt.engines.reference.core.queues import (
    channel_at,
    fail,
    first_hops,
    first_word,
    free_word,
    queue_at,
    remove_first,
)
from meshrt.engines.reference.core.records import (
    A_ROWS,
    B_COLORS,
    B_SHIFT,
    BEGIN_OUT,
    ERROR_DTYPE,
    ERROR_SPLIT_WORD,
    F_LAST_POST,
    F_OUT,
    F_POST,
    F_SENDER,
    F_THERE,
    F_TRIED,
    FINISHED,
    H_STATUS,
    INTO_PE,
    MOVE_ENDS,
    N_HOPS,
    N_SIZE,
    P_MEMORY,
    P_QUEUES,
    P_WORDS,
    Q_THERE,
    QUEUES,
    RECV,
    RECV_ADD,
    STREAM_ADD,
    STREAM_COPY,
    V_CALL,
    V_DTYPE,
    V_ELEMENTS,
    V_FULL,
    V_HOPS,
    V_KIND,
    V_N,
    V_NEXT_POST,
    V_OUT,
    V_PERIOD,
    V_READY,
    V_RESULT,
    V_STAGES,
    V_TAKEN,
    V_VALUE,
    W_ELEMENTS,
    W_HOPS,
    W_KIND,
    W_ROW,
    W_SHORTS,
    W_SIZE,
    W_STAGES,
    W_VALUE,
    X_CHECKED,
    ZERO,
)
from meshrt.engines.reference.core.shadow import verify

LOW = 0xFFFFFFFF


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


@called_by_address
def take_through(header_at, channel, time):
    """A stream-through takes a word, unless the result of the one before still waits; it tries once in a cycle."""
    r = i64_at(header_at)
    f = channel_at(r, channel)
    r[f + F_TRIED] = time + 1
    move = r[f + F_POST] - 1
    if move < 0 or i32_at(r[P_QUEUES])[queue_at(r, channel, INTO_PE) + Q_THERE] == 0:
        return ZERO
    v = move_at(r, move)
    if r[v + V_READY] <= time and r[v + V_FULL] == 0:
        take(r, channel, time)
    return ZERO
