"""Routers and links: where a message goes, when its words get there, and where they have to wait.

A message is followed from router to router at once, carrying the times of its first and
last word. What holds it up:

- a link that another message keeps busy. The two share it round-robin, so the later one
  loses as many cycles as the words of both exceed the cycles they have;
- a router whose configuration of the color does not accept the port where it stands: it
  is *parked* there until a ``route`` instruction changes the configuration;
- a path whose queues are full: the sender cannot end before enough words were taken.
"""

from __future__ import annotations

from meshrt.engines.batched.compiled import native, native_inline
from meshrt.engines.batched.mailbox import fail, free_message, new_node, word_time, words_of
from meshrt.engines.batched.receive import copy_message, deliver, end_move, release, taken_time
from meshrt.engines.batched.records import (
    C_CONTENDED,
    C_ERROR,
    C_HOST_OUT,
    C_LAST_HOPS,
    C_LAST_OUT,
    C_LAST_STAGES,
    C_LATEST,
    C_STALLED,
    E_BLOCKED,
    E_ON,
    ERROR_HOST_OVERFLOW,
    ERROR_LEAVES_FABRIC,
    ERROR_ROUTE_LOOP,
    ERROR_ROUTE_RACE,
    F_ENTERED,
    F_ROOM_HEAD,
    F_TAKEN,
    K_HEAD,
    K_TAIL,
    K_WORDS,
    L_BUSY,
    L_END,
    L_FIRST,
    L_WORDS,
    LINKS,
    M_ADDR,
    M_CALL,
    M_COLOR,
    M_DISTANCE,
    M_DTYPE,
    M_END,
    M_FIRST,
    M_HANDLE,
    M_HOPS,
    M_LAST,
    M_N,
    M_NEXT,
    M_OWNER,
    M_SEND,
    M_STAGES,
    N_NEXT,
    NOTHING,
    O_BASE,
    O_DTYPE,
    O_EXPECTED,
    O_GOT,
    R_BEFORE,
    R_CONFIG,
    R_OWN,
    R_PASSED,
    R_SINCE,
    RAMP,
    RAMP_IN,
    RAMP_OUT,
    S_CALL,
    S_HANDLE,
    S_HOPS,
    S_LEFT,
    S_OWNER,
    S_STAGES,
    S_TIME,
    W_SEND,
    W_TARGET,
)
# A trace never branches to more routers at once than this; the stack is local to a call.
STACK = 4096


@native_inline
def occupy(s, link, first, last, words, per_cycle):
    """Cycles that a message loses on a link which it would use from ``first`` to ``last``."""
    start = s.links[link, L_FIRST]
    end = s.links[link, L_END]
    s.links[link, L_WORDS] += words
    if first >= end:
        s.links[link, L_FIRST] = first
        s.links[link, L_END] = last + 1
        s.links[link, L_BUSY] = words
        return 0
    if last < start:
        return 0
    begin = min(start, first)
    room = max(end, last + 1) - begin
    needed = (s.links[link, L_BUSY] + words + per_cycle - 1) // per_cycle
    lost = max(0, needed - room)
    if lost > 0:
        s.counters[C_CONTENDED] += lost
    s.links[link, L_FIRST] = begin
    s.links[link, L_END] = max(end, last + 1 + lost)
    s.links[link, L_BUSY] += words
    return lost


@native
def send_record(s, m, sid):
    """The record of a send that has to wait for room, made at the first such place."""
    if sid == 0:
        sid = new_node(s)
        s.nodes[sid, S_OWNER] = s.messages[m, M_OWNER]
        s.nodes[sid, S_HANDLE] = s.messages[m, M_HANDLE]
        s.nodes[sid, S_TIME] = s.messages[m, M_END]
        s.nodes[sid, S_HOPS] = s.messages[m, M_HOPS]
        s.nodes[sid, S_STAGES] = s.messages[m, M_STAGES]
        s.nodes[sid, S_CALL] = s.messages[m, M_CALL]
        # The sender itself counts as one place until its message was followed to its end.
        s.nodes[sid, S_LEFT] = 1
    return sid


