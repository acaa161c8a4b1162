"""Whether the fabric is in the state of some iterations before, only later: what fast-forward rests on.

Two states of the records are compared, the earlier one a copy. ``shift`` is by how much the
earliest clock of a region has moved. A time *goes along* when it has moved by just that. It
*lies back* when it is before the earliest clock of the regions that its own is linked with,
so that nothing to come can depend on it:

- clocks and the starts of moves under way must go along, or lie back unchanged;
- what is overwritten without being read once it lies back (the last interval of a link, the
  times at which words were taken, the end of a move that awaits its ``wait``) may be anything there;
- all else must be equal: queues, waiting moves, sends that wait for room, parked words, routes;
- the hops and stages of all critical paths that still count must have grown by the same numbers.

Then the machine goes on as it did, later by ``shift`` in every round, and :func:`carry` moves
all that goes along by several rounds at once.
"""

from __future__ import annotations

from meshrt.compiled import inline, internal, native
from meshrt.engines.batched.critical import EVENT_SIZE, message_events, pe_events, send_events, slot_events
from meshrt.engines.batched.records import (
    A_CHANNELS,
    A_LINKS,
    A_PARKED,
    A_PES,
    A_ROUTES,
    A_SLOTS,
    B_COLORS,
    B_HANDLES,
    B_PES,
    C_PARKED,
    COLOR,
    DONE,
    E_BLOCKED,
    E_CLOCK,
    E_HOPS,
    E_MOVES,
    E_RAMP_IN,
    E_RAMP_OUT,
    E_ROW,
    E_SIZE,
    E_STAGES,
    F_BEFORE,
    F_CHUNK,
    F_CHUNK_FIRST,
    F_CHUNK_LAST,
    F_ELEMENTS,
    F_ENTERED,
    F_MESSAGE_HEAD,
    F_OWN,
    F_PART,
    F_PASSED,
    F_POST_HEAD,
    F_ROOM_HEAD,
    F_SINCE,
    F_SIZE,
    F_TAKEN,
    IDLE,
    K_HEAD,
    K_SIZE,
    K_WORDS,
    L_BUSY,
    L_END,
    L_FIRST,
    L_SIZE,
    L_WORDS,
    M_CALL,
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
    M_ROW,
    M_SEND,
    M_STAGES,
    M_WORDS,
    N_NEXT,
    ON_ROOM,
    ON_ROUTE,
    P_GROUP,
    P_HOPS,
    P_NEXT,
    P_PE,
    P_SIZE,
    P_STAGES,
    P_START,
    P_STATE,
    PORTS,
    S_END,
    S_HANDLE,
    S_HOPS,
    S_LEFT,
    S_OWNER,
    S_STAGES,
    S_TIME,
    S_WORDS,
    SIDES,
    W_SEND,
    W_TARGET,
    X_EVENTS,
)
from meshrt.engines.pointers import i64_at

# What a PE is doing: nothing any more, waiting in an instruction, or free to go on.
ENDED, BLOCKED, RUNNABLE = 0, 1, 2
# What is known of the growth of critical paths: whether anything is, hops, stages, and the vector of :mod:`.critical`.
KNOWN, HOPS, STAGES, CAUSED = 0, 1, 2, 3
# The frame of a comparison: the region's PEs, the earliest clock before of all that could reach it, how far the region
# has moved, and that earliest clock now.
LOW, HIGH, BASE, SHIFT, LATER = 0, 1, 2, 3, 4


@inline
def path_grows(a, b, path, hops, stages, before, now):
    """Whether a critical path that still counts has grown by the same hops and stages as the others.

    ``before`` and ``now`` are its vectors, where such are kept.
    """
    if path[KNOWN] == 0:
        path[KNOWN] = 1
        path[HOPS] = hops
        path[STAGES] = stages
        if b[X_EVENTS] == 1:
            for k in range(EVENT_SIZE):
                path[CAUSED + k] = b[now + k] - a[before + k]
        return True
    if b[X_EVENTS] == 1:
        for k in range(EVENT_SIZE):
            if path[CAUSED + k] != b[now + k] - a[before + k]:
                return False
    return path[HOPS] == hops and path[STAGES] == stages


