"""The array of one execution and views of its tables."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from meshrt.program.proofs.records import F_QUEUES, KEPT_STATE, M_SIZE, P_COUNTERS


@dataclass(frozen=True, eq=False, slots=True)
class Layout:
    """Where things lie in the record of a PE (offsets) and how long the records are.

    A PE: its fields, ``loops`` counters, ``names`` declarations, ``live`` words of bits, ``grids`` values, moves, and
    what it keeps for each loop. A
    channel: its fields, and queues of a count and ``capacity`` words.
    """

    pes: int
    colors: int
    loops: int
    names: int
    live: int
    grids: int
    handles: int
    capacity: int

    @property
    def names_at(self) -> int:
        return P_COUNTERS + self.loops

    @property
    def live_at(self) -> int:
        return self.names_at + self.names

    @property
    def grids_at(self) -> int:
        return self.live_at + self.live

    @property
    def moves_at(self) -> int:
        return self.grids_at + self.grids

    @property
    def kept_at(self) -> int:
        return self.moves_at + (self.handles + 1) * M_SIZE

    @property
    def kept_size(self) -> int:
        return KEPT_STATE + self.names + self.live

    @property
    def pe_size(self) -> int:
        return self.kept_at + self.loops * self.kept_size

    @property
    def queue_size(self) -> int:
        return 1 + self.capacity

    @property
    def channel_size(self) -> int:
        return F_QUEUES + 6 * self.queue_size


@dataclass(frozen=True, eq=False, slots=True)
class State:
    """One execution: ``s`` is what compiled code changes; the others are views of it, one row per record.

    ``pes`` [PEs, pe_size], ``channels`` [PEs * colors, channel_size], ``moves`` [PEs, handles + 1, M_SIZE], ``queues``
    [channels, 6, 1 + capacity], ``sinks`` and ``sources``, and ``flags`` [MOST_FLAGS, or 0 where no loop looks at one].
    ``starts`` says where each table begins in ``s``.
    """

    s: np.ndarray
    layout: Layout
    starts: dict[str, int]
    pes: np.ndarray
    channels: np.ndarray
    moves: np.ndarray
    queues: np.ndarray
    sinks: np.ndarray
    sources: np.ndarray
    flags: np.ndarray

    def pe_number(self, address: int) -> int:
        """The number of the PE whose record begins there."""
        return (address - self.starts["pes"]) // self.layout.pe_size

    def channel_number(self, address: int) -> int:
        """The number of the channel whose record begins there: PE * colors + color."""
        return (address - self.starts["channels"]) // self.layout.channel_size
