"""When each PE left each phase of the program, and by which critical path."""

from __future__ import annotations

import numpy as np

from meshrt.engines.batched.records import E_CLOCK, E_HOPS, E_STAGES
from meshrt.engines.batched.state import Tables


class PhaseEnds:
    """``table`` is [phases, PEs, (clock, hops, stages)]; see :class:`meshrt.engines.result.Finished`."""

    def __init__(self, tables: Tables, phases: int):
        self._tables = tables
        self.table = np.zeros((phases, tables.pe_count, 3), np.int64)

    def left(self, phase: int, pes: np.ndarray) -> None:
        """PEs leave a phase now; their records are up to date."""
        self.table[phase, pes] = self._tables.pes[pes][:, (E_CLOCK, E_HOPS, E_STAGES)]
