"""Routers: which words go over which links in a cycle.

Every link is decided once in a cycle: of the colors whose first word waits for it, in
round-robin order, the first that can move does. A word can move when each of its outputs
has a place for it, or a word that makes one in this very cycle; so before a link is
decided, those are that the places behind it depend on. Where links depend on one another
in a circle, the place counts as free in the next cycle only.
"""

from __future__ import annotations

from meshrt.compiled import called_by_address, inline, internal
from meshrt.engines.loading.codes import RAMP, SIDES
from meshrt.engines.pointers import count_bits, first_bit, i32_at, i64_at
from meshrt.engines.reference.core.faults import disturb, is_deaf, is_stuck
from meshrt.engines.reference.core.moves import can_send, inject, take_through
from meshrt.engines.reference.core.queues import (
    accepts,
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
    link_into,
    push_event,
    queue_at,
    remove_first,
    set_off,
    want_no_outputs,
)
from meshrt.engines.reference.core.records import (
    A_ACTIVE,
    A_ARRIVED,
    A_EXITS,
    A_MOVES,
    A_NEIGHBOURS,
    A_PLACES,
    A_ROWS,
    A_STACK,
    A_TURNS,
    AWAKE,
    B_COLORS,
    B_FAULTS,
    ERROR_HOST_OVERFLOW,
    ERROR_LEAVES_FABRIC,
    F_CONFIG,
    F_HELD,
    F_MIDWAY,
    F_PASSED,
    F_POST,
    F_TRIED,
    F_TURN,
    FINISHED,
    FROM_PE,
    H_CONTENDED,
    H_HOST_OUT,
    H_LAST_HOPS,
    H_LAST_OUT,
    H_LAST_STAGES,
    H_LATEST,
    H_STALLED,
    H_STATUS,
    INTO_PE,
    L_CYCLE,
    L_EMPTY,
    L_HELD,
    L_KEPT,
    L_NEXT,
    L_REFUSED,
    L_STATE,
    L_USED,
    L_WANT,
    L_WORDS,
    LINKS,
    MOVE_ENDS,
    N_CYCLES,
    N_HOPS,
    N_SIZE,
    O_BASE,
    O_COUNT,
    O_DONE,
    O_DTYPE,
    O_SENDER,
    O_SIZE,
    P_MEMORY,
    P_QUEUES,
    P_WORDS,
    Q_THERE,
    STREAM_COPY,
    T_BEHIND,
    T_SIZE,
    T_TIME,
    TURN,
    V_KIND,
    V_SIZE,
    W_CALL,
    W_ELEMENTS,
    W_HOPS,
    W_INDEX,
    W_KIND,
    W_ROW,
    W_SIZE,
    W_STAGES,
    W_THERE,
    W_VALUE,
    X_CHECKED,
    X_HOP,
    X_LINK_WORDS,
    X_RAMP,
    X_RAMP_WORDS,
    ZERO,
)
from meshrt.engines.reference.core.shadow import verify

#: What keeps a word from moving: a full queue, or a link whose words of this cycle have gone. Else a link's number
#: says that this link is to be decided first.
MOVES, NO_ROOM, NO_LINK = -1, -2, -3
DECIDED = -1


@inline
def capacity_of(r, side):
    """Words that a link moves in a cycle."""
    return r[X_RAMP_WORDS] if side >= RAMP else r[X_LINK_WORDS]


@inline
def used_up(r, link, side, time):
    """Whether a link has moved all its words of this cycle."""
    at = link_at(r, link)
    return r[at + L_CYCLE] == time + 1 and r[at + L_USED] >= capacity_of(r, side)


@inline
def undecided(r, link, color, time):
    """Whether it is open that a word of a color goes over a link in this cycle."""
    return not is_begun(r, link, time) and (r[link_at(r, link) + L_WANT] >> color & 1) != 0


@inline
def room(r, router, color, port, time):
    """Whether a queue has a place for one more word in this cycle: MOVES, NO_ROOM, or a link to be decided first."""
    channel = router * r[B_COLORS] + color
    if has_room(r, channel, port) or is_deaf(r, link_into(r, router, port), time):
        return MOVES + ZERO
    return room_made(r, router, color, port, time)


@internal
def room_made(r, router, color, port, time):
    """The same of a queue that is full: whether its first word makes a place in this cycle."""
    channel = router * r[B_COLORS] + color
    f = channel_at(r, channel)
    if port == INTO_PE:
        move = r[f + F_POST] - 1
        if move < 0 or r[f + F_TRIED] == time + 1 or r[r[A_MOVES] + move * V_SIZE + V_KIND] < STREAM_COPY:
            return NO_ROOM + ZERO
        link = router * LINKS + FROM_PE
        if not is_begun(r, link, time):
            return link
        take_through(r, channel, time)
        return MOVES + ZERO if has_room(r, channel, port) else NO_ROOM + ZERO
    if not accepts(r[f + F_CONFIG], port) or i32_at(r[P_QUEUES])[queue_at(r, channel, port) + Q_THERE] == 0:
        return NO_ROOM + ZERO
    outputs = r[f + F_CONFIG] >> 3
    while outputs != 0:
        link = router * LINKS + first_bit(outputs)
        if undecided(r, link, color, time):
            return link
        outputs &= outputs - 1
    return NO_ROOM + ZERO