@inline
def goes(a, b, at, shift):
    """Whether the time at an address goes along."""
    return b[at] - a[at] == shift


@inline
def lies_back(a, b, at, base):
    """Whether the time at an address lies back, and always did."""
    return a[at] == b[at] and a[at] < base


@inline
def link_repeats(a, b, link, base, shift, later):
    """A link's busy interval goes along, or is over before anything to come could meet it."""
    if a[link + L_END] <= base and b[link + L_END] <= later:
        return True
    return (
        goes(a, b, link + L_FIRST, shift) and goes(a, b, link + L_END, shift) and a[link + L_BUSY] == b[link + L_BUSY]
    )


@internal
def pe_repeats(a, b, e, kind, base, shift, path):
    """The clock of a PE, and what it waits for."""
    if a[e + E_MOVES] != b[e + E_MOVES]:
        return False
    hops, stages = b[e + E_HOPS] - a[e + E_HOPS], b[e + E_STAGES] - a[e + E_STAGES]
    vector = pe_events(b, e)
    if kind == RUNNABLE:
        return goes(a, b, e + E_CLOCK, shift) and path_grows(a, b, path, hops, stages, vector, vector)
    for field in range(E_BLOCKED, E_ROW + 1):
        if a[e + field] != b[e + field]:
            return False
    if a[e + E_BLOCKED] == ON_ROUTE:
        return False
    if goes(a, b, e + E_CLOCK, shift):
        return path_grows(a, b, path, hops, stages, vector, vector)
    if not lies_back(a, b, e + E_CLOCK, base):
        return False
    # A send that ends by room alone keeps its own critical path, which has not grown.
    return a[e + E_BLOCKED] != ON_ROOM or path_grows(a, b, path, hops, stages, vector, vector)


@internal
def move_repeats(a, b, p, base, shift, path):
    """A move under way."""
    if a[p + P_GROUP] != b[p + P_GROUP] or a[p + P_PE] != b[p + P_PE]:
        return False
    if goes(a, b, p + P_START, shift):
        hops, stages = b[p + P_HOPS] - a[p + P_HOPS], b[p + P_STAGES] - a[p + P_STAGES]
        return path_grows(a, b, path, hops, stages, slot_events(b, p), slot_events(b, p))
    return lies_back(a, b, p + P_START, base)


@internal
def slot_repeats(a, b, p, base, shift, later, path):
    """The slot of a handle: idle, under way, or ended and not waited for."""
    if a[p + P_STATE] != b[p + P_STATE]:
        return False
    state = a[p + P_STATE] % COLOR
    if state == IDLE:
        return True
    if state == DONE and a[p + P_START] < base and b[p + P_START] < later:
        return a[p + P_GROUP] == b[p + P_GROUP]
    return move_repeats(a, b, p, base, shift, path)


@internal
def send_repeats(a, b, s, t, base, shift, path):
    """Records s, then t of a send that waits for room."""
    if (
        a[s + S_OWNER] != b[t + S_OWNER]
        or a[s + S_HANDLE] != b[t + S_HANDLE]
        or a[s + S_LEFT] != b[t + S_LEFT]
        or a[s + S_WORDS] != b[t + S_WORDS]
    ):
        return False
    for field in (S_TIME, S_END):
        before, now = a[s + field], b[t + field]
        if now - before != shift and not (now == before and now < base):
            return False
    hops, stages = b[t + S_HOPS] - a[s + S_HOPS], b[t + S_STAGES] - a[s + S_STAGES]
    return path_grows(a, b, path, hops, stages, send_events(b, s), send_events(b, t))


@inline
def message_grows(a, b, m, n, path, hops, stages):
    """Whether the critical path of a message has grown as the others have, to its first word and to its last."""
    before, now = message_events(b, m), message_events(b, n)
    return path_grows(a, b, path, hops, stages, before, now) and path_grows(
        a, b, path, hops, stages, before + EVENT_SIZE, now + EVENT_SIZE
    )


