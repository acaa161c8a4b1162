"""Moves that take words: receives, receive-and-combine, stream-through.

A move *waits* in the queue of its PE and color until enough elements have arrived; then
it takes them, and either ends or, when it streams through, sends its result on. Results
to be sent are put on the list of work, which :mod:`.moves` empties. Where a send waits for
room, the move takes what is there and waits for the rest: it may be that the send, or one
behind it, is to bring that.

Timing of a move of w words that may start at s and takes a word every e cycles, when the
first word arrived at a and the last at b: the first word is taken at ``max(r, a)``, the
last at ``max(max(r, a) + (w - 1) e, b)``; the move ends e cycles later. A stream-through
sends the result of each word e cycles after it was taken, and ends one cycle after the
last. The clock takes over the message's critical path where the message set it.
"""

from __future__ import annotations

from meshrt.compiled import inline, internal
from meshrt.engines.batched.combine import take_values
from meshrt.engines.batched.critical import (
    ENDED,
    EVENT_SIZE,
    FIRST_HERE,
    FIRST_TAKEN,
    LAST_HERE,
    LAST_TAKEN,
    WAITED,
    WAKEUP,
    WORD,
    add_words,
    copy_events,
    message_events,
    pe_events,
    scratch_events,
    send_events,
    slot_events,
)
from meshrt.engines.batched.links import occupy
from meshrt.engines.batched.mailbox import (
    add_work,
    copy_message,
    fail,
    free_message,
    free_node,
    new_message,
    push_message,
    sent_by,
    word_time,
    words_of,
)
from meshrt.engines.batched.records import (
    A_METRICS,
    A_PES,
    A_SLOTS,
    A_WOKEN,
    B_PES,
    BF16,
    BLOCKING,
    C_LATEST,
    C_POSTED,
    C_QUEUED,
    C_STALLED,
    C_WOKEN,
    DONE,
    E_BLOCKED,
    E_CLOCK,
    E_HOPS,
    E_ON,
    E_RAMP_OUT,
    E_ROW,
    E_SIZE,
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
    F_PART,
    F_POST_HEAD,
    F_ROOM_HEAD,
    F_TAKEN,
    FLYING,
    G_CALL,
    G_CELLS,
    G_DTYPE,
    G_HANDLE,
    G_KIND,
    G_N,
    G_PERIOD,
    G_POOL,
    G_ROW,
    G_WORDS,
    IDLE,
    L_WORDS,
    M_ADDR,
    M_CALL,
    M_CELL,
    M_COLOR,
    M_DISTANCE,
    M_DTYPE,
    M_FIRST,
    M_HOPS,
    M_LAST,
    M_N,
    M_NEXT,
    M_STAGES,
    M_WHOLE,
    M_WORDS,
    N_NEXT,
    NOTHING,
    ON_HANDLE,
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
    RAMP,
    RUNNING,
    S_END,
    S_HANDLE,
    S_HOPS,
    S_LEFT,
    S_OWNER,
    S_STAGES,
    S_TIME,
    S_WORDS,
    STREAM_COPY,
    T_SIZE,
    T_WAIT,
    T_WORDS,
    W_SEND,
    W_TARGET,
    X_EVENTS,
    X_QUEUE_WORDS,
    X_RAMP,
    X_RAMP_WORDS,
    X_WAKEUP,
    ZERO,
)
from meshrt.engines.batched.sharing import own_row, share_row
from meshrt.engines.batched.value_log import OWNED, SHARED, log


@inline
def shorter(stages, hops, other_stages, other_hops):
    """Of two critical paths that end at once, the one with fewer stages, then hops, counts."""
    return stages < other_stages or (stages == other_stages and hops < other_hops)


@inline
def count_wait(r, row, cycles):
    """A PE waited for the fabric."""
    r[r[A_METRICS] + row * T_SIZE + T_WAIT] += cycles


@inline
def end_wait(r, e, row, start, time, hops, stages, vector):
    """The clock after a ``wait`` begun at ``start`` (its issue included) for a move that ended at ``time``.

    ``vector`` is that of the move's end, where such are kept.
    """
    if r[X_EVENTS] == 1:
        if time > start or (time == start and shorter(stages, hops, r[e + E_STAGES], r[e + E_HOPS])):
            copy_events(r, pe_events(r, e), vector)
        r[pe_events(r, e) + WAKEUP] += 1
    if time > start or (time == start and shorter(stages, hops, r[e + E_STAGES], r[e + E_HOPS])):
        r[e + E_HOPS] = hops
        r[e + E_STAGES] = stages
    if time > start:
        count_wait(r, row, time - start)
        start = time
    r[e + E_CLOCK] = start + r[X_WAKEUP]
    if r[e + E_CLOCK] > r[C_LATEST]:
        r[C_LATEST] = r[e + E_CLOCK]


