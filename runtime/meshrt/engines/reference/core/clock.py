"""The machine's clock: what happens in a cycle, in which order, and which cycle comes next.

In a cycle: PEs whose clock has come run; routes change; words that set off earlier
arrive, those of the host too; PEs take words; links are decided. Cycles in which none of
this can happen are skipped.
"""

from __future__ import annotations

from meshrt.compiled import inline, internal, native
from meshrt.engines.loading.codes import BF16, F16
from meshrt.engines.pointers import call_at, first_bit, i32_at, i64_at
from meshrt.engines.reference.core.ahead import FAR, NEAR, ask_for_pes, ask_for_queue, ask_for_way
from meshrt.engines.reference.core.calendar import come_near, due, next_pe, push_event, soonest
from meshrt.engines.reference.core.queues import (
    append,
    arrive,
    channel_at,
    has_room,
    link_into,
    list_taker,
    new_word,
    queue_at,
)
from meshrt.engines.reference.core.receiving import take
from meshrt.engines.reference.core.records import (
    A_ACTIVE,
    A_AGAIN,
    A_ARRIVED,
    A_DUE,
    A_HOSTS,
    A_MOVES,
    A_PLACES,
    A_TAKERS,
    A_WHEEL,
    A_WHEEL_COUNTS,
    B_ACTIVE,
    B_SHIFT,
    B_SLOT,
    B_WHEEL,
    BEGIN_OUT,
    BEGIN_POST,
    ERROR_MAX_CYCLES,
    EVENT_KIND,
    F_LISTED,
    F_POST,
    F_TRIED,
    FINISHED,
    FROM_PE,
    H_AGAIN,
    H_DECIDING,
    H_FLYING,
    H_HEARD,
    H_HOST_IN,
    H_HOSTS,
    H_LATEST,
    H_SLOTS,
    H_STALLED,
    H_STATUS,
    H_STREAMS,
    H_TAKERS,
    H_TIME,
    H_WORDS_FREE,
    INTO_PE,
    LAST,
    LINKS,
    MOVE_ENDS,
    O_BASE,
    O_CHANNEL,
    O_COUNT,
    O_CYCLE,
    O_DONE,
    O_DTYPE,
    O_LISTED,
    O_PORT,
    O_SENT,
    O_SIZE,
    O_WORDS,
    P_MEMORY,
    P_QUEUES,
    P_RUN_PE,
    P_SELF,
    P_SETTLE,
    P_TAKE_THROUGH,
    P_WORDS,
    PAUSED,
    Q_THERE,
    QUEUES,
    SLOTS,
    STREAM_COPY,
    V_FULL,
    V_KIND,
    V_READY,
    V_SIZE,
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
    WANTS_WORDS,
    X_CHECKED,
    X_MAX_CYCLES,
    ZERO,
)
from meshrt.engines.reference.core.routes import turn_routes
from meshrt.engines.reference.core.sending import begin_out
from meshrt.engines.reference.core.shadow import seal

LOW = 0xFFFFFFFF


@internal
def handle_events(r, time):
    """What the calendar has for this cycle; False where compiled code has to go back first."""
    slot = time & (SLOTS - 1)
    come_near(r, time)
    if r[H_SLOTS] >> slot & 1 == 0:
        return True
    ask_for_pes(r, slot)
    pe = next_pe(r, slot, ZERO)
    while pe >= 0:
        call_at(r[P_RUN_PE], r[P_SELF], pe, time)
        if r[H_STATUS] != FINISHED:
            return False
        pe = next_pe(r, slot, pe >> 6)
    for at in range(due(r, slot)):
        key = r[r[A_DUE] + at]
        kind, number = key // EVENT_KIND, key % EVENT_KIND
        if kind == BEGIN_OUT:
            begin_out(r, number, time)
        elif kind == BEGIN_POST:
            list_taker(r, number)
        else:
            turn_routes(r, number, time)
        if r[H_STATUS] != FINISHED:
            return False
    r[H_SLOTS] &= ~(1 << slot)
    return True