@internal
def message_repeats(a, b, m, n, base, shift, later, path, parked):
    """Records m, then n of a message that lies at a PE, or is parked at a router."""
    if (
        a[m + M_N] != b[n + M_N]
        or a[m + M_WORDS] != b[n + M_WORDS]
        or a[m + M_DTYPE] != b[n + M_DTYPE]
        or a[m + M_CALL] != b[n + M_CALL]
        or a[m + M_ROW] != b[n + M_ROW]
    ):
        return False
    if parked and (
        a[m + M_OWNER] != b[n + M_OWNER]
        or a[m + M_HANDLE] != b[n + M_HANDLE]
        or a[m + M_DISTANCE] != b[n + M_DISTANCE]
        or (a[m + M_SEND] == 0) != (b[n + M_SEND] == 0)
    ):
        return False
    hops = b[n + M_HOPS] + b[n + M_DISTANCE] - a[m + M_HOPS] - a[m + M_DISTANCE]
    stages = b[n + M_STAGES] - a[m + M_STAGES]
    first, last = b[n + M_FIRST] - a[m + M_FIRST], b[n + M_LAST] - a[m + M_LAST]
    along = first == shift and last == shift
    back = a[m + M_LAST] < base and b[n + M_LAST] < later
    if not parked:
        return (along and message_grows(a, b, m, n, path, hops, stages)) or back
    if not along and not (back and first == 0 and last == 0):
        return False
    if a[m + M_SEND] != 0 and not (
        along
        and b[n + M_END] - a[m + M_END] == shift
        and send_repeats(a, b, a[m + M_SEND], b[n + M_SEND], base, shift, path)
    ):
        return False
    # A parked message brings its path along whenever it goes on.
    return message_grows(a, b, m, n, path, hops, stages)


@internal
def messages_repeat(a, b, head, base, shift, later, path, parked):
    """The lists of messages that start at ``head``."""
    m, n = a[head], b[head]
    while m != 0 and n != 0:
        if not message_repeats(a, b, m, n, base, shift, later, path, parked):
            return False
        m, n = a[m + M_NEXT], b[n + M_NEXT]
    return m == n


@internal
def channel_repeats(a, b, f, blocking, base, shift, later, path):
    """A channel: its route, the moves, messages and sends that wait there; ``blocking`` are slots without a handle."""
    if a[f + F_ELEMENTS] != b[f + F_ELEMENTS] or a[f + F_ENTERED] - a[f + F_TAKEN] != b[f + F_ENTERED] - b[f + F_TAKEN]:
        return False
    if (a[f + F_CHUNK_LAST] >= base - 1 or b[f + F_CHUNK_LAST] >= later - 1) and not (
        goes(a, b, f + F_CHUNK_FIRST, shift)
        and goes(a, b, f + F_CHUNK_LAST, shift)
        and a[f + F_TAKEN] - a[f + F_CHUNK] == b[f + F_TAKEN] - b[f + F_CHUNK]
    ):
        return False
    if (a[f + F_SINCE] > base or b[f + F_SINCE] > later) and not (
        goes(a, b, f + F_SINCE, shift) and a[f + F_BEFORE] == b[f + F_BEFORE]
    ):
        return False
    for field in (F_PASSED, F_OWN):
        if (a[f + field] >= base - 1 or b[f + field] >= later - 1) and not goes(a, b, f + field, shift):
            return False
    p = a[f + F_POST_HEAD]
    if p != b[f + F_POST_HEAD]:
        return False
    # A move that waits with part of its words there, or taken, would take them at times that lie back.
    if p != 0 and (a[f + F_ELEMENTS] != 0 or a[f + F_PART] != 0 or b[f + F_PART] != 0):
        return False
    while p != 0:
        if p >= blocking and not move_repeats(a, b, p, base, shift, path):
            return False
        if a[p + P_NEXT] != b[p + P_NEXT]:
            return False
        p = a[p + P_NEXT]
    w, v = a[f + F_ROOM_HEAD], b[f + F_ROOM_HEAD]
    while w != 0 and v != 0:
        if a[w + W_TARGET] - a[f + F_TAKEN] != b[v + W_TARGET] - b[f + F_TAKEN]:
            return False
        if not send_repeats(a, b, a[w + W_SEND], b[v + W_SEND], base, shift, path):
            return False
        w, v = a[w + N_NEXT], b[v + N_NEXT]
    return w == v and messages_repeat(a, b, f + F_MESSAGE_HEAD, base, shift, later, path, False)