@internal
def end_move(r, pe, handle, time, hops, stages, vector):
    """A move of a PE has ended: its blocked PE goes on, or its handle is done; ``vector`` is that of its end."""
    e = r[A_PES] + pe * E_SIZE
    if handle >= 0:
        p = r[A_SLOTS] + (handle * r[B_PES] + pe) * P_SIZE
        if r[e + E_BLOCKED] != ON_HANDLE or r[e + E_ON] != handle:
            r[p + P_STATE] += DONE - FLYING
            r[p + P_START] = time
            r[p + P_HOPS] = hops
            r[p + P_STAGES] = stages
            if r[X_EVENTS] == 1:
                copy_events(r, slot_events(r, p), vector)
            return
        r[p + P_STATE] = IDLE
        end_wait(r, e, r[e + E_ROW], r[e + E_CLOCK], time, hops, stages, vector)
    elif handle == BLOCKING:
        r[e + E_CLOCK] = time
        r[e + E_HOPS] = hops
        r[e + E_STAGES] = stages
        if time > r[C_LATEST]:
            r[C_LATEST] = time
        if r[X_EVENTS] == 1:
            copy_events(r, pe_events(r, e), vector)
    else:
        return
    r[e + E_BLOCKED] = RUNNING
    r[r[A_WOKEN] + r[C_WOKEN]] = pe
    r[C_WOKEN] += 1


@inline
def taken_time(r, f, target):
    """When the word that brought the count of taken words to ``target`` was taken, or 0 when long ago."""
    before = r[f + F_CHUNK]
    if target <= before:
        return 0
    return word_time(r[f + F_CHUNK_FIRST], r[f + F_CHUNK_LAST], r[f + F_TAKEN] - before, target - before - 1)


@internal
def release(r, send, time):
    """One of the places that a send waits for has room since ``time``; after the last, the send ends."""
    if time > r[send + S_TIME]:
        r[send + S_TIME] = time
    r[send + S_LEFT] -= 1
    if r[send + S_LEFT] == 0:
        if r[send + S_TIME] > r[send + S_END]:
            r[C_STALLED] += r[send + S_WORDS]
        vector = scratch_events(r, ENDED)
        if r[X_EVENTS] == 1:
            copy_events(r, vector, send_events(r, send))
            r[vector + WAITED] += r[send + S_TIME] - r[send + S_END]
        owner, handle = r[send + S_OWNER], r[send + S_HANDLE]
        end_move(r, owner, handle, r[send + S_TIME], r[send + S_HOPS], r[send + S_STAGES], vector)
        free_node(r, send)


@internal
def give_room(r, f):
    """Words of channel f were taken: count off the sends that waited for it."""
    while r[f + F_ROOM_HEAD] != 0:
        w = r[f + F_ROOM_HEAD]
        target = r[w + W_TARGET]
        if target > r[f + F_TAKEN]:
            return
        send = r[w + W_SEND]
        r[f + F_ROOM_HEAD] = r[w + N_NEXT]
        free_node(r, w)
        release(r, send, taken_time(r, f, target) + 1)


@internal
def take_events(r, p, g, words, paced, a_first, a_last, hops, stages):
    """What led to the first and the last word of move p being taken, from what led to their arrival.

    ``paced`` is when the last word is taken if the words come early enough.
    """
    start, own = r[p + P_START], slot_events(r, p)
    first, last = scratch_events(r, FIRST_TAKEN), scratch_events(r, LAST_TAKEN)
    copy_events(r, first, scratch_events(r, FIRST_HERE) if a_first > start else own)
    if a_last > paced or (a_last == paced and shorter(stages + 1, hops, r[p + P_STAGES], r[p + P_HOPS])):
        copy_events(r, last, scratch_events(r, LAST_HERE))
    else:
        copy_events(r, last, first)
        add_words(r, last, g, words - 1)


