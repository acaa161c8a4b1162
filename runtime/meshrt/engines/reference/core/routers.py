"""Routers: which words go over which links in a cycle.

Every link is decided once in a cycle: of the colors whose first word waits for it, in
round-robin order, the first that can move does. A word can move when each of its outputs
has a place for it, or a word that makes one in this very cycle; so before a link is
decided, those are that the places behind it depend on. Where links depend on one another
in a circle, the place counts as free in the next cycle only.
"""

from __future__ import annotations

import numpy as np

from meshrt.compiled import called_by_address, inline, internal
from meshrt.engines.loading.codes import RAMP, SIDES
from meshrt.engines.pointers import count_bits, first_bit, i32_at, i64_at
from meshrt.engines.reference.core.calendar import push_event
from meshrt.engines.reference.core.faults import disturb, is_deaf, is_stuck
from meshrt.engines.reference.core.moves import can_send, count_hops, inject, take_through
from meshrt.engines.reference.core.queues import (
    channel_at,
    copy_word,
    fail,
    first_hops,
    first_word,
    free_word,
    has_room,
    is_begun,
    is_decided,
    link_at,
    queue_at,
    queue_behind,
    remove_first,
    set_off,
    want_no_outputs,
)
from meshrt.engines.reference.core.records import (
    A_ACTIVE,
    A_AHEAD,
    A_ARRIVED,
    A_EXITS,
    A_MOVES,
    A_PES,
    A_PLACES,
    A_ROWS,
    A_STACK,
    A_TURNS,
    B_COLORS,
    B_FAULTS,
    B_QUEUE,
    B_SHIFT,
    E_HELD,
    E_SIZE,
    ERROR_HOST_OVERFLOW,
    ERROR_LEAVES_FABRIC,
    F_CONFIG,
    F_PASSED,
    F_POST,
    F_TRIED,
    F_TURN,
    FINISHED,
    FROM_PE,
    H_CONTENDED,
    H_HEARD,
    H_HOST_OUT,
    H_LAST_HOPS,
    H_LAST_OUT,
    H_LAST_STAGES,
    H_LATEST,
    H_STALLED,
    H_STATUS,
    HELD,
    INTO_PE,
    L_EMPTY,
    L_FULL,
    L_GONE,
    L_KEPT,
    L_NEXT,
    L_STATE,
    L_WANT,
    L_WORDS,
    LAST,
    LINKS,
    MIDWAY,
    MOVE_ENDS,
    N_CYCLES,
    N_SIZE,
    O_BASE,
    O_COUNT,
    O_DONE,
    O_DTYPE,
    O_SENDER,
    O_SIZE,
    O_TIME,
    O_WHOLE,
    OUTPUTS,
    P_MEMORY,
    P_QUEUES,
    P_ROUTES,
    P_WORDS,
    Q_HEAD,
    Q_RING,
    Q_ROUTE,
    Q_THERE,
    QUEUES,
    STREAM_COPY,
    T_BEHIND,
    T_SIZE,
    T_TIME,
    TURN,
    USED_BITS,
    V_KIND,
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
    X_CHECKED,
    X_HOP,
    X_LINK_WORDS,
    X_LISTENS,
    X_RAMP,
    X_RAMP_WORDS,
    ZERO,
)
from meshrt.engines.reference.core.shadow import verify

#: What keeps a word from moving: a full queue, or a link whose words of this cycle have gone. Else a link's number
#: says that this link is to be decided first.
MOVES, NO_ROOM, NO_LINK = -1, -2, -3
DECIDED = -1
#: Among the colors that a link refuses: one of them may go in the next cycle.
AWAKE = np.int64(-(1 << 63))
#: What a link has carried in a cycle when it carries no more.
_CYCLE = 1 << USED_BITS


@inline
def capacity_of(r, side):
    """Words that a link moves in a cycle."""
    return r[X_RAMP_WORDS] if side >= RAMP else r[X_LINK_WORDS]


@inline
def used_up(r, link, side, time):
    """Whether a link has moved all its words of this cycle."""
    return r[link_at(r, link) + L_GONE] >= (time + 1) * _CYCLE + capacity_of(r, side)


@inline
def room(r, link, color, time):
    """Whether the queue behind a link has a place for one more word in this cycle: as :func:`room_made` says it."""
    if (r[link_at(r, link) + L_FULL] >> color & 1) == 0 or is_deaf(r, link, time):
        return MOVES + ZERO
    return room_made(r, queue_behind(r, link, color), time)


