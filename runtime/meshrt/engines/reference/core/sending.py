"""Sending: words leave the memory of a PE, or what a stream-through has made of one that came."""

from __future__ import annotations

from meshrt.compiled import inline, internal
from meshrt.engines.pointers import (
    i32_at,
    i64_at,
)
from meshrt.engines.reference.core.calendar import push_event
from meshrt.engines.reference.core.faults import is_lost
from meshrt.engines.reference.core.moves import element_at, end_move, move_at, per_word
from meshrt.engines.reference.core.queues import channel_at, new_word, set_off, want, want_no_more
from meshrt.engines.reference.core.records import (
    A_PES,
    B_COLORS,
    B_FAULTS,
    B_SHIFT,
    BEGIN_OUT,
    E_HELD,
    E_SIZE,
    F_LAST_OUT,
    F_OUT,
    FROM_PE,
    H_STALLED,
    LAST,
    LINKS,
    MOVE_ENDS,
    P_MEMORY,
    P_WORDS,
    SEND,
    V_CALL,
    V_DTYPE,
    V_ELEMENTS,
    V_FULL,
    V_HOPS,
    V_KIND,
    V_N,
    V_NEXT_OUT,
    V_PE,
    V_READY,
    V_RESULT,
    V_ROW,
    V_SENT,
    V_SERIAL,
    V_STAGES,
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
)
from meshrt.engines.reference.core.shadow import seal

LOW = 0xFFFFFFFF


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
    if r[B_FAULTS] == 0 or not is_lost(r, word, link):
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
