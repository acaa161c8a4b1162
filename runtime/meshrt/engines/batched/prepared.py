"""One call of the engine: an instruction for a set of PEs, with all that it needs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from meshrt.engines.batched.pe_sets import PeSet
from meshrt.program.cost import Events


@dataclass(frozen=True, eq=False, slots=True)
class Move:
    """What is known of a move of all PEs of a call: n elements, as so many words, on one color or one for each PE.

    ``group`` gives the address of its record for a row of the metrics; ``paths`` are those of :mod:`.tracing`.
    Its view begins at ``offsets`` in its buffer. Where it ``claims`` the buffer, ``claim`` comes before its words.
    """

    kind: int
    handle: int
    n: int
    dtype: int
    words: int
    period: int
    colors: np.ndarray
    number: int
    group: Callable[[int], int]
    paths: np.ndarray
    offsets: np.ndarray
    claims: bool
    claim: Callable[[], None]


@dataclass(frozen=True, eq=False, slots=True)
class Prepared:
    """One call: ``run(row)`` executes it for metrics row ``row``.

    Arithmetic leaves the clocks alone: they go on by ``cycles`` each. A ``fabric`` call sets
    them itself, and may be ``blocking``. ``macs`` are those of all its PEs. ``events`` are what one
    PE does (:mod:`meshrt.program.cost`), ``sram_bytes`` what it reads and writes.
    ``move`` is what is known of a move.
    """

    pes: PeSet
    run: Callable[[int], None]
    cycles: int = 0
    macs: int = 0
    fabric: bool = False
    blocking: bool = False
    events: Events = field(default_factory=dict)
    sram_bytes: int = 0
    move: Move | None = None

    @property
    def busy(self) -> int:
        """Cycles of all its PEs together."""
        return self.cycles * len(self.pes)
