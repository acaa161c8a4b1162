"""When each PE came to each phase of the program and left it, and by which critical path."""

from __future__ import annotations

import numpy as np

from meshrt.engines.batched.records import E_CLOCK, E_HOPS, E_STAGES
from meshrt.engines.batched.state import Tables


class PhaseEnds:
    """``table`` is as :class:`meshrt.engines.result.Finished` has ``phase_ends``."""

    def __init__(self, tables: Tables, phases: int):
        self._tables = tables
        self.table = np.zeros((phases, tables.pe_count, 4), np.int64)

    def left(self, phase: int, pes: np.ndarray, following: int | None = None) -> None:
        """PEs leave a phase now, for one that follows or for good; their records are up to date."""
        now = self._tables.pes[pes][:, (E_CLOCK, E_HOPS, E_STAGES)]
        self.table[phase, pes, :3] = now
        if following is not None:
            self.table[following, pes, 3] = now[:, 0]
