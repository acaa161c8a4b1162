"""One call of the engine: an instruction for a set of PEs, with all that it needs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from meshrt.engines.batched.pe_sets import PeSet
from meshrt.program.cost import Events


@dataclass(frozen=True, eq=False, slots=True)
class Prepared:
    """One call: ``run(row)`` executes it for metrics row ``row``.

    Arithmetic leaves the clocks alone: they go on by ``cycles`` each. A ``fabric`` call sets
    them itself, and may be ``blocking``. ``macs`` are those of all its PEs. ``events`` are what one
    PE does (:mod:`meshrt.program.cost`), ``sram_bytes`` what it reads and writes.
    """

    pes: PeSet
    run: Callable[[int], None]
    cycles: int = 0
    macs: int = 0
    fabric: bool = False
    blocking: bool = False
    events: Events = field(default_factory=dict)
    sram_bytes: int = 0

    @property
    def busy(self) -> int:
        """Cycles of all its PEs together."""
        return self.cycles * len(self.pes)
