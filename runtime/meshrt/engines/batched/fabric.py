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

from meshrt.compiled import inline, internal
from meshrt.engines.batched.critical import (
    ENDED,
    EVENT_SIZE,
    FIRST_HERE,
    LAST_HERE,
    LAST_OUT,
    WAITED,
    WORD,
    copy_events,
    message_events,
    scratch_events,
    send_events,
    travel,
)
from meshrt.engines.batched.links import occupy
from meshrt.engines.batched.mailbox import add_work, copy_message, fail, free_message, new_node
from meshrt.engines.batched.receive import deliver, end_move, joins_queue, make_room, release, taken_time
from meshrt.engines.batched.records import (
    A_CHANNELS,
    A_EXITS,
    A_LINKS,
    A_METRICS,
    A_NEIGHBOURS,
    A_PARKED,
    A_PES,
    A_ROUTES,
    A_STACK,
    A_SWITCHED,
    B_PES,
    B_STACK,
    BLOCKING,
    C_ERROR,
    C_HOST_OUT,
    C_LAST_HOPS,
    C_LAST_OUT,
    C_LAST_STAGES,
    C_LATEST,
    C_PARKED,
    C_STALLED,
    E_BLOCKED,
    E_ON,
    E_RAMP_IN,
    E_RAMP_OUT,
    E_SIZE,
    ERROR_HOST_OVERFLOW,
    ERROR_LEAVES_FABRIC,
    ERROR_ROUTE_LOOP,
    ERROR_ROUTE_RACE,
    F_BEFORE,
    F_CHUNK,
    F_ELEMENTS,
    F_ENTERED,
    F_OWN,
    F_PART,
    F_PASSED,
    F_ROOM_HEAD,
    F_SINCE,
    F_SIZE,
    F_TAKEN,
    K_HEAD,
    K_SIZE,
    K_TAIL,
    K_WORDS,
    L_SIZE,
    L_WORDS,
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
    M_PORT,
    M_ROUTER,
    M_ROW,
    M_SEND,
    M_STAGES,
    M_WORDS,
    N_NEXT,
    NOTHING,
    O_BASE,
    O_DTYPE,
    O_EXPECTED,
    O_GOT,
    O_TIME,
    ON_ROOM,
    PORTS,
    Q_DISTANCE,
    Q_FIRST,
    Q_LAST,
    Q_PORT,
    Q_ROUTER,
    Q_SIZE,
    RAMP,
    S_END,
    S_HANDLE,
    S_HOPS,
    S_LEFT,
    S_OWNER,
    S_STAGES,
    S_TIME,
    S_WORDS,
    SIDES,
    T_HOPS,
    T_SIZE,
    W_SEND,
    W_TARGET,
    X_EVENTS,
    X_HOP,
    X_LINK_WORDS,
    X_QUEUE_WORDS,
    X_RAMP,
    X_RAMP_WORDS,
    X_VALUES,
    ZERO,
)


@internal
def send_record(r, m, send):
    """The record of a send that has to wait for room, made at the first such place."""
    if send == 0:
        send = new_node(r)
        owner, handle = r[m + M_OWNER], r[m + M_HANDLE]
        r[send + S_OWNER] = owner
        r[send + S_HANDLE] = handle
        r[send + S_TIME] = r[m + M_END]
        r[send + S_HOPS] = r[m + M_HOPS]
        r[send + S_STAGES] = r[m + M_STAGES]
        r[send + S_END] = r[m + M_END]
        r[send + S_WORDS] = 0
        if r[X_EVENTS] == 1:
            end_events(r, m, send_events(r, send), r[m + M_END])
        # The message itself counts as one place until it was followed to its end.
        r[send + S_LEFT] = 1
        if handle == BLOCKING:
            e = r[A_PES] + owner * E_SIZE
            r[e + E_BLOCKED] = ON_ROOM
            r[e + E_ON] = r[m + M_COLOR]
    return send