@native
def await_room(s, f, target, sid, excess):
    """Let a send wait until ``target`` words of queue f were taken."""
    w = new_node(s)
    s.nodes[w, W_TARGET] = target
    s.nodes[w, W_SEND] = sid
    s.nodes[sid, S_LEFT] += 1
    s.counters[C_STALLED] += excess
    at = s.queues[f, F_ROOM_HEAD]
    if at == 0:
        s.queues[f, F_ROOM_HEAD] = w
    else:
        while s.nodes[at, N_NEXT] != 0:
            at = s.nodes[at, N_NEXT]
        s.nodes[at, N_NEXT] = w


@native
def park(s, m, router, port, first, last, distance, sid):
    """Leave (a copy of) message m at a router port; gives the send record, if the sender must wait for it."""
    color = s.messages[m, M_COLOR]
    copy = copy_message(s, m, first, last, distance)
    k = (color * s.pe_count + router) * 5 + port
    words = words_of(s, s.messages[m, M_N], s.messages[m, M_DTYPE])
    s.parked[k, K_WORDS] += words
    if s.parked[k, K_HEAD] == 0:
        s.parked[k, K_HEAD] = copy
    else:
        s.messages[s.parked[k, K_TAIL], M_NEXT] = copy
    s.parked[k, K_TAIL] = copy
    excess = s.parked[k, K_WORDS] - s.timing.queue_words * (distance + 1)
    s.messages[copy, M_SEND] = 0
    if s.messages[m, M_HANDLE] != NOTHING and excess > 0:
        sid = send_record(s, m, sid)
        s.nodes[sid, S_LEFT] += 1
        s.counters[C_STALLED] += min(words, excess)
        s.messages[copy, M_SEND] = sid
    else:
        s.messages[copy, M_HANDLE] = NOTHING
    return sid


@native
def leave(s, m, router, side, time):
    """Message m leaves the region: the host gets it where a port is declared."""
    color = s.messages[m, M_COLOR]
    n = s.messages[m, M_N]
    o = s.exits[(color * s.pe_count + router) * 4 + side]
    if o == 0:
        fail(s, ERROR_LEAVES_FABRIC, router, color, s.messages[m, M_CALL], side, s.messages[m, M_OWNER])
        return
    got = s.places[o, O_GOT]
    if got + n > s.places[o, O_EXPECTED] or s.places[o, O_DTYPE] != s.messages[m, M_DTYPE]:
        fail(s, ERROR_HOST_OVERFLOW, router, color, s.messages[m, M_CALL], got + n, s.places[o, O_EXPECTED])
        return
    target, source = s.places[o, O_BASE] + got, s.messages[m, M_ADDR]
    for j in range(n):
        s.memory[target + j] = s.memory[source + j]
    s.places[o, O_GOT] = got + n
    s.counters[C_HOST_OUT] += words_of(s, n, s.messages[m, M_DTYPE])
    if time > s.counters[C_LAST_OUT]:
        s.counters[C_LAST_OUT] = time
        s.counters[C_LAST_HOPS] = s.messages[m, M_HOPS] + s.messages[m, M_DISTANCE]
        s.counters[C_LAST_STAGES] = s.messages[m, M_STAGES]
        s.counters[C_LATEST] = max(s.counters[C_LATEST], time)