@internal
def can_move(r, router, side, color, time):
    """Whether the first word of a color that waits for a link can move in this cycle, as :func:`room` says it."""
    if side == FROM_PE:
        if is_stuck(r, router * LINKS + FROM_PE, time):
            return NO_ROOM + ZERO
        found = room(r, router, color, RAMP, time)
        return NO_LINK + ZERO if found == MOVES and not can_send(r, router, color, time) else found
    outputs = r[channel_at(r, router * r[B_COLORS] + color) + F_CONFIG] >> 3
    verdict = MOVES + ZERO
    while outputs != 0:
        output = first_bit(outputs)
        outputs &= outputs - 1
        if is_stuck(r, router * LINKS + output, time):
            return NO_ROOM + ZERO
        if output != side and used_up(r, router * LINKS + output, output, time):
            verdict = NO_LINK
            continue
        found = MOVES + ZERO
        if output == RAMP:
            found = room(r, router, color, INTO_PE, time)
        else:
            beyond = r[r[A_NEIGHBOURS] + router * SIDES + output]
            if beyond >= 0:
                found = room(r, beyond, color, (output + 2) % SIDES, time)
        if found != MOVES:
            return found
    return verdict


@internal
def leave(r, router, color, side, word, hops, time):
    """A word leaves the region after so many hops: the host has it at ``time``, where a port is declared."""
    words = i64_at(r[P_WORDS])
    w = word * W_SIZE
    channel = router * r[B_COLORS] + color
    place = r[r[A_EXITS] + channel * SIDES + side]
    call = words[w + W_CALL]
    if place == 0:
        fail(r, ERROR_LEAVES_FABRIC, router, color, call, side, ZERO)
        return
    o = r[A_PLACES] + (place - 1) * O_SIZE
    if r[X_CHECKED] != 0:
        verify(r, words, w, o + O_SENDER, router, color, ZERO - 1)
        if r[H_STATUS] != FINISHED:
            return
    kind = words[w + W_KIND]
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
    r[H_HOST_OUT] += 1
    count_hops(r, words, w, hops)
    hops, stages = words[w + W_HOPS], words[w + W_STAGES]
    last = r[H_LAST_OUT]
    shorter = stages < r[H_LAST_STAGES] or (stages == r[H_LAST_STAGES] and hops < r[H_LAST_HOPS])
    if time > last or (time == last and shorter):
        r[H_LAST_OUT] = time
        r[H_LAST_HOPS] = hops
        r[H_LAST_STAGES] = stages
    if time > r[H_LATEST]:
        r[r[A_ROWS] + words[w + W_ROW] * N_SIZE + N_CYCLES] += time - r[H_LATEST]
        r[H_LATEST] = time
    free_word(r, word)


@inline
def count_hops(r, words, w, hops):
    """A word has come to its end: the hops that it has gone are its path's and its operation's."""
    words[w + W_HOPS] += hops
    r[r[A_ROWS] + words[w + W_ROW] * N_SIZE + N_HOPS] += hops


@inline
def count_use(r, link, time):
    """One more word over a link."""
    at = link_at(r, link)
    if r[at + L_CYCLE] != time + 1:
        r[at + L_CYCLE] = time + 1
        r[at + L_USED] = 0
    r[at + L_USED] += 1
    r[at + L_WORDS] += 1


@internal
def pass_word(r, router, color, time):
    """The first word of a color goes through its router, to all outputs of the route."""
    words = i64_at(r[P_WORDS])
    channel = router * r[B_COLORS] + color
    f = channel_at(r, channel)
    config = r[f + F_CONFIG]
    port, outputs = (config & 7) - 1, config >> 3
    word, gone = first_word(r, channel, port), first_hops(r, channel, port)
    last, hops = gone & MOVE_ENDS, gone & (MOVE_ENDS - 1)
    while outputs != 0:
        output = first_bit(outputs)
        outputs &= outputs - 1
        link = router * LINKS + output
        this, since = word, hops
        if outputs != 0:
            # The hops so far are counted with one of the copies.
            this, since = copy_word(r, words, word), ZERO
            words[this * W_SIZE + W_HOPS] += hops
        count_use(r, link, time)
        at = link_at(r, link)
        r[at + L_NEXT] = color + 1
        r[at + L_KEPT] &= ~(1 << color)
        if r[B_FAULTS] != 0 and disturb(r, words, this, link, time):
            free_word(r, this)
            continue
        if output == RAMP:
            words[this * W_SIZE + W_THERE] = time + r[X_RAMP]
            count_hops(r, words, this * W_SIZE, since)
            set_off(r, channel, INTO_PE, this, ZERO, time + r[X_RAMP])
            continue
        beyond = r[r[A_NEIGHBOURS] + router * SIDES + output]
        if beyond < 0:
            leave(r, router, color, output, this, since + 1, time + r[X_HOP])
            r[r[A_ARRIVED] + link] += 1
        else:
            to = beyond * r[B_COLORS] + color
            set_off(r, to, (output + 2) % SIDES, this, last + since + 1, time + r[X_HOP])
    r[f + F_HELD] = 0
    remove_first(r, channel, port, time)
    if i32_at(r[P_QUEUES])[queue_at(r, channel, port) + Q_THERE] == 0:
        want_no_outputs(r, channel, time)
    if port == RAMP:
        r[f + F_PASSED] += 1
        turn = r[f + F_TURN]
        if turn != 0 and r[f + F_PASSED] >= r[r[A_TURNS] + (turn - 1) * T_SIZE + T_BEHIND]:
            push_event(r, max(time + 1, r[r[A_TURNS] + (turn - 1) * T_SIZE + T_TIME]), TURN, channel)
    else:
        r[f + F_MIDWAY] = 0 if last != 0 else 1


