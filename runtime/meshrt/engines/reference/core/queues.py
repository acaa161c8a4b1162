"""Queues and words: the small operations that routers, moves and PEs are made of."""

from __future__ import annotations

import numpy as np

from meshrt.compiled import inline, internal
from meshrt.engines.loading.codes import RAMP, SIDES
from meshrt.engines.pointers import first_bit, i32_at, i64_at, prefetch
from meshrt.engines.reference.core.records import (
    A_ACTIVE,
    A_AGAIN,
    A_AHEAD,
    A_CHANNELS,
    A_HOSTS,
    A_LINKS,
    A_MOVES,
    A_NEIGHBOURS,
    A_PLACES,
    A_SOURCES,
    A_TAKERS,
    A_WHEEL,
    A_WHEEL_COUNTS,
    B_COLORS,
    B_QUEUE,
    B_SHIFT,
    B_SLOT,
    B_WHEEL,
    ERROR_OVERFLOW,
    F_LISTED,
    F_POST,
    F_SIZE,
    F_THERE,
    FINISHED,
    FROM_PE,
    H_A,
    H_AGAIN,
    H_B,
    H_CALL,
    H_COLOR,
    H_DECIDING,
    H_FLYING,
    H_HOSTS,
    H_LIVE,
    H_MOST,
    H_PE,
    H_STATUS,
    H_TAKERS,
    H_WORDS_FREE,
    INTO_PE,
    L_EMPTY,
    L_FULL,
    L_SIZE,
    L_STATE,
    L_WANT,
    LINKS,
    O_LISTED,
    O_SIZE,
    OUTPUTS,
    P_FREE,
    P_QUEUES,
    P_SELF,
    P_WORDS,
    Q_COUNT,
    Q_HEAD,
    Q_RING,
    Q_ROUTE,
    Q_THERE,
    QUEUES,
    TELL,
    TO_PE,
    V_SIZE,
    W_CALL,
    W_SHORTS,
    W_SIZE,
    X_QUEUE_WORDS,
    ZERO,
)


@internal
def fail(r, status, pe, color, call, a, b):
    """Note the first failure; callers stop soon after, and the engine raises it."""
    if r[H_STATUS] == FINISHED:
        r[H_STATUS] = status
        r[H_PE] = pe
        r[H_COLOR] = color
        r[H_CALL] = call
        r[H_A] = a
        r[H_B] = b


@inline
def link_at(r, link):
    """The record of a link."""
    return r[A_LINKS] + link * L_SIZE


@inline
def channel_at(r, channel):
    """The record of a channel."""
    return r[A_CHANNELS] + channel * F_SIZE


@inline
def queue_at(r, channel, port):
    """The record of a queue, in the array of queues."""
    return (channel * QUEUES + port) * r[B_QUEUE]


@inline
def queue_behind(r, link, color):
    """Number of the queue of a color that a link leads to; negative where it leaves the region."""
    return r[r[A_AHEAD] + link] + color * QUEUES


# Words.


@inline
def new_word(r):
    """A word that is free; the engine sees to it that there are enough at the beginning of every cycle."""
    free = i32_at(r[P_FREE])
    r[H_WORDS_FREE] -= 1
    r[H_LIVE] += 1
    if r[H_LIVE] > r[H_MOST]:
        r[H_MOST] = r[H_LIVE]
    return np.int64(free[r[H_WORDS_FREE]])


@inline
def free_word(r, word):
    """Return a word."""
    free = i32_at(r[P_FREE])
    free[r[H_WORDS_FREE]] = word
    r[H_WORDS_FREE] += 1
    r[H_LIVE] -= 1


@inline
def copy_word(r, word):
    """The same word once more, for another branch of a multicast."""
    words, copy = i64_at(r[P_WORDS]), new_word(r)
    for field in range(W_SIZE):
        words[copy * W_SIZE + field] = words[word * W_SIZE + field]
    return copy


# What is to be looked at in this cycle.


@inline
def is_begun(r, link, time):
    """Whether a link was decided in this cycle, or is being decided."""
    return r[link_at(r, link) + L_STATE] >= 2 * time + 2