@inline
def settle(r, f, p, pe, g, direct, words, ends, a_first, a_last, hops, stages, result):
    """Times of move p, which takes words of channel f that arrived at ``a_first .. a_last``, and what it sends on."""
    start = r[p + P_START]
    period = r[g + G_PERIOD]
    handle = r[g + G_HANDLE]
    c_first = max(start, a_first)
    c_last = max(c_first + (words - 1) * period, a_last)
    lost = ZERO
    if direct == 0 and words > r[X_QUEUE_WORDS]:
        # Words that waited on their way come over the RAMP as they are taken, beside those of other moves.
        rest = words - r[X_QUEUE_WORDS]
        ramp = r[A_PES] + pe * E_SIZE + E_RAMP_OUT
        begins = c_first + r[X_QUEUE_WORDS] - r[X_RAMP]
        lost = occupy(r, ramp, begins, max(begins + rest - 1, c_last - r[X_RAMP]), rest, r[X_RAMP_WORDS])
        # They were counted as they came.
        r[ramp + L_WORDS] -= rest
        c_last += lost
    alone = start + (words - 1) * period
    own_hops, own_stages = r[p + P_HOPS], r[p + P_STAGES]
    if r[X_EVENTS] == 1:
        take_events(r, p, g, words, c_first + (words - 1) * period, a_first, a_last, hops, stages)
        r[scratch_events(r, LAST_TAKEN) + WAITED] += lost
    if c_last > alone or (a_last == alone and shorter(stages + 1, hops, own_stages, own_hops)):
        own_hops, own_stages = hops, stages + 1
    if c_last > alone and handle == BLOCKING:
        count_wait(r, r[g + G_ROW], c_last - alone)
    r[f + F_CHUNK] = r[f + F_TAKEN]
    r[f + F_TAKEN] += words
    r[f + F_CHUNK_FIRST] = c_first
    r[f + F_CHUNK_LAST] = c_last
    # Sends wait for room only where elements wait to be taken, so a direct take has none to give.
    if direct == 0 and r[f + F_ROOM_HEAD] != 0:
        give_room(r, f)
    if not ends:
        # What is left of the move is like a move that starts now.
        r[p + P_START] = c_last + period
        r[p + P_HOPS] = own_hops
        r[p + P_STAGES] = own_stages
        if r[X_EVENTS] == 1:
            copy_events(r, slot_events(r, p), scratch_events(r, LAST_TAKEN))
            add_words(r, slot_events(r, p), g, 1)
    if r[g + G_KIND] < STREAM_COPY:
        vector = scratch_events(r, LAST_TAKEN)
        if r[X_EVENTS] == 1:
            add_words(r, vector, g, 1)
        if ends:
            end_move(r, pe, handle, c_last + period, own_hops, own_stages, vector)
        return
    first, last = c_first + period, c_last + period
    if r[X_EVENTS] == 1:
        vector = message_events(r, result)
        copy_events(r, vector, scratch_events(r, FIRST_TAKEN))
        copy_events(r, vector + EVENT_SIZE, scratch_events(r, LAST_TAKEN))
        add_words(r, vector, g, 1)
        add_words(r, vector + EVENT_SIZE, g, 1)
    sent_by(
        r,
        result,
        pe,
        RAMP,
        handle if ends else NOTHING,
        r[g + G_CALL],
        r[g + G_ROW],
        r[g + G_DTYPE],
        r[p + P_PE] // OUT,
        words,
        first,
        last,
        own_hops,
        own_stages,
    )
    r[r[A_METRICS] + r[g + G_ROW] * T_SIZE + T_WORDS] += words
    add_work(r, result)


@internal
def part_events(r, m, begins, first, last, whole):
    """What led to the arrival of the words of message m that a move takes; ``begins`` when they are its first ones."""
    vector = message_events(r, m)
    if begins:
        copy_events(r, scratch_events(r, FIRST_HERE), vector)
    here = scratch_events(r, LAST_HERE)
    if whole:
        copy_events(r, here, vector + EVENT_SIZE)
    else:
        copy_events(r, here, vector)
        r[here + WORD] += last - first