@internal
def hold_back(r, router, color):
    """A full queue behind one output keeps the first word of a multicast from all: it is late where there is room."""
    f = channel_at(r, router * r[B_COLORS] + color)
    outputs = r[f + F_CONFIG] >> 3
    if outputs & (outputs - 1) != 0 and r[f + F_HELD] == 0:
        r[f + F_HELD] = 1
        r[H_STALLED] += 1


@internal
def decide(r, link, time):
    """Move the words of a link in this cycle; gives DECIDED, or a link that is to be decided first."""
    at = link_at(r, link)
    router, side = link // LINKS, link % LINKS
    if r[at + L_EMPTY] != 0 and r[at + L_WANT] != 0:
        # A link for which no word waited in the cycle before is idle, and begins with the lowest color.
        if r[at + L_EMPTY] - 1 < time - 1:
            r[at + L_NEXT] = 0
        r[at + L_EMPTY] = 0
    capacity = capacity_of(r, side)
    while not used_up(r, link, side, time):
        waiting = r[at + L_WANT] & ~r[at + L_REFUSED]
        if waiting == 0:
            break
        later = waiting >> r[at + L_NEXT] << r[at + L_NEXT]
        chosen = first_bit(later if later != 0 else waiting)
        verdict = can_move(r, router, side, chosen, time)
        if verdict >= 0:
            return verdict
        if verdict != MOVES:
            if verdict == NO_ROOM and side != FROM_PE:
                hold_back(r, router, chosen)
            refuse(r, at, router, side, chosen, verdict)
            continue
        left = r[at + L_USED] if r[at + L_CYCLE] == time + 1 else ZERO
        if left + 1 == capacity:
            # Words of other colors that wait are kept from the link by the one that goes; each is counted once.
            others = r[at + L_WANT] & ~(1 << chosen) & ~r[at + L_KEPT]
            r[at + L_KEPT] |= others
            r[H_CONTENDED] += count_bits(others)
        if side == FROM_PE:
            count_use(r, link, time)
            r[at + L_NEXT] = chosen + 1
            r[at + L_KEPT] &= ~(1 << chosen)
            inject(r, router, chosen, time)
        else:
            pass_word(r, router, chosen, time)
        if r[H_STATUS] != FINISHED:
            return DECIDED + ZERO
    # Where all words wait for room, somebody wakes the link who makes some.
    awake = (r[at + L_REFUSED] & AWAKE) != 0 or used_up(r, link, side, time)
    bits, bit = r[A_ACTIVE] + (link >> 6), 1 << (link & 63)
    if r[at + L_WANT] != 0 and awake:
        r[bits] |= bit
    else:
        r[bits] &= ~bit
    return DECIDED + ZERO


@inline
def refuse(r, at, router, side, color, verdict):
    """The first word of a color cannot move over a link in this cycle."""
    r[at + L_REFUSED] |= 1 << color
    if verdict == NO_LINK:
        r[at + L_REFUSED] |= AWAKE
    elif side == FROM_PE:
        # A word of the PE that finds its queue full is late; so are those of the same move behind it.
        r[at + L_HELD] |= 1 << color


@inline
def begin(r, link, time):
    """The decision of a link begins."""
    at = link_at(r, link)
    r[at + L_STATE] = 2 * time + 2
    r[at + L_REFUSED] = 0


@called_by_address
def settle(header_at, link, time):
    """Decide a link in this cycle, and before it those that it depends on."""
    r = i64_at(header_at)
    if is_decided(r, link, time):
        return ZERO
    stack = r[A_STACK]
    r[stack] = link
    begin(r, link, time)
    depth = 1
    while depth > 0 and r[H_STATUS] == FINISHED:
        top = r[stack + depth - 1]
        first = decide(r, top, time)
        if first >= 0:
            begin(r, first, time)
            r[stack + depth] = first
            depth += 1
        else:
            r[link_at(r, top) + L_STATE] += 1
            depth -= 1
    return ZERO
