"""Where the messages of a send go, worked out once: the short, unbranched paths over routes that never change."""

from __future__ import annotations

import numpy as np

from meshrt.compiled import native
from meshrt.engines.batched.pe_sets import PeSet
from meshrt.engines.batched.records import (
    A_CHANNELS,
    A_COLORS,
    A_LINKS,
    A_NEIGHBOURS,
    A_PES,
    A_ROUTES,
    A_SWITCHED,
    B_COLOR_LIMIT,
    B_PES,
    E_SIZE,
    F_SIZE,
    L_SIZE,
    RAMP,
    SIDES,
)
from meshrt.engines.batched.state import Tables
from meshrt.engines.pointers import i64_at

# Fields of a path.
Y_CHANNEL = 0  # the receiver's channel; 0 where there is no such path
Y_PE = 1  # the receiver's record
Y_SLOT = 2  # the slot that received there last: it will be wanted with the next message
Y_HOPS = 3
Y_LINKS = 4  # the links on the way
#: Longer paths are followed router by router.
MOST_HOPS = 4
Y_SIZE = 8

#: No paths: every message is followed router by router.
NO_PATHS = np.zeros((0, Y_SIZE), np.int64)


class Tracer:
    """Paths by the set of sending PEs and their colors."""

    def __init__(self, tables: Tables):
        self._tables = tables
        self._known: dict[tuple[int, bytes], np.ndarray] = {}

    def paths(self, pes: PeSet, colors: np.ndarray) -> np.ndarray:
        """A path for each PE of the set, sending on its color (or all on one)."""
        key = (pes.number, colors.tobytes())
        found = self._known.get(key)
        if found is None:
            found = np.zeros((len(pes), Y_SIZE), np.int64)
            trace(self._tables.records_at, pes.pes, colors, found)
            # One that has none would only be looked at in vain.
            found = self._known[key] = found if found[:, Y_CHANNEL].any() else NO_PATHS
        return found


@native
def trace(records_at, pes, colors, paths):
    """Fill in the paths; those that branch, are long, leave the region or may be rerouted stay empty."""
    r = i64_at(records_at)
    for i in range(pes.shape[0]):
        color = colors[i % colors.shape[0]]
        dense = r[r[A_COLORS] + color] if 0 <= color < r[B_COLOR_LIMIT] else -1
        if dense < 0 or r[r[A_SWITCHED] + dense] == 1:
            continue
        router, port, hops = np.int64(pes[i]), RAMP, 0
        while hops <= MOST_HOPS:
            config = r[r[A_ROUTES] + dense * r[B_PES] + router]
            to = config >> 3
            if (config & 7) != port + 1:
                break
            if to == 1 << RAMP:
                paths[i, Y_CHANNEL] = r[A_CHANNELS] + (dense * r[B_PES] + router) * F_SIZE
                paths[i, Y_PE] = r[A_PES] + router * E_SIZE
                paths[i, Y_HOPS] = hops
                break
            side = 0
            while side < SIDES and to != 1 << side:
                side += 1
            if side == SIDES or hops == MOST_HOPS:
                break
            paths[i, Y_LINKS + hops] = r[A_LINKS] + (router * SIDES + side) * L_SIZE
            router, port, hops = r[r[A_NEIGHBOURS] + router * SIDES + side], (side + 2) % 4, hops + 1
            if router < 0:
                break