@internal
def room_made(r, number, time):
    """Whether the first word of a full queue makes a place in this cycle: MOVES, NO_ROOM, or a link to decide first."""
    channel = number // QUEUES
    router = channel >> r[B_SHIFT]
    if number - channel * QUEUES == INTO_PE:
        f = channel_at(r, channel)
        move = r[f + F_POST] - 1
        if move < 0 or r[f + F_TRIED] == time + 1 or r[r[A_MOVES] + move * V_SIZE + V_KIND] < STREAM_COPY:
            return NO_ROOM + ZERO
        link = router * LINKS + FROM_PE
        if not is_begun(r, link, time):
            return link
        take_through(r, channel, time)
        return MOVES + ZERO if has_room(r, channel, INTO_PE) else NO_ROOM + ZERO
    q, at = i32_at(r[P_QUEUES]), number * r[B_QUEUE]
    outputs = np.int64(q[at + Q_ROUTE] & OUTPUTS) if q[at + Q_THERE] != 0 else ZERO
    while outputs != 0:
        # Where the word is still to be moved in this cycle, its link comes first.
        link = router * LINKS + first_bit(outputs)
        if not is_begun(r, link, time):
            return link
        outputs &= outputs - 1
    return NO_ROOM + ZERO


@inline
def can_leave_pe(r, link, router, color, time):
    """Whether a PE can send the next word of a color in this cycle, as :func:`room_made` says it."""
    if is_stuck(r, link, time):
        return NO_ROOM + ZERO
    found = room(r, link, color, time)
    return NO_LINK + ZERO if found == MOVES and not can_send(r, router, color, time) else found


@internal
def can_move(r, router, side, color, time):
    """Whether the first word of a color can go over all links of its route in this cycle, as :func:`room_made` says."""
    outputs = r[channel_at(r, router * r[B_COLORS] + color) + F_CONFIG] >> 3
    verdict = MOVES + ZERO
    while outputs != 0:
        output = first_bit(outputs)
        outputs &= outputs - 1
        link = router * LINKS + output
        if is_stuck(r, link, time):
            return NO_ROOM + ZERO
        if output != side and used_up(r, link, output, time):
            verdict = NO_LINK
            continue
        found = room(r, link, color, time)
        if found != MOVES:
            return found
    return verdict


@internal
def leave(r, router, color, side, word, hops, time):
    """A word leaves the region after so many hops: the host has it at ``time``, where a port is declared."""
    words, shorts = i64_at(r[P_WORDS]), i32_at(r[P_WORDS])
    w, s = word * W_SIZE, word * W_SHORTS
    channel = router * r[B_COLORS] + color
    place = r[r[A_EXITS] + channel * SIDES + side]
    call = np.int64(shorts[s + W_CALL])
    if place == 0:
        fail(r, ERROR_LEAVES_FABRIC, router, color, call, side, ZERO)
        return
    o = r[A_PLACES] + (place - 1) * O_SIZE
    if r[X_CHECKED] != 0:
        verify(r, word, o + O_SENDER, router, color, ZERO - 1)
        if r[H_STATUS] != FINISHED:
            return
    kind = np.int64(shorts[s + W_KIND])
    elements = (kind >> 2) & 3
    done = r[o + O_DONE]
    if done + elements > r[o + O_COUNT] or r[o + O_DTYPE] != kind & 3:
        before = words[w + W_INDEX] * (2 if (kind & 3) == 1 or (kind & 3) == 2 else 1)
        fail(r, ERROR_HOST_OVERFLOW, router, color, call, done - before + words[w + W_ELEMENTS], r[o + O_COUNT])
        return
    memory = i32_at(r[P_MEMORY])
    value = words[w + W_VALUE]
    memory[r[o + O_BASE] + done] = value
    if elements == 2:
        memory[r[o + O_BASE] + done + 1] = value >> 32
    r[o + O_DONE] = done + elements
    if kind & LAST:
        r[o + O_WHOLE] = done + elements
        r[o + O_TIME] = time
        r[H_HEARD] = r[X_LISTENS]
    r[H_HOST_OUT] += 1
    count_hops(r, word, hops)
    hops, stages = np.int64(shorts[s + W_HOPS]), np.int64(shorts[s + W_STAGES])
    last = r[H_LAST_OUT]
    shorter = stages < r[H_LAST_STAGES] or (stages == r[H_LAST_STAGES] and hops < r[H_LAST_HOPS])
    if time > last or (time == last and shorter):
        r[H_LAST_OUT] = time
        r[H_LAST_HOPS] = hops
        r[H_LAST_STAGES] = stages
    if time > r[H_LATEST]:
        r[r[A_ROWS] + shorts[s + W_ROW] * N_SIZE + N_CYCLES] += time - r[H_LATEST]
        r[H_LATEST] = time
    free_word(r, word)


