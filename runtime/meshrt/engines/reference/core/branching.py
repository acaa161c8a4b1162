"""Branching: words that do not just go from one router to the next.

A multicast goes several ways at once, a word may leave its region, and where faults are injected one may meet any of
them. All this is compiled apart from what most words take, which it would only make slower.
"""

from __future__ import annotations

import numpy as np

from meshrt.compiled import called_by_address, internal
from meshrt.engines.loading.codes import RAMP, SIDES
from meshrt.engines.pointers import (
    first_bit,
    i32_at,
    i64_at,
)
from meshrt.engines.reference.core.faults import is_lost, is_stuck
from meshrt.engines.reference.core.passing import count_use, go, gone_on
from meshrt.engines.reference.core.queues import (
    channel_at,
    copy_word,
    fail,
    first_hops,
    first_word,
    free_word,
    queue_at,
    want_no_outputs,
)
from meshrt.engines.reference.core.receiving import count_hops
from meshrt.engines.reference.core.records import (
    A_AHEAD,
    A_ARRIVED,
    A_EXITS,
    A_PLACES,
    A_ROWS,
    B_COLORS,
    B_FAULTS,
    ERROR_HOST_OVERFLOW,
    ERROR_LEAVES_FABRIC,
    F_CONFIG,
    FINISHED,
    H_HEARD,
    H_HOST_OUT,
    H_LAST_HOPS,
    H_LAST_OUT,
    H_LAST_STAGES,
    H_LATEST,
    H_STALLED,
    H_STATUS,
    H_TIME,
    HELD,
    LAST,
    LINKS,
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
    P_MEMORY,
    P_QUEUES,
    P_WORDS,
    Q_ROUTE,
    QUEUES,
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
    X_LISTENS,
    ZERO,
)
from meshrt.engines.reference.core.room import MOVES, NO_LINK, NO_ROOM, room, used_up
from meshrt.engines.reference.core.shadow import verify


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
        fail(
            r,
            ERROR_HOST_OVERFLOW,
            router,
            color,
            call,
            done - before + words[w + W_ELEMENTS],
            r[o + O_COUNT],
        )
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


@called_by_address
def can_branch(header_at, link, color):
    """Whether the first word of a color can go over all links of its route in this cycle, as :func:`room_made` says."""
    r = i64_at(header_at)
    time, router = r[H_TIME], link // LINKS
    side = link - router * LINKS
    outputs = r[channel_at(r, router * r[B_COLORS] + color) + F_CONFIG] >> 3
    verdict = MOVES + ZERO
    while outputs != 0:
        output = first_bit(outputs)
        outputs &= outputs - 1
        way = router * LINKS + output
        if is_stuck(r, way, time):
            verdict = NO_ROOM
            break
        if output != side and used_up(r, way, output, time):
            verdict = NO_LINK
            continue
        found = room(r, way, color, time)
        if found != MOVES:
            verdict = found
            break
    if verdict == NO_ROOM:
        hold_back(r, router, color)
    return verdict


@called_by_address
def branch(header_at, router, color):
    """The first word of a color goes through its router, to all outputs of the route; a fault may meet it."""
    r = i64_at(header_at)
    time = r[H_TIME]
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
        if r[B_FAULTS] != 0 and is_lost(r, this, link):
            continue
        if output == RAMP or r[r[A_AHEAD] + link] >= 0:
            go(r, router, output, color, this, hops, time)
        else:
            leave(
                r,
                router,
                color,
                output,
                this,
                (hops & (MOVE_ENDS - 1)) + 1,
                time + r[X_HOP],
            )
            r[r[A_ARRIVED] + link] += 1
    if gone_on(r, channel, channel * QUEUES + port, gone, time):
        want_no_outputs(r, channel, config >> 3, time)
    return ZERO