@internal
def take(r, memory, f, p, direct, n, d_first, d_last, d_hops):
    """Move p takes its next n elements.

    They come from message ``direct``, which arrives just now, or from those that wait in
    channel f when ``direct`` is 0; there are enough.
    """
    g = r[p + P_GROUP]
    pe = r[p + P_PE] % OUT
    begin, end, dtype = r[f + F_PART], r[f + F_PART] + n, r[g + G_DTYPE]
    result = new_message(r, n) if r[g + G_KIND] >= STREAM_COPY else ZERO
    # Element 0 of the move would become this place of its result.
    to = r[result + M_ADDR] - begin
    done = begin
    a_first = a_last = hops = stages = ZERO
    cells = r[g + G_CELLS]
    if cells != 0 and begin == 0 and (direct == 0 or r[direct + M_WHOLE] == 0):
        r[p + P_ADDR] = own_row(r, memory, cells + pe, r[g + G_POOL], ZERO)
        log(r, OWNED, g, ZERO, ZERO, ZERO, ZERO, cells + pe, r[p + P_ADDR], ZERO, ZERO)
    while done < end:
        m = direct if direct != 0 else r[f + F_MESSAGE_HEAD]
        here = r[m + M_N]
        k = min(end - done, here)
        if r[m + M_DTYPE] != dtype:
            fail(r, ERROR_DTYPE, pe, r[m + M_COLOR], r[g + G_CALL], r[m + M_DTYPE], dtype)
            return
        stages = r[m + M_STAGES]
        if direct != 0:
            a_first, a_last, hops = d_first, d_last, r[m + M_HOPS] + d_hops
            if cells != 0 and r[m + M_WHOLE] != 0:
                share_row(r, memory, cells + pe, r[m + M_ADDR], r[g + G_POOL])
                log(r, SHARED, g, k, r[m + M_CELL], r[m + M_ADDR], r[m + M_CALL], cells + pe, r[m + M_ADDR], ZERO, ZERO)
            else:
                take_values(r, memory, p, g, m, to + done, done, k)
        else:
            if k % 2 == 1 and (dtype == F16 or dtype == BF16) and (k < here or done + k < r[g + G_N]):
                fail(r, ERROR_SPLIT_WORD, pe, r[m + M_COLOR], r[g + G_CALL], here, r[g + G_N])
                return
            take_values(r, memory, p, g, m, to + done, done, k)
            first, last = r[m + M_FIRST], r[m + M_LAST]
            words, taken = r[m + M_WORDS], words_of(r, k, dtype)
            if done == begin:
                a_first = first
            a_last = word_time(first, last, words, taken - 1)
            if r[X_EVENTS] == 1:
                part_events(r, m, done == begin, first, a_last, taken == words)
            hops = r[m + M_HOPS] + r[m + M_DISTANCE]
            if k == here:
                r[f + F_MESSAGE_HEAD] = r[m + M_NEXT]
                r[C_QUEUED] -= 1
                free_message(r, m)
            else:
                if r[X_EVENTS] == 1:
                    later = word_time(first, last, words, taken) - first
                    r[message_events(r, m) + WORD] += later
                r[m + M_ADDR] += k
                r[m + M_FIRST] = word_time(first, last, words, taken)
                r[m + M_N] = here - k
                r[m + M_WORDS] = words - taken
        done += k
    if direct == 0:
        r[f + F_ELEMENTS] -= n
    ends = end == r[g + G_N]
    r[f + F_PART] = ZERO if ends else end
    words = r[g + G_WORDS] if n == r[g + G_N] else words_of(r, n, dtype)
    settle(r, f, p, pe, g, direct, words, ends, a_first, a_last, hops, stages, result)


@inline
def make_room(r, memory, f):
    """The move that waits first in channel f takes what is there, where a send waits for room."""
    if r[f + F_ROOM_HEAD] != 0 and r[f + F_POST_HEAD] != 0 and r[f + F_ELEMENTS] != 0:
        take(r, memory, f, r[f + F_POST_HEAD], ZERO, r[f + F_ELEMENTS], ZERO, ZERO, ZERO)


@inline
def joins_queue(r, m, f):
    """Whether message m, which comes to channel f of a PE now, is not exactly what a move waits for."""
    p = r[f + F_POST_HEAD]
    return p == 0 or r[f + F_ELEMENTS] != 0 or r[f + F_PART] != 0 or r[r[p + P_GROUP] + G_N] != r[m + M_N]


@inline
def deliver(r, memory, m, words, f, first, last, hops):
    """Message m has come to channel f of a PE: its first word at ``first``, its last at ``last``, over so many hops."""
    r[f + F_ENTERED] += words
    p = r[f + F_POST_HEAD]
    direct = m
    if joins_queue(r, m, f):
        # Nobody waits for exactly this message, so a copy of it joins the queue.
        copy = copy_message(r, memory, m, first, last, hops)
        if r[X_EVENTS] == 1:
            copy_events(r, message_events(r, copy), scratch_events(r, FIRST_HERE))
            copy_events(r, message_events(r, copy) + EVENT_SIZE, scratch_events(r, LAST_HERE))
        push_message(r, f, copy)
        direct = ZERO
    while True:
        p = r[f + F_POST_HEAD]
        n = r[r[p + P_GROUP] + G_N] - r[f + F_PART] if p != 0 else ZERO
        if p == 0 or (direct == 0 and n > r[f + F_ELEMENTS]):
            return
        r[f + F_POST_HEAD] = r[p + P_NEXT]
        r[C_POSTED] -= 1
        take(r, memory, f, p, direct, n, first, last, hops)
        if direct != 0:
            return