# Words on their way.


@inline
def count_use(r, link, color, time):
    """One more word over a link."""
    at = link_at(r, link)
    r[at + L_GONE] = max(r[at + L_GONE], (time + 1) * _CYCLE) + 1
    r[at + L_WORDS] += 1
    r[at + L_NEXT] = color + 1
    r[at + L_KEPT] &= ~(1 << color)


@inline
def go(r, router, side, color, word, hops, time):
    """A word that has gone so many hops goes over a link."""
    link = router * LINKS + side
    if side == RAMP:
        set_off(r, link, color, word, hops, time + r[X_RAMP])
    elif r[r[A_AHEAD] + link] >= 0:
        set_off(r, link, color, word, hops + 1, time + r[X_HOP])
    else:
        leave(r, router, color, side, word, (hops & (MOVE_ENDS - 1)) + 1, time + r[X_HOP])
        r[r[A_ARRIVED] + link] += 1


@inline
def gone_on(r, channel, number, outputs, gone, time):
    """The first word of a queue has gone over the outputs of its route."""
    q, at = i32_at(r[P_QUEUES]), number * r[B_QUEUE]
    remove_first(r, number, time)
    if q[at + Q_THERE] == 0:
        want_no_outputs(r, channel, outputs, time)
    flags = q[at + Q_ROUTE] & ~HELD
    if number - channel * QUEUES == RAMP:
        f = channel_at(r, channel)
        r[f + F_PASSED] += 1
        turn = r[f + F_TURN]
        if turn != 0 and r[f + F_PASSED] >= r[r[A_TURNS] + (turn - 1) * T_SIZE + T_BEHIND]:
            push_event(r, max(time + 1, r[r[A_TURNS] + (turn - 1) * T_SIZE + T_TIME]), TURN, channel)
        q[at + Q_ROUTE] = flags
    else:
        q[at + Q_ROUTE] = flags & ~MIDWAY if gone & MOVE_ENDS else flags | MIDWAY


@inline
def pass_on(r, router, side, color, number, time):
    """The first word of a queue goes over the only output of its route."""
    q, at = i32_at(r[P_QUEUES]), number * r[B_QUEUE]
    first = at + Q_RING + 2 * q[at + Q_HEAD]
    word, gone = np.int64(q[first]), np.int64(q[first + 1])
    count_use(r, router * LINKS + side, color, time)
    go(r, router, side, color, word, gone, time)
    gone_on(r, router * r[B_COLORS] + color, number, ZERO + (1 << side), gone, time)


@internal
def pass_word(r, router, color, time):
    """The first word of a color goes through its router, to all outputs of the route; a fault may meet it."""
    channel = router * r[B_COLORS] + color
    config = r[channel_at(r, channel) + F_CONFIG]
    port, outputs = (config & 7) - 1, config >> 3
    word, gone = first_word(r, channel, port), first_hops(r, channel, port)
    while outputs != 0:
        output = first_bit(outputs)
        outputs &= outputs - 1
        this, hops = word, gone
        if outputs != 0:
            # The hops so far are counted with one of the copies.
            this, hops = copy_word(r, word), gone & MOVE_ENDS
            i32_at(r[P_WORDS])[this * W_SHORTS + W_HOPS] += gone & (MOVE_ENDS - 1)
        link = router * LINKS + output
        count_use(r, link, color, time)
        if r[B_FAULTS] != 0 and disturb(r, this, link, time):
            free_word(r, this)
        else:
            go(r, router, output, color, this, hops, time)
    gone_on(r, channel, channel * QUEUES + port, config >> 3, gone, time)


# Which words go.