@native
def follow(s, m, stack, sid):
    """Follow message m from the routers on the stack (router, port, first, last, distance) to all its ends.

    Its sender's move ends here, unless some place lacks room for its words.
    """
    color = s.messages[m, M_COLOR]
    n = s.messages[m, M_N]
    words = words_of(s, n, s.messages[m, M_DTYPE])
    ends = s.messages[m, M_END]
    switched = s.switched[color] == 1
    depth = 1
    while depth > 0:
        depth -= 1
        router, port = stack[depth, 0], stack[depth, 1]
        first, last, distance = stack[depth, 2], stack[depth, 3], stack[depth, 4]
        r = color * s.pe_count + router
        config = s.routes[r, R_CONFIG]
        if (config & 7) != port + 1:
            sid = park(s, m, router, port, first, last, distance, sid)
            continue
        if switched:
            since = s.routes[r, R_SINCE]
            if first < since:
                if port != RAMP and s.routes[r, R_BEFORE] == port + 1:
                    fail(s, ERROR_ROUTE_RACE, router, color, s.messages[m, M_CALL], first, since)
                first = since
                last = max(last, first + words - 1)
            column = R_OWN if port == RAMP else R_PASSED
            s.routes[r, column] = max(s.routes[r, column], last)
        for side in range(4):
            if config & (8 << side):
                lost = occupy(s, router * LINKS + side, first, last, words, s.timing.link_words)
                f1 = first + min(lost, 1) + s.timing.hop
                l1 = last + lost + s.timing.hop
                next_router = s.neighbours[router, side]
                if next_router < 0:
                    s.messages[m, M_DISTANCE] = distance + 1
                    leave(s, m, router, side, l1)
                elif distance > 4 * s.pe_count or depth >= STACK:
                    fail(s, ERROR_ROUTE_LOOP, router, color, s.messages[m, M_CALL], 0, 0)
                else:
                    stack[depth, 0], stack[depth, 1] = next_router, (side + 2) % 4
                    stack[depth, 2], stack[depth, 3], stack[depth, 4] = f1, l1, distance + 1
                    depth += 1
        if config & (8 << RAMP):
            lost = occupy(s, router * LINKS + RAMP_OUT, first, last, words, s.timing.ramp_words)
            deliver(s, m, router, first + min(lost, 1) + s.timing.ramp, last + lost + s.timing.ramp, distance)
            f = router * s.colors + color
            target = s.queues[f, F_ENTERED] - s.timing.queue_words * (distance + 2)
            if s.messages[m, M_HANDLE] != NOTHING and target > 0:
                if s.queues[f, F_TAKEN] < target:
                    sid = send_record(s, m, sid)
                    await_room(s, f, target, sid, min(words, target - s.queues[f, F_TAKEN]))
                else:
                    ends = max(ends, taken_time(s, f, target) + 1)
        if s.counters[C_ERROR] != 0:
            return
    if sid != 0:
        release(s, sid, ends)
    elif s.messages[m, M_HANDLE] != NOTHING:
        if ends > s.messages[m, M_END]:
            s.counters[C_STALLED] += min(words, ends - s.messages[m, M_END])
        end_move(s, s.messages[m, M_OWNER], s.messages[m, M_HANDLE], ends, s.messages[m, M_HOPS], s.messages[m, M_STAGES])


@native
def transmit(s, m, stack):
    """Send a message from its owner's RAMP; its first word is injected at M_FIRST, the last at M_LAST."""
    pe = s.messages[m, M_OWNER]
    words = words_of(s, s.messages[m, M_N], s.messages[m, M_DTYPE])
    first, last = s.messages[m, M_FIRST], s.messages[m, M_LAST]
    lost = occupy(s, pe * LINKS + RAMP_IN, first, last, words, s.timing.ramp_words)
    s.messages[m, M_END] += lost
    stack[0, 0], stack[0, 1] = pe, RAMP
    stack[0, 2], stack[0, 3] = first + min(lost, 1) + s.timing.ramp, last + lost + s.timing.ramp
    stack[0, 4] = 0
    follow(s, m, stack, 0)


@native
def unpark(s, router, color, port, since, stack):
    """The router now accepts this port: what is parked there goes on, in order, from ``since``."""
    k = (color * s.pe_count + router) * 5 + port
    m = s.parked[k, K_HEAD]
    s.parked[k, K_HEAD] = s.parked[k, K_TAIL] = 0
    s.parked[k, K_WORDS] = 0
    while m != 0:
        after = s.messages[m, M_NEXT]
        s.messages[m, M_NEXT] = 0
        words = words_of(s, s.messages[m, M_N], s.messages[m, M_DTYPE])
        first = max(s.messages[m, M_FIRST], since)
        distance = s.messages[m, M_DISTANCE]
        sid = s.messages[m, M_SEND]
        stack[0, 0], stack[0, 1] = router, port
        stack[0, 2], stack[0, 3] = first, max(s.messages[m, M_LAST], first + words - 1)
        stack[0, 4] = distance
        if sid != 0:
            # The sender's last word entered the path when there was room for it.
            left = first + words - s.timing.queue_words * (distance + 1)
            s.messages[m, M_END] = max(s.messages[m, M_END], left)
        follow(s, m, stack, sid)
        free_message(s, m)
        m = after