@internal
def end_events(r, m, vector, ends):
    """What led to the end, at ``ends``, of the move that sent message m."""
    copy_events(r, vector, message_events(r, m) + EVENT_SIZE)
    r[vector + WORD] += 1
    r[vector + WAITED] += ends - r[m + M_LAST] - 1


@internal
def way_events(r, m, to, first, last, distance, ramps):
    """What led to the first and last word of message m being so far on their way; ``to`` and the vector after it."""
    hops = distance - r[m + M_DISTANCE]
    if r[m + M_PORT] == RAMP and r[m + M_DISTANCE] == 0:
        ramps += 1
    vector = message_events(r, m)
    travel(r, to, vector, first - r[m + M_FIRST], hops, ramps)
    travel(r, to + EVENT_SIZE, vector + EVENT_SIZE, last - r[m + M_LAST], hops, ramps)


@internal
def await_room(r, f, target, send, excess):
    """Let a send wait until ``target`` words of channel f were taken."""
    w = new_node(r)
    r[w + W_TARGET] = target
    r[w + W_SEND] = send
    r[send + S_LEFT] += 1
    r[send + S_WORDS] = max(r[send + S_WORDS], excess)
    at = r[f + F_ROOM_HEAD]
    if at == 0:
        r[f + F_ROOM_HEAD] = w
        return
    while r[at + N_NEXT] != 0:
        at = r[at + N_NEXT]
    r[at + N_NEXT] = w


@internal
def park(r, memory, m, words, router, port, first, last, distance, send):
    """Leave a copy of message m at a router port; gives the send record, if the sender must wait for it."""
    copy = copy_message(r, memory, m, first, last, distance)
    if r[X_EVENTS] == 1:
        way_events(r, m, message_events(r, copy), first, last, distance, ZERO)
    k = r[A_PARKED] + ((r[m + M_COLOR] * r[B_PES] + router) * PORTS + port) * K_SIZE
    r[k + K_WORDS] += words
    if r[k + K_HEAD] == 0:
        r[k + K_HEAD] = copy
    else:
        r[r[k + K_TAIL] + M_NEXT] = copy
    r[k + K_TAIL] = copy
    r[C_PARKED] += 1
    excess = r[k + K_WORDS] - r[X_QUEUE_WORDS] * (distance + 1)
    r[copy + M_ROUTER] = router
    r[copy + M_PORT] = port
    r[copy + M_SEND] = 0
    if r[m + M_HANDLE] != NOTHING and excess > 0:
        send = send_record(r, m, send)
        r[send + S_LEFT] += 1
        r[send + S_WORDS] = max(r[send + S_WORDS], min(words, excess))
        r[copy + M_SEND] = send
    else:
        r[copy + M_HANDLE] = NOTHING
    return send


@internal
def leave(r, memory, m, words, router, side, time, distance):
    """Message m leaves the region: the host gets it where a port is declared."""
    color = r[m + M_COLOR]
    n = r[m + M_N]
    o = r[r[A_EXITS] + (color * r[B_PES] + router) * SIDES + side]
    if o == 0:
        fail(r, ERROR_LEAVES_FABRIC, router, color, r[m + M_CALL], side, r[m + M_OWNER])
        return
    got = r[o + O_GOT]
    if got + n > r[o + O_EXPECTED] or r[o + O_DTYPE] != r[m + M_DTYPE]:
        fail(r, ERROR_HOST_OVERFLOW, router, color, r[m + M_CALL], got + n, r[o + O_EXPECTED])
        return
    target, source = r[o + O_BASE] + got, r[m + M_ADDR]
    for j in range(n * r[X_VALUES]):
        memory[target + j] = memory[source + j]
    r[o + O_GOT] = got + n
    r[o + O_TIME] = time
    r[C_HOST_OUT] += words
    if time > r[C_LAST_OUT]:
        r[C_LAST_OUT] = time
        r[C_LAST_HOPS] = r[m + M_HOPS] + distance
        r[C_LAST_STAGES] = r[m + M_STAGES]
        r[C_LATEST] = max(r[C_LATEST], time)
        if r[X_EVENTS] == 1:
            way_events(r, m, scratch_events(r, FIRST_HERE), r[m + M_FIRST], time, distance, ZERO)
            copy_events(r, scratch_events(r, LAST_OUT), scratch_events(r, LAST_HERE))


