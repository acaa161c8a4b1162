"""Moves of PEs: how they begin and end, one behind the other on each color."""

from __future__ import annotations

from meshrt.compiled import inline, internal
from meshrt.engines.loading.codes import BF16, F16
from meshrt.engines.pointers import (
    i32_at,
)
from meshrt.engines.reference.core.calendar import push_event
from meshrt.engines.reference.core.queues import channel_at, list_taker, queue_at
from meshrt.engines.reference.core.records import (
    A_MOVES,
    A_PES,
    A_ROWS,
    B_MOVES,
    BEGIN_OUT,
    DONE,
    E_BLOCKED,
    E_CLOCK,
    E_HOPS,
    E_ON,
    E_ROW,
    E_SIZE,
    E_STAGES,
    F_LAST_OUT,
    F_LAST_POST,
    F_LAUNCHED,
    F_MOVES,
    F_OUT,
    F_POST,
    FLYING,
    H_LATEST,
    H_STREAMS,
    IDLE,
    INTO_PE,
    N_CYCLES,
    N_SIZE,
    N_WAITS,
    N_WORDS,
    ON_HANDLE,
    P_QUEUES,
    Q_THERE,
    RUN_PE,
    RUNNING,
    SEND,
    STREAM_COPY,
    V_AT,
    V_BLOCKING,
    V_END,
    V_EXTENT,
    V_FULL,
    V_HOPS,
    V_IN,
    V_KIND,
    V_LINEAR,
    V_NEXT_OUT,
    V_NEXT_POST,
    V_OUT,
    V_PE,
    V_PERIOD,
    V_READY,
    V_ROW,
    V_SENT,
    V_SERIAL,
    V_SIZE,
    V_STAGES,
    V_START,
    V_STATE,
    V_STRIDE,
    V_TAKEN,
    V_WORDS,
    X_WAKEUP,
)


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
