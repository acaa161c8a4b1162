"""The short way of a send: along a known path to a receive that waits for just this message."""

from __future__ import annotations

from meshrt.compiled import inline
from meshrt.engines.batched.launch import begin
from meshrt.engines.batched.links import occupy
from meshrt.engines.batched.receive import shorter, taken_time
from meshrt.engines.batched.records import (
    A_METRICS,
    A_PES,
    C_POSTED,
    C_STALLED,
    DONE,
    E_BLOCKED,
    E_RAMP_IN,
    E_RAMP_OUT,
    E_SIZE,
    F_CHUNK,
    F_CHUNK_FIRST,
    F_CHUNK_LAST,
    F_ELEMENTS,
    F_ENTERED,
    F_PART,
    F_POST_HEAD,
    F_TAKEN,
    FLYING,
    G_BUFFER,
    G_CALL,
    G_CELLS,
    G_DENSE,
    G_DTYPE,
    G_HANDLE,
    G_KIND,
    G_N,
    G_PERIOD,
    G_POOL,
    G_ROW,
    G_WORDS,
    ON_ROOM,
    OUT,
    P_ADDR,
    P_GROUP,
    P_HOPS,
    P_NEXT,
    P_PE,
    P_STAGES,
    P_START,
    P_STATE,
    RECV,
    RUNNING,
    T_HOPS,
    T_SIZE,
    T_WORDS,
    X_HOP,
    X_LINK_WORDS,
    X_QUEUE_WORDS,
    X_RAMP,
    X_RAMP_WORDS,
    X_VALUES,
    ZERO,
)
from meshrt.engines.batched.sharing import own_row, share_row
from meshrt.engines.batched.tracing import Y_CHANNEL, Y_HOPS, Y_LINKS, Y_PE, Y_SLOT
from meshrt.engines.batched.value_log import OWNED, SHARED, TAKEN, log


@inline
def send_straight(r, memory, g, p, pe, color, at, paths, i):
    """Send along a known path to a receive that waits for just this message; False where that is not so.

    It does what :func:`~.fabric.follow` and :func:`~.receive.take` do, without looking the way up.
    """
    f = paths[i, Y_CHANNEL]
    if f == 0 or r[f + F_ELEMENTS] != 0 or r[f + F_PART] != 0:
        return False
    q = r[f + F_POST_HEAD]
    if q == 0:
        return False
    theirs = r[q + P_GROUP]
    handle = r[theirs + G_HANDLE]
    e = paths[i, Y_PE]
    if (
        r[theirs + G_KIND] != RECV
        or r[theirs + G_N] != r[g + G_N]
        or r[theirs + G_DTYPE] != r[g + G_DTYPE]
        or r[theirs + G_DENSE] == 0
        or handle < 0
        or r[e + E_BLOCKED] != RUNNING
    ):
        return False
    words = r[g + G_WORDS]
    first = begin(r, pe, p, g, color, ZERO, ON_ROOM, at)
    ends = first + words
    last = ends - 1
    r[r[A_METRICS] + r[g + G_ROW] * T_SIZE + T_WORDS] += words
    # The way there.
    lost = occupy(r, r[A_PES] + pe * E_SIZE + E_RAMP_IN, first, last, words, r[X_RAMP_WORDS])
    ends += lost
    first += min(lost, 1) + r[X_RAMP]
    last += lost + r[X_RAMP]
    hops = paths[i, Y_HOPS]
    r[r[A_METRICS] + r[g + G_ROW] * T_SIZE + T_HOPS] += words * hops
    for hop in range(hops):
        lost = occupy(r, paths[i, Y_LINKS + hop], first, last, words, r[X_LINK_WORDS])
        first += min(lost, 1) + r[X_HOP]
        last += lost + r[X_HOP]
    lost = occupy(r, e + E_RAMP_OUT, first, last, words, r[X_RAMP_WORDS])
    first += min(lost, 1) + r[X_RAMP]
    last += lost + r[X_RAMP]
    # The receive.
    there, mine = r[q + P_PE] % OUT, r[g + G_BUFFER] + pe
    if r[theirs + G_CELLS] != 0 and r[g + G_CELLS] != 0:
        share_row(r, memory, r[theirs + G_CELLS] + there, at, r[theirs + G_POOL])
        log(r, SHARED, theirs, r[g + G_N], mine, at, r[g + G_CALL], r[theirs + G_CELLS] + there, at, ZERO, ZERO)
    else:
        to = r[q + P_ADDR]
        if r[theirs + G_CELLS] != 0:
            to = own_row(r, memory, r[theirs + G_CELLS] + there, r[theirs + G_POOL], ZERO)
            log(r, OWNED, theirs, ZERO, ZERO, ZERO, ZERO, r[theirs + G_CELLS] + there, to, ZERO, ZERO)
        for j in range(r[g + G_N] * r[X_VALUES]):
            memory[to + j] = memory[at + j]
        log(r, TAKEN, theirs, r[g + G_N], mine, at, r[g + G_CALL], r[theirs + G_BUFFER] + there, to, ZERO, ZERO)
    period = r[theirs + G_PERIOD]
    alone = r[q + P_START] + (words - 1) * period
    c_first = max(r[q + P_START], first)
    c_last = max(c_first + (words - 1) * period, last)
    hops += r[p + P_HOPS]
    stages = r[p + P_STAGES] + 1
    if c_last > alone or (last == alone and shorter(stages, hops, r[q + P_STAGES], r[q + P_HOPS])):
        r[q + P_HOPS] = hops
        r[q + P_STAGES] = stages
    r[q + P_START] = c_last + period
    r[q + P_STATE] += DONE - FLYING
    r[f + F_POST_HEAD] = r[q + P_NEXT]
    r[C_POSTED] -= 1
    r[f + F_ENTERED] += words
    r[f + F_CHUNK] = r[f + F_TAKEN]
    r[f + F_TAKEN] += words
    r[f + F_CHUNK_FIRST] = c_first
    r[f + F_CHUNK_LAST] = c_last
    paths[i, Y_SLOT] = q
    # The sender, once its last word had room.
    target = r[f + F_ENTERED] - r[X_QUEUE_WORDS] * (paths[i, Y_HOPS] + 2)
    if target > r[f + F_CHUNK]:
        room = taken_time(r, f, target) + 1
        if room > ends:
            r[C_STALLED] += min(words, target - r[f + F_CHUNK])
            ends = room
    r[p + P_STATE] += DONE - FLYING
    r[p + P_START] = ends
    return True