@internal
def land(r, time):
    """Words that have been on their way arrive."""
    slot = time & (r[B_WHEEL] - 1)
    count = r[r[A_WHEEL_COUNTS] + slot]
    entries = r[A_WHEEL] + slot * r[B_SLOT]
    for i in range(count):
        if i + FAR < count:
            ask_for_queue(r, r[entries + i + FAR])
            ask_for_way(r, r[entries + i + NEAR])
        arrive(r, r[entries + i], time)
    if r[X_CHECKED] != 0:
        for i in range(count):
            channel = r[entries + i] // QUEUES
            r[r[A_ARRIVED] + link_into(r, channel >> r[B_SHIFT], r[entries + i] - channel * QUEUES)] += 1
    r[r[A_WHEEL_COUNTS] + slot] = 0
    r[H_FLYING] -= count


@internal
def send_from_host(r, time):
    """Each stream of the host that has words left sends one into its edge router, if there is room."""
    words, shorts, memory = i64_at(r[P_WORDS]), i32_at(r[P_WORDS]), i32_at(r[P_MEMORY])
    left = ZERO
    for i in range(r[H_HOSTS]):
        source = r[r[A_HOSTS] + i]
        o = r[A_PLACES] + source * O_SIZE
        channel, port = r[o + O_CHANNEL], r[o + O_PORT]
        r[o + O_LISTED] = 0
        if r[o + O_SENT] == r[o + O_WORDS] or not has_room(r, channel, port):
            continue
        dtype, done = r[o + O_DTYPE], r[o + O_DONE]
        elements = min(2 if dtype == F16 or dtype == BF16 else 1, r[o + O_COUNT] - done)
        value = memory[r[o + O_BASE] + done] & LOW
        if elements == 2:
            value |= memory[r[o + O_BASE] + done + 1] << 32
        word, sent = new_word(r), r[o + O_SENT]
        last = sent + 1 == r[o + O_WORDS]
        w, s = word * W_SIZE, word * W_SHORTS
        words[w + W_VALUE] = value
        words[w + W_INDEX] = sent
        words[w + W_ELEMENTS] = r[o + O_COUNT]
        shorts[s + W_HOPS] = shorts[s + W_STAGES] = shorts[s + W_ROW] = 0
        shorts[s + W_CALL] = -1
        shorts[s + W_KIND] = dtype + 4 * elements + (LAST if last else 0)
        r[o + O_DONE] += elements
        r[o + O_SENT] += 1
        r[o + O_CYCLE] = time + 1
        if r[X_CHECKED] != 0:
            seal(r, word, ZERO - 1, source)
        r[H_HOST_IN] += 1
        # The host could send a word in every cycle: one that comes later has found its queue full.
        r[H_STALLED] += 1 if time > sent else 0
        number = channel * QUEUES + port
        append(r, number, word, MOVE_ENDS if last else 0)
        arrive(r, number, time)
        if r[o + O_SENT] < r[o + O_WORDS]:
            r[o + O_LISTED] = 1
            r[r[A_HOSTS] + left] = source
            left += 1
    r[H_HOSTS] = left


@inline
def is_there(r, channel):
    """Whether a word has arrived for the PE of a channel."""
    return i32_at(r[P_QUEUES])[queue_at(r, channel, INTO_PE) + Q_THERE] != 0


@internal
def stream_words(r, time):
    """Streams through take words; gives False where compiled code has to go back."""
    for i in range(r[H_TAKERS]):
        channel = r[r[A_TAKERS] + i]
        f = channel_at(r, channel)
        move = r[f + F_POST] - 1
        if move < 0 or r[f + F_TRIED] == time + 1:
            continue
        v = r[A_MOVES] + move * V_SIZE
        if r[v + V_KIND] < STREAM_COPY or r[v + V_READY] > time or not is_there(r, channel):
            continue
        if r[v + V_FULL] != 0:
            call_at(r[P_SETTLE], r[P_SELF], (channel >> r[B_SHIFT]) * LINKS + FROM_PE, time)
        if r[f + F_TRIED] != time + 1:
            call_at(r[P_TAKE_THROUGH], r[P_SELF], channel, time)
        if r[H_STATUS] != FINISHED:
            return False
    return True