@internal
def branch(r, m, depth, router, port, first, last, distance):
    """Put a router on the stack: the message goes there when it has come to the end of the present branch."""
    if depth >= r[B_STACK]:
        fail(r, ERROR_ROUTE_LOOP, router, r[m + M_COLOR], r[m + M_CALL], ZERO, ZERO)
        return depth
    q = r[A_STACK] + depth * Q_SIZE
    r[q + Q_ROUTER] = router
    r[q + Q_PORT] = port
    r[q + Q_FIRST] = first
    r[q + Q_LAST] = last
    r[q + Q_DISTANCE] = distance
    return depth + 1


@inline
def arrive(r, memory, m, words, router, f, first, last, distance, send, ends):
    """Message m reaches the PE of a router; gives the send record, and when the sender's last word had room."""
    link = r[A_PES] + router * E_SIZE + E_RAMP_OUT
    if joins_queue(r, m, f):
        # Until a move takes them, no more words come over the RAMP than a queue holds, and none past earlier ones.
        early = ZERO if r[f + F_ELEMENTS] != 0 or r[f + F_PART] != 0 else min(words, r[X_QUEUE_WORDS])
        lost = occupy(r, link, first, first + early - 1, early, r[X_RAMP_WORDS]) if early > 0 else ZERO
        r[link + L_WORDS] += words - early
    else:
        lost = occupy(r, link, first, last, words, r[X_RAMP_WORDS])
    if r[X_EVENTS] == 1:
        to, ramp = scratch_events(r, FIRST_HERE), r[X_RAMP]
        way_events(r, m, to, first + min(lost, 1) + ramp, last + lost + ramp, distance, ZERO + 1)
    deliver(r, memory, m, words, f, first + min(lost, 1) + r[X_RAMP], last + lost + r[X_RAMP], distance)
    target = r[f + F_ENTERED] - r[X_QUEUE_WORDS] * (distance + 2)
    if r[m + M_HANDLE] != NOTHING and target > 0:
        if r[f + F_TAKEN] < target:
            send = send_record(r, m, send)
            await_room(r, f, target, send, min(words, target - r[f + F_TAKEN]))
            make_room(r, memory, f)
        elif taken_time(r, f, target) + 1 > ends:
            r[C_STALLED] += min(words, target - r[f + F_CHUNK])
            ends = taken_time(r, f, target) + 1
    return send, ends


@inline
def races(r, f, port, first, since):
    """Whether words that reach a router at ``first`` find the route that was there before, through the same port."""
    return first < since and port != RAMP and r[f + F_BEFORE] == port + 1