@native
def repeats(before_at, now_at, kinds, frame, path):
    """Whether a region is in the state of before, later by the shift; learns how critical paths have grown."""
    a, b = i64_at(before_at), i64_at(now_at)
    base, shift, later = frame[BASE], frame[SHIFT], frame[LATER]
    pes = b[B_PES]
    blocking = b[A_SLOTS] + b[B_HANDLES] * pes * P_SIZE
    any_parked = b[C_PARKED] != 0
    for pe in range(frame[LOW], frame[HIGH]):
        e = b[A_PES] + pe * E_SIZE
        if kinds[pe] != ENDED and not pe_repeats(a, b, e, kinds[pe], base, shift, path):
            return False
        for ramp in (E_RAMP_IN, E_RAMP_OUT):
            if not link_repeats(a, b, e + ramp, base, shift, later):
                return False
        for side in range(SIDES):
            if not link_repeats(a, b, b[A_LINKS] + (pe * SIDES + side) * L_SIZE, base, shift, later):
                return False
        for handle in range(b[B_HANDLES]):
            if not slot_repeats(a, b, b[A_SLOTS] + (handle * pes + pe) * P_SIZE, base, shift, later, path):
                return False
    for color in range(b[B_COLORS]):
        for pe in range(frame[LOW], frame[HIGH]):
            channel = color * pes + pe
            if a[b[A_ROUTES] + channel] != b[b[A_ROUTES] + channel]:
                return False
            if not channel_repeats(a, b, b[A_CHANNELS] + channel * F_SIZE, blocking, base, shift, later, path):
                return False
            if any_parked:
                for port in range(PORTS):
                    k = b[A_PARKED] + (channel * PORTS + port) * K_SIZE
                    if a[k + K_WORDS] != b[k + K_WORDS] or not messages_repeat(
                        a, b, k + K_HEAD, base, shift, later, path, True
                    ):
                        return False
    return True


@inline
def carry_time(before, b, at, shift, cycles):
    """A time that goes along goes on by so many cycles; gives whether it does."""
    if b[at] - before != shift:
        return False
    b[at] += cycles
    return True


@inline
def carry_path(b, at, stages_at, path, rounds, vector):
    """A critical path that goes along goes on growing."""
    b[at] += rounds * path[HOPS]
    b[stages_at] += rounds * path[STAGES]
    if b[X_EVENTS] == 1:
        for k in range(EVENT_SIZE):
            b[vector + k] += rounds * path[CAUSED + k]


@internal
def carry_send(a, b, s, t, shift, cycles, path, rounds):
    """A send that waits for room; several places may lead to it, and it is carried only once."""
    carry_time(a[s + S_TIME], b, t + S_TIME, shift, cycles)
    if carry_time(a[s + S_END], b, t + S_END, shift, cycles):
        carry_path(b, t + S_HOPS, t + S_STAGES, path, rounds, send_events(b, t))


@internal
def carry_messages(a, b, head, shift, cycles, path, rounds):
    """The messages of a list."""
    m, n = a[head], b[head]
    while n != 0:
        carry_time(a[m + M_FIRST], b, n + M_FIRST, shift, cycles)
        carry_time(a[m + M_END], b, n + M_END, shift, cycles)
        if carry_time(a[m + M_LAST], b, n + M_LAST, shift, cycles):
            carry_path(b, n + M_HOPS, n + M_STAGES, path, rounds, message_events(b, n))
            if b[X_EVENTS] == 1:
                for k in range(EVENT_SIZE):
                    b[message_events(b, n) + EVENT_SIZE + k] += rounds * path[CAUSED + k]
        if b[n + M_SEND] != 0 and a[m + M_SEND] != 0:
            carry_send(a, b, a[m + M_SEND], b[n + M_SEND], shift, cycles, path, rounds)
        m, n = a[m + M_NEXT], b[n + M_NEXT]