@internal
def hold_back(r, router, color):
    """A full queue behind one output keeps the first word of a multicast from all: it is late where there is room."""
    channel = router * r[B_COLORS] + color
    config = r[channel_at(r, channel) + F_CONFIG]
    outputs = config >> 3
    q, at = i32_at(r[P_QUEUES]), queue_at(r, channel, (config & 7) - 1)
    if outputs & (outputs - 1) != 0 and q[at + Q_ROUTE] & HELD == 0:
        q[at + Q_ROUTE] |= HELD
        r[H_STALLED] += 1


@inline
def decide(r, frame, time):
    """Move the words of a link in this cycle; gives DECIDED, or a link that is to be decided first.

    ``frame`` is an entry of the stack: the link, and the colors that cannot move in this cycle, as bits; AWAKE among
    them when one may in the next.
    """
    link, refused = r[frame], r[frame + 1]
    at = link_at(r, link)
    router = link // LINKS
    side = link - router * LINKS
    if r[at + L_EMPTY] != 0 and r[at + L_WANT] != 0:
        # A link for which no word waited in the cycle before is idle, and begins with the lowest color.
        if r[at + L_EMPTY] - 1 < time - 1:
            r[at + L_NEXT] = 0
        r[at + L_EMPTY] = 0
    full = (time + 1) * _CYCLE + capacity_of(r, side)
    while r[at + L_GONE] < full:
        waiting = r[at + L_WANT] & ~refused
        if waiting == 0:
            break
        later = waiting >> r[at + L_NEXT] << r[at + L_NEXT]
        color = first_bit(later if later != 0 else waiting)
        route = np.int64(i32_at(r[P_ROUTES])[router * r[B_COLORS] + color])
        # Most words go one way over links that work.
        simple = side != FROM_PE and (route & 1) == 0 and r[B_FAULTS] == 0
        if simple:
            verdict = MOVES + ZERO
            if r[at + L_FULL] >> color & 1:
                verdict = room_made(r, queue_behind(r, link, color), time)
        elif side == FROM_PE:
            verdict = can_leave_pe(r, link, router, color, time)
        else:
            verdict = can_move(r, router, side, color, time)
        if verdict >= 0:
            r[frame + 1] = refused
            return verdict
        if verdict != MOVES:
            refused |= 1 << color
            if verdict == NO_LINK:
                refused |= AWAKE
            elif side == FROM_PE:
                # A word of the PE that finds its queue full is late; so are those of the same move behind it.
                r[r[A_PES] + router * E_SIZE + E_HELD] |= 1 << color
            elif not simple:
                hold_back(r, router, color)
            continue
        if max(r[at + L_GONE], (time + 1) * _CYCLE) + 1 == full:
            # Words of other colors that wait are kept from the link by the one that goes; each is counted once.
            others = r[at + L_WANT] & ~(1 << color) & ~r[at + L_KEPT]
            r[at + L_KEPT] |= others
            r[H_CONTENDED] += count_bits(others)
        if simple:
            pass_on(r, router, side, color, route >> 1, time)
        elif side == FROM_PE:
            count_use(r, link, color, time)
            inject(r, router, color, time)
        else:
            pass_word(r, router, color, time)
        if r[H_STATUS] != FINISHED:
            return DECIDED + ZERO
    # Where all words wait for room, somebody wakes the link who makes some.
    awake = (refused & AWAKE) != 0 or r[at + L_GONE] >= full
    bits, bit = r[A_ACTIVE] + (link >> 6), 1 << (link & 63)
    if r[at + L_WANT] != 0 and awake:
        r[bits] |= bit
    else:
        r[bits] &= ~bit
    return DECIDED + ZERO


@inline
def begin(r, frame, link, time):
    """The decision of a link begins."""
    r[link_at(r, link) + L_STATE] = 2 * time + 2
    r[frame] = link
    r[frame + 1] = 0


@called_by_address
def settle(header_at, link, time):
    """Decide a link in this cycle, and before it those that it depends on."""
    r = i64_at(header_at)
    if is_decided(r, link, time):
        return ZERO
    frame = r[A_STACK]
    begin(r, frame, link, time)
    while frame >= r[A_STACK] and r[H_STATUS] == FINISHED:
        first = decide(r, frame, time)
        if first >= 0:
            frame += 2
            begin(r, frame, first, time)
        else:
            r[link_at(r, r[frame]) + L_STATE] += 1
            frame -= 2
    return ZERO