@internal
def follow(r, memory, m):
    """Follow message m from where it is to all its ends, and return its record.

    Its sender's move ends here, unless some place lacks room for its words.
    """
    color = r[m + M_COLOR]
    words = r[m + M_WORDS]
    hops_at = r[A_METRICS] + r[m + M_ROW] * T_SIZE + T_HOPS
    send = r[m + M_SEND]
    router, port = r[m + M_ROUTER], r[m + M_PORT]
    first, last, distance = r[m + M_FIRST], r[m + M_LAST], r[m + M_DISTANCE]
    if port == RAMP and distance == 0:
        lost = occupy(r, r[A_PES] + router * E_SIZE + E_RAMP_IN, first, last, words, r[X_RAMP_WORDS])
        r[m + M_END] += lost
        first += min(lost, 1) + r[X_RAMP]
        last += lost + r[X_RAMP]
    ends = r[m + M_END]
    switched = r[r[A_SWITCHED] + color] == 1
    depth = ZERO
    while r[C_ERROR] == 0:
        f = r[A_CHANNELS] + (color * r[B_PES] + router) * F_SIZE
        config = r[r[A_ROUTES] + color * r[B_PES] + router]
        sides = ZERO
        if (config & 7) != port + 1:
            send = park(r, memory, m, words, router, port, first, last, distance, send)
        else:
            if switched:
                since = r[f + F_SINCE]
                if races(r, f, port, first, since):
                    fail(r, ERROR_ROUTE_RACE, router, color, r[m + M_CALL], first, since)
                first = max(first, since)
                last = max(last, first + words - 1)
                passed = f + (F_OWN if port == RAMP else F_PASSED)
                r[passed] = max(r[passed], last)
            if config & (8 << RAMP):
                send, ends = arrive(r, memory, m, words, router, f, first, last, distance, send, ends)
            sides = (config >> 3) & 15
        # The last side is where the message goes on; others are left on the stack.
        here, side, goes_on = router, ZERO, False
        start, stop = first, last
        while sides != 0:
            if sides & 1:
                link = r[A_LINKS] + (here * SIDES + side) * L_SIZE
                lost = occupy(r, link, start, stop, words, r[X_LINK_WORDS])
                r[hops_at] += words
                beyond = r[r[A_NEIGHBOURS] + here * SIDES + side]
                if beyond < 0:
                    leave(r, memory, m, words, here, side, stop + lost + r[X_HOP], distance + 1)
                else:
                    if goes_on:
                        depth = branch(r, m, depth, router, port, first, last, distance + 1)
                    router, port, goes_on = beyond, (side + 2) % 4, True
                    first, last = start + min(lost, 1) + r[X_HOP], stop + lost + r[X_HOP]
            sides >>= 1
            side += 1
        if goes_on:
            distance += 1
            if distance > SIDES * r[B_PES]:
                fail(r, ERROR_ROUTE_LOOP, router, color, r[m + M_CALL], ZERO, ZERO)
        elif depth > 0:
            depth -= 1
            q = r[A_STACK] + depth * Q_SIZE
            router, port = r[q + Q_ROUTER], r[q + Q_PORT]
            first, last, distance = r[q + Q_FIRST], r[q + Q_LAST], r[q + Q_DISTANCE]
        else:
            break
    if send != 0:
        release(r, send, ends)
    elif r[m + M_HANDLE] != NOTHING:
        vector = scratch_events(r, ENDED)
        if r[X_EVENTS] == 1:
            end_events(r, m, vector, ends)
        end_move(r, r[m + M_OWNER], r[m + M_HANDLE], ends, r[m + M_HOPS], r[m + M_STAGES], vector)
    free_message(r, m)


@internal
def unpark(r, router, color, port, since):
    """The router now accepts this port: what is parked there is to go on, in order, from ``since``."""
    k = r[A_PARKED] + ((color * r[B_PES] + router) * PORTS + port) * K_SIZE
    m = r[k + K_HEAD]
    r[k + K_HEAD] = r[k + K_TAIL] = r[k + K_WORDS] = 0
    while m != 0:
        after = r[m + M_NEXT]
        r[m + M_NEXT] = 0
        r[C_PARKED] -= 1
        words = r[m + M_WORDS]
        first = max(r[m + M_FIRST], since)
        last = max(r[m + M_LAST], first + words - 1)
        if r[X_EVENTS] == 1:
            r[message_events(r, m) + WAITED] += first - r[m + M_FIRST]
            r[message_events(r, m) + EVENT_SIZE + WAITED] += last - r[m + M_LAST]
        r[m + M_FIRST] = first
        r[m + M_LAST] = last
        if r[m + M_SEND] != 0:
            # The sender's last word entered the path when there was room for it.
            room = r[X_QUEUE_WORDS] * (r[m + M_DISTANCE] + 1)
            r[m + M_END] = max(r[m + M_END], first + words - room)
        # The words of one color pass in order, so the next message is behind this one.
        since = last + 1
        add_work(r, m)
        m = after