@inline
def is_decided(r, link, time):
    """Whether a link was decided in this cycle."""
    return r[link_at(r, link) + L_STATE] == 2 * time + 3


@inline
def activate(r, link, time):
    """A link has something to decide: in this cycle, if it was not decided yet."""
    bits, bit = r[A_ACTIVE] + (link >> 6), 1 << (link & 63)
    if r[bits] & bit == 0:
        r[bits] |= bit
        # Before links are decided, all that are active are still to come.
        if r[H_DECIDING] != 0 and not is_decided(r, link, time):
            r[r[A_AGAIN] + r[H_AGAIN]] = link
            r[H_AGAIN] += 1


@inline
def list_taker(r, channel):
    """The PE of a channel may have a word to take."""
    f = channel_at(r, channel)
    if r[f + F_LISTED] == 0:
        r[f + F_LISTED] = 1
        r[r[A_TAKERS] + r[H_TAKERS]] = channel
        r[H_TAKERS] += 1


@inline
def want(r, link, color, time):
    """The first word of a color waits for a link."""
    at = link_at(r, link)
    r[at + L_WANT] |= 1 << color
    # The queue that the word will go to is needed when the link is decided.
    prefetch(r[P_QUEUES] + 4 * r[B_QUEUE] * queue_behind(r, link, color))
    activate(r, link, time)


@inline
def want_no_more(r, link, color, time):
    """No word of a color waits for a link any more."""
    at = link_at(r, link)
    r[at + L_WANT] &= ~(1 << color)
    if r[at + L_WANT] == 0:
        r[at + L_EMPTY] = time + 1


@inline
def want_outputs(r, channel, outputs, time):
    """The first word at the port that a channel's route accepts waits for the route's outputs."""
    router, color = channel >> r[B_SHIFT], channel & (r[B_COLORS] - 1)
    while outputs != 0:
        want(r, router * LINKS + first_bit(outputs), color, time)
        outputs &= outputs - 1


@inline
def want_no_outputs(r, channel, outputs, time):
    """No word waits for the outputs of a channel's route."""
    router, color = channel >> r[B_SHIFT], channel & (r[B_COLORS] - 1)
    while outputs != 0:
        want_no_more(r, router * LINKS + first_bit(outputs), color, time)
        outputs &= outputs - 1


# Queues.


@inline
def accepts(config, port):
    """Whether a route takes words from a port."""
    return (config & 7) == port + 1


@inline
def arrive(r, number, time):
    """A word has come to a queue, where it already held a place."""
    q, at = i32_at(r[P_QUEUES]), number * r[B_QUEUE]
    q[at + Q_THERE] += 1
    if q[at + Q_THERE] == 1:
        channel = number // QUEUES
        if number - channel * QUEUES == INTO_PE:
            f = channel_at(r, channel)
            r[f + F_THERE] = time
            if r[f + F_POST] != 0:
                list_taker(r, channel)
                prefetch(r[P_WORDS] + 8 * W_SIZE * q[at + Q_RING + 2 * q[at + Q_HEAD]])
                prefetch(r[P_SELF] + 8 * (r[A_MOVES] + (r[f + F_POST] - 1) * V_SIZE))
        else:
            want_outputs(r, channel, np.int64(q[at + Q_ROUTE] & OUTPUTS), time)


@inline
def append(r, number, word, hops):
    """A word that has gone so many hops takes a place in a queue, which has one; gives whether that was the last."""
    q, at = i32_at(r[P_QUEUES]), number * r[B_QUEUE]
    count = np.int64(q[at + Q_COUNT])
    if count >= r[X_QUEUE_WORDS]:
        overflow(r, number, word)
        return True
    position = q[at + Q_HEAD] + count
    if position >= r[X_QUEUE_WORDS]:
        position -= r[X_QUEUE_WORDS]
    q[at + Q_RING + 2 * position] = word
    q[at + Q_RING + 2 * position + 1] = hops
    q[at + Q_COUNT] = count + 1
    return count + 1 == r[X_QUEUE_WORDS]


