"""What lies on critical paths, counted by cause: how often each cost of the target occurred, with every time.

Where it is asked for, every time that the records hold has a vector beside it, which adds up to it:
one entry for each of :data:`meshrt.program.cost.CAUSES`, and last what instructions lost by
rounding up to whole cycles, in parts of a cycle. A clock that is set by a message takes over
the message's vector, as it does hops and stages. Cycles in which a word waited for a link or
for room are of the cause ``waited_cycles``.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from math import lcm

import numpy as np

from meshrt.compiled import inline, native
from meshrt.engines.batched.records import (
    A_MESSAGE_EVENTS,
    A_MESSAGES,
    A_NODES,
    A_PE_EVENTS,
    A_PES,
    A_SCRATCH_EVENTS,
    A_SEND_EVENTS,
    A_SLOT_EVENTS,
    A_SLOTS,
    A_WORD_EVENTS,
    E_SIZE,
    G_WORD_EVENTS,
    M_SIZE,
    N_SIZE,
    P_SIZE,
    X_HOP,
    X_RAMP,
)
from meshrt.engines.pointers import i64_at
from meshrt.program.cost import CAUSES, Events, unit_cycles
from meshrt.target import Target

#: Entries of a vector.
EVENT_SIZE = len(CAUSES) + 1
#: Vectors for a while: of a message's first and last word as they arrive or are taken, and of an end.
FIRST_HERE, LAST_HERE, FIRST_TAKEN, LAST_TAKEN, ENDED, LAST_OUT = range(6)
SCRATCH = 6
#: Vectors of what one word costs a receive; there are no more kinds of them.
WORD_KINDS = 16

ISSUE = CAUSES.index("issue_cycles")
SETUP = CAUSES.index("vector_setup_cycles")
VECTOR_ISSUE = CAUSES.index("vector_issue_cycles")
LAUNCH = CAUSES.index("async_launch_cycles")
WAKEUP = CAUSES.index("task_wakeup_cycles")
ROUTE_WRITE = CAUSES.index("route_write_cycles")
RAMP_CROSSED = CAUSES.index("ramp_cycles")
HOP = CAUSES.index("hop_cycles")
WORD = CAUSES.index("word_cycles")
WAITED = CAUSES.index("waited_cycles")


class Ledger:
    """Vectors of what instructions cost, and sums of vectors turned back into counts."""

    def __init__(self, target: Target):
        self._target = target
        self._units = [unit_cycles(target, cause) for cause in CAUSES]
        #: Parts of a cycle that rounding is counted in.
        self.parts = lcm(*(unit.denominator for unit in self._units))

    def vector(self, events: Events, cycles: int) -> np.ndarray:
        """The vector of events that take so many whole cycles."""
        counts = np.zeros(EVENT_SIZE, np.int64)
        for cause, count in events.items():
            counts[CAUSES.index(cause)] += count
        exact = sum((c * u for c, u in zip(counts.tolist(), self._units, strict=False)), Fraction(0))
        counts[-1] = (cycles - exact) * self.parts
        return counts

    def counts(self, vector: np.ndarray) -> Mapping[str, int | Fraction]:
        """Counts by cause, without those that are zero; ``rounding_cycles`` are cycles."""
        found: dict[str, int | Fraction] = {c: int(n) for c, n in zip(CAUSES, vector.tolist(), strict=False) if n}
        rounding = Fraction(int(vector[-1]), self.parts)
        return {**found, "rounding_cycles": rounding} if rounding else found


@inline
def pe_events(r, e):
    """Address of the vector of a PE's clock."""
    return r[A_PE_EVENTS] + (e - r[A_PES]) // E_SIZE * EVENT_SIZE


@inline
def slot_events(r, p):
    """Address of the vector of a move's start, or end."""
    return r[A_SLOT_EVENTS] + (p - r[A_SLOTS]) // P_SIZE * EVENT_SIZE


@inline
def message_events(r, m):
    """Address of the vector of a message's first word; that of the last one follows."""
    return r[A_MESSAGE_EVENTS] + (m - r[A_MESSAGES]) // M_SIZE * 2 * EVENT_SIZE


@inline
def send_events(r, s):
    """Address of the vector of the end that a send that waits for room would have had."""
    return r[A_SEND_EVENTS] + (s - r[A_NODES]) // N_SIZE * EVENT_SIZE


@inline
def scratch_events(r, which):
    """Address of a vector that is needed for a while."""
    return r[A_SCRATCH_EVENTS] + which * EVENT_SIZE


@inline
def copy_events(r, to, source):
    """One vector becomes another."""
    for k in range(EVENT_SIZE):
        r[to + k] = r[source + k]


@inline
def add_words(r, to, g, words):
    """So many words were taken, one after the other, by a move of group g."""
    each = r[A_WORD_EVENTS] + r[g + G_WORD_EVENTS] * EVENT_SIZE
    for k in range(EVENT_SIZE):
        r[to + k] += words * r[each + k]


@inline
def travel(r, to, source, cycles, hops, ramps):
    """A word with the vector at ``source`` has taken so many cycles over hops and RAMPs."""
    copy_events(r, to, source)
    r[to + HOP] += hops
    r[to + RAMP_CROSSED] += ramps
    r[to + WAITED] += cycles - hops * r[X_HOP] - ramps * r[X_RAMP]


@native
def add_events(records_at, pes, vector):
    """The clocks of PEs have gone on for these events."""
    r = i64_at(records_at)
    for i in range(pes.shape[0]):
        at = r[A_PE_EVENTS] + pes[i] * EVENT_SIZE
        for k in range(EVENT_SIZE):
            r[at + k] += vector[k]
