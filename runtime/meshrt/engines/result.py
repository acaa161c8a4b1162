"""What a run leaves behind, whichever engine ran it: outputs, clocks and counts. The report is made of this."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np


@dataclass(slots=True)
class Row:
    """Counts of one operation (and layer): all but ``cycles`` are summed over the PEs.

    ``op`` is its number in the op table; what belongs to none in phase p has op -1 - p.

    ``events`` count what instructions do by cause (:mod:`meshrt.program.cost`), ``sram_bytes``
    what they read and write, and ``word_hops`` the links that the operation's words crossed,
    one for each word and link.
    """

    op: int
    layer: int | None
    cycles: int = 0
    busy: int = 0
    macs: int = 0
    instructions: int = 0
    words: int = 0
    waits: int = 0
    sram_bytes: int = 0
    word_hops: int = 0
    events: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True, eq=False, slots=True)
class Finished:
    """A run that came to its end.

    ``outputs`` are the tensors of the output ports; ``clocks`` the cycle in which each PE ended,
    region by region, row by row. ``hops`` and ``stages`` belong to the critical path of the PE or
    output that ended last, in cycle ``cycles``. ``link_words`` counts the words over each link:
    [routers, sides N E S W]. ``router_colors`` is the colors that each router has a route for.
    ``phase_ends`` says of each phase when each PE left it, of its critical path then, and when it had last come
    to it: [phases, PEs, (clock, hops, stages, clock at the begin)], zero where a PE has no part in it.
    ``events`` counts what happened on the critical path, by cause (:data:`meshrt.program.cost.CAUSES`, and
    ``rounding_cycles``), where the engine is asked to: times their costs they are the cycles.
    """

    outputs: dict[str, np.ndarray]
    cycles: int
    hops: int
    stages: int
    rows: list[Row]
    clocks: np.ndarray
    contended_words: int
    stalled_words: int
    route_writes: int
    host_words_in: int
    host_words_out: int
    link_words: np.ndarray
    router_colors: np.ndarray
    phase_ends: np.ndarray
    events: Mapping[str, int | Fraction] = field(default_factory=dict)