@internal
def overflow(r, number, word):
    """A word comes to a full queue, which a link that is broken sent it to."""
    channel = number // QUEUES
    router, color = channel >> r[B_SHIFT], channel & (r[B_COLORS] - 1)
    call = np.int64(i32_at(r[P_WORDS])[word * W_SHORTS + W_CALL])
    fail(r, ERROR_OVERFLOW, router, color, call, number - channel * QUEUES, r[X_QUEUE_WORDS])


@inline
def set_off(r, link, color, word, hops, arrival):
    """A word sets off over a link to the queue behind it, where it arrives in a later cycle."""
    number = queue_behind(r, link, color)
    r[link_at(r, link) + L_FULL] |= np.int64(append(r, number, word, hops)) << color
    slot = arrival & (r[B_WHEEL] - 1)
    count = r[r[A_WHEEL_COUNTS] + slot]
    r[r[A_WHEEL] + slot * r[B_SLOT] + count] = number
    r[r[A_WHEEL_COUNTS] + slot] = count + 1
    r[H_FLYING] += 1


@inline
def first_word(r, channel, port):
    """The first word of a queue that is not empty."""
    q, at = i32_at(r[P_QUEUES]), queue_at(r, channel, port)
    return np.int64(q[at + Q_RING + 2 * q[at + Q_HEAD]])


@inline
def first_hops(r, channel, port):
    """The hops that the first word of a queue has gone, as the queue holds them."""
    q, at = i32_at(r[P_QUEUES]), queue_at(r, channel, port)
    return np.int64(q[at + Q_RING + 2 * q[at + Q_HEAD] + 1])


@inline
def has_room(r, channel, port):
    """Whether a queue has a place."""
    return i32_at(r[P_QUEUES])[queue_at(r, channel, port) + Q_COUNT] < r[X_QUEUE_WORDS]


@inline
def link_into(r, router, port):
    """The link whose words come to a queue of a router; -1 where only the host's do."""
    if port == INTO_PE:
        return router * LINKS + TO_PE
    if port == RAMP:
        return router * LINKS + FROM_PE
    beyond = r[r[A_NEIGHBOURS] + router * SIDES + port]
    return beyond * LINKS + (port + 2) % SIDES if beyond >= 0 else ZERO - 1


@internal
def wake_feeder(r, number, time):
    """A place of a queue is free: whoever fills the queue may go on in this very cycle."""
    channel = number // QUEUES
    port, router, color = number - channel * QUEUES, channel >> r[B_SHIFT], channel & (r[B_COLORS] - 1)
    link = link_into(r, router, port)
    if link < 0:
        source = r[r[A_SOURCES] + channel * SIDES + port]
        if source != 0:
            list_host(r, source - 1)
        return
    at = link_at(r, link)
    r[at + L_FULL] &= ~(1 << color)
    if r[at + L_WANT] >> color & 1:
        activate(r, link, time)


@inline
def list_host(r, source):
    """A stream of the host may be able to send."""
    o = r[A_PLACES] + source * O_SIZE
    if r[o + O_LISTED] == 0:
        r[o + O_LISTED] = 1
        r[r[A_HOSTS] + r[H_HOSTS]] = source
        r[H_HOSTS] += 1


@inline
def remove_first(r, number, time):
    """The first word of a queue moves on: its place is free, and the next word is the first.

    The link that fills a queue with room either moves words of it or is to be decided in any case; so mostly it is
    told of the first place only.
    """
    q, at = i32_at(r[P_QUEUES]), number * r[B_QUEUE]
    head, count = q[at + Q_HEAD] + 1, np.int64(q[at + Q_COUNT])
    q[at + Q_HEAD] = 0 if head == r[X_QUEUE_WORDS] else head
    q[at + Q_COUNT] = count - 1
    q[at + Q_THERE] -= 1
    if count == r[X_QUEUE_WORDS] or q[at + Q_ROUTE] & TELL:
        wake_feeder(r, number, time)