@internal
def carry_link(a, b, link, shift, cycles, rounds):
    """A link: the words that it carried, and its busy interval."""
    b[link + L_WORDS] += rounds * (b[link + L_WORDS] - a[link + L_WORDS])
    carry_time(a[link + L_FIRST], b, link + L_FIRST, shift, cycles)
    carry_time(a[link + L_END], b, link + L_END, shift, cycles)


@internal
def carry_move(a, b, p, shift, cycles, path, rounds):
    """A move under way, or ended and not waited for."""
    if carry_time(a[p + P_START], b, p + P_START, shift, cycles):
        carry_path(b, p + P_HOPS, p + P_STAGES, path, rounds, slot_events(b, p))


@native
def carry(before_at, now_at, frame, path, rounds):
    """Move a region that repeats itself on by so many rounds."""
    a, b = i64_at(before_at), i64_at(now_at)
    shift = frame[SHIFT]
    cycles = rounds * shift
    pes = b[B_PES]
    blocking = b[A_SLOTS] + b[B_HANDLES] * pes * P_SIZE
    for pe in range(frame[LOW], frame[HIGH]):
        e = b[A_PES] + pe * E_SIZE
        if carry_time(a[e + E_CLOCK], b, e + E_CLOCK, shift, cycles):
            carry_path(b, e + E_HOPS, e + E_STAGES, path, rounds, pe_events(b, e))
        carry_link(a, b, e + E_RAMP_IN, shift, cycles, rounds)
        carry_link(a, b, e + E_RAMP_OUT, shift, cycles, rounds)
        for side in range(SIDES):
            carry_link(a, b, b[A_LINKS] + (pe * SIDES + side) * L_SIZE, shift, cycles, rounds)
        for handle in range(b[B_HANDLES]):
            carry_move(a, b, b[A_SLOTS] + (handle * pes + pe) * P_SIZE, shift, cycles, path, rounds)
    for color in range(b[B_COLORS]):
        for pe in range(frame[LOW], frame[HIGH]):
            f = b[A_CHANNELS] + (color * pes + pe) * F_SIZE
            for field in (F_CHUNK_FIRST, F_CHUNK_LAST, F_SINCE, F_PASSED, F_OWN):
                carry_time(a[f + field], b, f + field, shift, cycles)
            p = b[f + F_POST_HEAD]
            while p != 0:
                if p >= blocking:
                    carry_move(a, b, p, shift, cycles, path, rounds)
                p = b[p + P_NEXT]
            w, v = a[f + F_ROOM_HEAD], b[f + F_ROOM_HEAD]
            while v != 0:
                carry_send(a, b, a[w + W_SEND], b[v + W_SEND], shift, cycles, path, rounds)
                w, v = a[w + N_NEXT], b[v + N_NEXT]
            carry_messages(a, b, f + F_MESSAGE_HEAD, shift, cycles, path, rounds)
            if b[C_PARKED] != 0:
                for port in range(PORTS):
                    k = b[A_PARKED] + ((color * pes + pe) * PORTS + port) * K_SIZE
                    carry_messages(a, b, k + K_HEAD, shift, cycles, path, rounds)


@native
def pattern(records_at, pes):
    """A number that is the same for clocks with the same differences; others rarely have it."""
    r = i64_at(records_at)
    base = r[r[A_PES] + pes[0] * E_SIZE + E_CLOCK]
    mixed = pes.shape[0]
    for i in range(pes.shape[0]):
        mixed = (mixed ^ (r[r[A_PES] + pes[i] * E_SIZE + E_CLOCK] - base)) * 0x9E3779B1
        mixed ^= mixed >> 29
    return mixed


@native
def clocks(records_at, kinds, kind, low, high):
    """The earliest and the latest clock of a region's PEs of a kind, or of a further one; 0 and -1 for none."""
    r = i64_at(records_at)
    first, last = 0, -1
    for pe in range(low, high):
        if kinds[pe] >= kind:
            clock = r[r[A_PES] + pe * E_SIZE + E_CLOCK]
            first = clock if last < 0 else min(first, clock)
            last = max(last, clock)
    return first, last