@internal
def take_words(r, time):
    """PEs take the words that have arrived for their moves: receives first, then streams through.

    Gives whether one may take a word in the next cycle. A stream-through whose result cannot be
    sent takes none by itself: what makes room for the result is something else that happens.
    """
    for i in range(r[H_TAKERS]):
        channel = r[r[A_TAKERS] + i]
        move = r[channel_at(r, channel) + F_POST] - 1
        if move < 0:
            continue
        v = r[A_MOVES] + move * V_SIZE
        if r[v + V_KIND] < STREAM_COPY and r[v + V_READY] <= time and is_there(r, channel):
            take(r, channel, time)
            if r[H_STATUS] != FINISHED:
                return False
    if r[H_STREAMS] != 0 and not stream_words(r, time):
        return False
    left, eager = ZERO, False
    for i in range(r[H_TAKERS]):
        channel = r[r[A_TAKERS] + i]
        f = channel_at(r, channel)
        move = r[f + F_POST] - 1
        stays = move >= 0 and is_there(r, channel)
        if stays and r[r[A_MOVES] + move * V_SIZE + V_READY] > time + 1:
            push_event(r, r[r[A_MOVES] + move * V_SIZE + V_READY], BEGIN_POST, channel)
            stays = False
        if stays:
            r[r[A_TAKERS] + left] = channel
            left += 1
            eager = eager or r[r[A_MOVES] + move * V_SIZE + V_FULL] == 0
        else:
            r[f + F_LISTED] = 0
    r[H_TAKERS] = left
    return eager


@internal
def move_words(r, time):
    """Decide every link that has something to decide; gives whether one may have more in the next cycle."""
    r[H_DECIDING] = 1
    for i in range(r[B_ACTIVE]):
        links = r[r[A_ACTIVE] + i]
        while links != 0:
            link = i * 64 + first_bit(links)
            links &= links - 1
            call_at(r[P_SETTLE], r[P_SELF], link, time)
            if r[H_STATUS] != FINISHED:
                return False
    at = ZERO
    while at < r[H_AGAIN]:
        call_at(r[P_SETTLE], r[P_SELF], r[r[A_AGAIN] + at], time)
        at += 1
        if r[H_STATUS] != FINISHED:
            return False
    r[H_AGAIN] = 0
    r[H_DECIDING] = 0
    busy = False
    for i in range(r[B_ACTIVE]):
        if r[r[A_ACTIVE] + i] != 0:
            busy = True
    return busy


@internal
def next_cycle(r, time, busy):
    """The next cycle in which something can happen, or -1."""
    if busy or r[H_HOSTS] != 0:
        return time + 1
    event = soonest(r, time)
    if r[H_FLYING] != 0:
        for ahead in range(1, r[B_WHEEL] + 1):
            at = time + ahead
            if 0 <= event <= at:
                break
            if r[r[A_WHEEL_COUNTS] + (at & (r[B_WHEEL] - 1))] != 0:
                return at
    return event


@native
def run(header_at, least_words, cycles):
    """Run for so many cycles that are not skipped, or until nothing can happen any more or Python is needed.

    It also comes back after a cycle in which a message has come to a host that listens.
    H_STATUS says why it came back. ``least_words`` are free at the beginning of every cycle.
    """
    r = i64_at(header_at)
    r[H_STATUS] = FINISHED
    while True:
        time = r[H_TIME]
        if r[H_WORDS_FREE] < least_words:
            r[H_STATUS] = WANTS_WORDS
            return
        if cycles == 0 or r[H_HEARD] != 0:
            r[H_STATUS] = PAUSED
            return
        cycles -= 1
        if not handle_events(r, time):
            return
        land(r, time)
        send_from_host(r, time)
        eager = take_words(r, time)
        if r[H_STATUS] != FINISHED:
            return
        busy = move_words(r, time) or eager
        if r[H_STATUS] != FINISHED:
            return
        if r[X_MAX_CYCLES] >= 0 and max(time, r[H_LATEST]) > r[X_MAX_CYCLES]:
            r[H_STATUS] = ERROR_MAX_CYCLES
            return
        following = next_cycle(r, time, busy)
        if following < 0:
            return
        r[H_TIME] = following
