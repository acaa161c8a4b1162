"""Between the records and the arrays of :mod:`.lanes`."""

from __future__ import annotations

from meshrt.compiled import native
from meshrt.engines.batched.lane_passes import STAGE
from meshrt.engines.batched.launch import load_of
from meshrt.engines.batched.mailbox import push_post
from meshrt.engines.batched.records import (
    A_CHANNELS,
    A_PES,
    A_SLOTS,
    B_PES,
    COLOR,
    DONE,
    E_CLOCK,
    E_HOPS,
    E_MOVES,
    E_RAMP_IN,
    E_RAMP_OUT,
    E_SIZE,
    E_STAGES,
    F_CHUNK,
    F_CHUNK_FIRST,
    F_CHUNK_LAST,
    F_ENTERED,
    F_SIZE,
    F_TAKEN,
    FLYING,
    G_KIND,
    L_BUSY,
    L_WORDS,
    P_ADDR,
    P_GROUP,
    P_HOPS,
    P_PE,
    P_SIZE,
    P_STAGES,
    P_START,
    P_STATE,
)
from meshrt.engines.pointers import i64_at


@native
def load_pes(records_at, pes, clock, path, ramp_in, ramp_out):
    """Clocks, critical paths and RAMPs of PEs."""
    r = i64_at(records_at)
    for i in range(pes.shape[0]):
        e = r[A_PES] + pes[i] * E_SIZE
        clock[i] = r[e + E_CLOCK]
        path[i] = r[e + E_STAGES] * STAGE + r[e + E_HOPS]
        for field in range(L_BUSY + 1):
            ramp_in[i, field] = r[e + E_RAMP_IN + field]
            ramp_out[i, field] = r[e + E_RAMP_OUT + field]


@native
def store_pes(records_at, pes, clock, path, ramp_in, ramp_out):
    """The opposite of :func:`load_pes`."""
    r = i64_at(records_at)
    for i in range(pes.shape[0]):
        e = r[A_PES] + pes[i] * E_SIZE
        r[e + E_CLOCK] = clock[i]
        r[e + E_HOPS] = path[i] % STAGE
        r[e + E_STAGES] = path[i] // STAGE
        for field in range(L_BUSY + 1):
            r[e + E_RAMP_IN + field] = ramp_in[i, field]
            r[e + E_RAMP_OUT + field] = ramp_out[i, field]


@native
def load_links(records_at, ways, links):
    """Busy intervals of the links at these addresses; 0 stands for none."""
    r = i64_at(records_at)
    for i in range(ways.shape[0]):
        if ways[i] != 0:
            for field in range(L_BUSY + 1):
                links[i, field] = r[ways[i] + field]


@native
def store_links(records_at, ways, links, words):
    """The opposite of :func:`load_links`; each has carried so many words since."""
    r = i64_at(records_at)
    for i in range(ways.shape[0]):
        if ways[i] != 0:
            for field in range(L_BUSY + 1):
                r[ways[i] + field] = links[i, field]
            r[ways[i] + L_WORDS] += words


@native
def lane_post(records_at, channels, to, taken, words, count):
    """Channels by sender: so many messages of so many words were taken, the last one at ``taken`` of its receiver."""
    r = i64_at(records_at)
    for i in range(channels.shape[0]):
        f = channels[i]
        r[f + F_ENTERED] += count * words
        r[f + F_TAKEN] += count * words
        r[f + F_CHUNK] = r[f + F_TAKEN] - words
        r[f + F_CHUNK_FIRST] = taken[to[i], 0]
        r[f + F_CHUNK_LAST] = taken[to[i], 1]


@native
def store_moves(records_at, pes, handle, g, colors, start, way, done):
    """The slots of a handle: moves that have ended, or receives that wait in their channels."""
    r = i64_at(records_at)
    for i in range(pes.shape[0]):
        p = r[A_SLOTS] + (handle * r[B_PES] + pes[i]) * P_SIZE
        r[p + P_GROUP] = g
        r[p + P_PE] = pes[i]
        r[p + P_ADDR] = 0
        r[p + P_START] = start[i]
        r[p + P_HOPS] = way[i] % STAGE
        r[p + P_STAGES] = way[i] // STAGE
        r[p + P_STATE] = colors[i] * COLOR + (DONE if done == 1 else FLYING)
        r[r[A_PES] + pes[i] * E_SIZE + E_MOVES] += load_of(r[g + G_KIND])
        if done == 0:
            push_post(r, r[A_CHANNELS] + (colors[i] * r[B_PES] + pes[i]) * F_SIZE, p)
