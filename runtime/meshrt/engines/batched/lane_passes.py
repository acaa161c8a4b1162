"""One instruction of many PEs that all do the same, on the arrays of :mod:`.lanes`: a pass over them and no more.

What a pass does to times is what :mod:`.moves` does for one PE at a time, for sends whose
words go straight to receives that wait for them. A critical path is one number here:
stages times :data:`STAGE` plus hops, so that the smaller one has fewer stages, then hops.
"""

from __future__ import annotations

from meshrt.compiled import inline, native
from meshrt.engines.batched.records import L_BUSY, L_END, L_FIRST

#: One stage in a critical path.
STAGE = 1 << 32

# The numbers of a send: cycles before its first word, its words, those of the target.
N_CYCLES, N_WORDS, N_PERIOD, N_RAMP, N_HOP, N_RAMP_WORDS, N_LINK_WORDS, N_QUEUE_WORDS = range(8)
# What passes count: the latest clock, contended and stalled words, cycles of waiting.
T_LATEST, T_CONTENDED, T_STALLED, T_WAITED = range(4)


@inline
def occupy(links, i, first, last, words, per_cycle):
    """Cycles that a message loses on link i, which it would use from ``first`` to ``last``; see :mod:`.fabric`."""
    start, end = links[i, L_FIRST], links[i, L_END]
    if first >= end:
        links[i, L_FIRST] = first
        links[i, L_END] = last + 1
        links[i, L_BUSY] = words
        return 0
    if last < start:
        return 0
    begin = min(start, first)
    room = max(end, last + 1) - begin
    busy = links[i, L_BUSY] + words
    lost = max(0, (busy + per_cycle - 1) // per_cycle - room)
    links[i, L_FIRST] = begin
    links[i, L_END] = max(end, last + 1 + lost)
    links[i, L_BUSY] = busy
    return lost


@native
def receive(clock, path, start, way, cycles, told):
    """Launch a receive on all PEs, so many cycles from now."""
    latest = told[T_LATEST]
    for i in range(clock.shape[0]):
        time = clock[i] + cycles
        clock[i] = time
        start[i] = time
        way[i] = path[i]
        latest = max(latest, time)
    told[T_LATEST] = latest


@native
def send(clock, path, ramp_in, ramp_out, links, hops, to, start, way, their_start, their_way, taken, numbers, told):
    """Launch a send on all PEs, each to the receive that waits for it on PE ``to``.

    ``links`` are those on the way, [hops, PEs, :]; ``taken`` gets the times at which its first
    and last word are taken.
    """
    words, period = numbers[N_WORDS], numbers[N_PERIOD]
    ramp, hop = numbers[N_RAMP], numbers[N_HOP]
    per_ramp, per_link = numbers[N_RAMP_WORDS], numbers[N_LINK_WORDS]
    latest, contended, stalled = told[T_LATEST], told[T_CONTENDED], told[T_STALLED]
    for i in range(clock.shape[0]):
        first = clock[i] + numbers[N_CYCLES]
        clock[i] = first
        latest = max(latest, first)
        lost = occupy(ramp_in, i, first, first + words - 1, words, per_ramp)
        contended += lost
        ends = first + words + lost
        last = ends - 1 + ramp
        first += min(lost, 1) + ramp
        distance = hops[i]
        for at in range(distance):
            lost = occupy(links[at], i, first, last, words, per_link)
            contended += lost
            first += min(lost, 1) + hop
            last += lost + hop
        j = to[i]
        lost = occupy(ramp_out, j, first, last, words, per_ramp)
        contended += lost
        first += min(lost, 1) + ramp
        last += lost + ramp
        ready = their_start[j]
        alone = ready + (words - 1) * period
        first = max(ready, first)
        done = max(first + (words - 1) * period, last)
        came = path[i] + STAGE + distance
        if done > alone or (last == alone and came < their_way[j]):
            their_way[j] = came
        their_start[j] = done + period
        taken[j, 0] = first
        taken[j, 1] = done
        late = words - numbers[N_QUEUE_WORDS] * (distance + 2)
        if late > 0:
            # Words are taken at even distances; the last one had room when this one was taken.
            room = first + (done - first) * (late - 1) // max(1, words - 1) + 1
            if room > ends:
                stalled += late
                ends = room
        start[i] = ends
        way[i] = path[i]
    told[T_LATEST], told[T_CONTENDED], told[T_STALLED] = latest, contended, stalled


@native
def wait(clock, path, starts, ways, handles, cycles, issue, wakeup, told):
    """Wait for moves that have ended, one after the other, so many cycles from now."""
    latest, waited = told[T_LATEST], told[T_WAITED]
    for i in range(clock.shape[0]):
        time, own = clock[i] + cycles, path[i]
        for k in range(handles.shape[0]):
            time += issue
            ended, way = starts[handles[k], i], ways[handles[k], i]
            if ended > time or (ended == time and way < own):
                own = way
            if ended > time:
                waited += ended - time
                time = ended
            time += wakeup
        clock[i] = time
        path[i] = own
        latest = max(latest, time)
    told[T_LATEST], told[T_WAITED] = latest, waited


@native
def advance(clock, cycles, told):
    """The clocks of all PEs go on."""
    latest = told[T_LATEST]
    for i in range(clock.shape[0]):
        clock[i] += cycles
        latest = max(latest, clock[i])
    told[T_LATEST] = latest


@native
def advance_some(clock, which, cycles, told):
    """The clocks of some PEs go on."""
    latest = told[T_LATEST]
    for k in range(which.shape[0]):
        clock[which[k]] += cycles
        latest = max(latest, clock[which[k]])
    told[T_LATEST] = latest


@native
def pattern(clock):
    """A number that is the same for clocks with the same differences; others rarely have it."""
    mixed = clock.shape[0]
    for i in range(clock.shape[0]):
        mixed = (mixed ^ (clock[i] - clock[0])) * 0x9E3779B1
        mixed ^= mixed >> 29
    return mixed
