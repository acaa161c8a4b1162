"""Copies of the machine's state, to compare a later one with: of the records, or of the lanes while they run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from meshrt.engines.batched.critical import EVENT_SIZE
from meshrt.engines.batched.lane_repetition import carry_links, carry_times, links_repeat, times_repeat
from meshrt.engines.batched.lanes import Lanes, Running
from meshrt.engines.batched.records import C_HOST_IN, C_HOST_OUT, C_MESSAGE_TOP, C_NODE_TOP, C_PARKED, M_SIZE, N_SIZE
from meshrt.engines.batched.repetition import BLOCKED, CAUSED, KNOWN, RUNNABLE, SHIFT, carry, clocks, repeats
from meshrt.engines.batched.state import Tables

#: Larger states are not copied.
_MOST_BYTES = 3 << 29

#: Groups of linked regions: for each of them the numbers of its first PE and behind its last.
Groups = Sequence[Sequence[tuple[int, int]]]


@dataclass(frozen=True, eq=False, slots=True)
class Growth:
    """How a state goes along: by ``shift`` cycles a period, its latest clock at ``last``.

    ``carry(periods)`` moves it on by so many periods.
    """

    shift: int
    last: int
    carry: Callable[[int], None]


class Copy(Protocol):
    """A state of before."""

    def growth(self) -> Growth | None:
        """How the present state goes along with it; None where it does not."""
        ...

    def release(self) -> None:
        """It is not needed any more."""
        ...


class Copies:
    """Makes copies; memory of old ones is used again. ``groups`` are the PEs of regions that words can go between."""

    def __init__(self, tables: Tables, lanes: Lanes | None, groups: Groups):
        self._tables = tables
        self._lanes = lanes
        self._groups = groups
        self._spare: list[np.ndarray] = []

    def of_now(self, kinds: np.ndarray, alone: bool) -> Copy | None:
        """A copy; ``kinds`` says what each PE is doing, ``alone`` that no more than those of the lanes have not ended.

        None where the state is too large.
        """
        running = self._lanes.running if self._lanes is not None else None
        if self._lanes is not None and running is not None:
            if alone:
                return LanesCopy(self._lanes, running)
            self._lanes.leave()
        parts = self._parts()
        if sum(8 * (part.stop - part.start) for part in parts) > _MOST_BYTES:
            return None
        records = self._spare.pop() if self._spare else np.empty_like(self._tables.records)
        for part in parts:
            records[part] = self._tables.records[part]
        return RecordsCopy(self._tables, self._lanes, self._groups, kinds, records, self._spare)

    def _parts(self) -> list[slice]:
        """The parts of the records that a comparison reads."""
        tables = self._tables
        parts = [tables.extent(name) for name in ("header", "pes", "channels", "slots", "links", "routes")]
        parts.append(slice(tables.starts["messages"], int(tables.header[C_MESSAGE_TOP])))
        parts.append(slice(tables.starts["nodes"], int(tables.header[C_NODE_TOP])))
        if tables.pe_events.size:
            parts += [tables.extent("pe_events"), tables.extent("slot_events")]
            for name, size, top in (("message", 2 * EVENT_SIZE, C_MESSAGE_TOP), ("send", EVENT_SIZE, C_NODE_TOP)):
                start = tables.starts[f"{name}_events"]
                records = "messages" if name == "message" else "nodes"
                record = M_SIZE if name == "message" else N_SIZE
                used = (int(tables.header[top]) - tables.starts[records]) // record
                parts.append(slice(start, start + used * size))
        if tables.header[C_PARKED]:
            parts.append(tables.extent("parked"))
        return parts


class RecordsCopy:
    """A copy of the records; :mod:`.repetition` compares them."""

    def __init__(
        self,
        tables: Tables,
        lanes: Lanes | None,
        groups: Groups,
        kinds: np.ndarray,
        records: np.ndarray,
        spare: list[np.ndarray],
    ):
        self._tables = tables
        self._lanes = lanes
        self._groups = groups
        self._kinds = kinds
        self._records = records
        self._spare = spare

    def release(self) -> None:
        """Give the memory back."""
        self._spare.append(self._records)

    def growth(self) -> Growth | None:
        """Compare region by region: each must go along with the others or stand still."""
        if self._lanes is not None:
            self._lanes.leave()
        tables, kinds, at = self._tables, self._kinds, self._records.ctypes.data
        before = self._records[tables.extent("header")]
        if any(tables.header[c] != before[c] for c in (C_HOST_IN, C_HOST_OUT, C_PARKED)):
            return None
        frames: list[tuple[np.ndarray, np.ndarray]] = []
        for group in self._groups:
            found = self._frames(group)
            if found is None:
                return None
            frames += found
        shifts = {int(frame[SHIFT]) for frame, _ in frames} - {0}
        if len(shifts) != 1 or min(shifts) < 0:
            return None
        for frame, path in frames:
            if not repeats(at, tables.records_at, kinds, frame, path):
                return None
        moving = [(frame, path) for frame, path in frames if frame[SHIFT]]
        last = max(int(clocks(tables.records_at, kinds, BLOCKED, int(f[0]), int(f[1]))[1]) for f, _ in moving)

        def carry_on(periods: int) -> None:
            for frame, path in moving:
                carry(at, tables.records_at, frame, path, periods)

        return Growth(shifts.pop(), last, carry_on)

    def _frames(self, group: Sequence[tuple[int, int]]) -> list[tuple[np.ndarray, np.ndarray]] | None:
        """The frame of each region of a group, and what is known of the growth of its critical paths.

        None where a region stands still at a later clock than one that goes on.
        """
        copied, now = self._records.ctypes.data, self._tables.records_at
        known: list[tuple[int, int]] = []
        shifts: list[int | None] = []
        for low, high in group:
            before, last = clocks(copied, self._kinds, RUNNABLE, low, high)
            if last < 0:
                shifts.append(None)
                continue
            shift = clocks(now, self._kinds, RUNNABLE, low, high)[0] - before
            known.append((before, shift))
            shifts.append(shift)
        base = min((b for b, _ in known), default=0)
        later = min((b + s for b, s in known), default=0)
        standing = [b for b, s in known if s == 0]
        # Words that it sends later could meet what another region will have done by then.
        if any(s for _, s in known) and max(standing, default=base) > base:
            return None
        # A region whose PEs all wait goes along with the others.
        common = next((s for _, s in known if s), 0)
        grows = np.zeros(CAUSED + EVENT_SIZE, np.int64)
        frames = []
        for (low, high), shift in zip(group, shifts, strict=True):
            own = common if shift is None else shift
            path = grows
            if own == 0:
                # In a region that stands still no critical path grows.
                path = np.zeros(CAUSED + EVENT_SIZE, np.int64)
                path[KNOWN] = 1
            frames.append((np.array([low, high, base, own, later], np.int64), path))
        return frames


class LanesCopy:
    """A copy of what the lanes hold. All else stands still, and what it holds lies back: see :meth:`Lanes.settled`."""

    def __init__(self, lanes: Lanes, running: Running):
        self._lanes = lanes
        self._running = running
        self._clock, self._path = running.clock.copy(), running.path.copy()
        self._ramps = running.ramp_in.copy(), running.ramp_out.copy()
        self._streams = {key: (s.links.copy(), s.taken.copy(), s.count) for key, s in running.streams.items()}
        self._waiting, self._ended = dict(running.waiting), dict(running.ended)
        self._moves = {h: running.starts[h].copy() for h in (*running.waiting, *running.ended)}
        self._ways = {h: running.ways[h].copy() for h in self._moves}

    def release(self) -> None:
        """Nothing to give back."""

    def growth(self) -> Growth | None:
        """Compare, where the lanes were not left since and the same moves are under way."""
        running = self._running
        if self._lanes.running is not running or list(running.streams) != list(self._streams):
            return None
        if running.waiting != self._waiting or running.ended != self._ended:
            return None
        shift, path = running.clock - self._clock, running.path - self._path
        cycles, grown, base = int(shift[0]), int(path[0]), int(self._clock.min())
        if cycles <= 0 or np.any(shift != cycles) or np.any(path != grown):
            return None
        links = [*zip(self._ramps, (running.ramp_in, running.ramp_out), strict=True)]
        for key, (before, taken, _) in self._streams.items():
            stream = running.streams[key]
            links += [*zip(before, stream.links, strict=True)]
            if not times_repeat(taken.reshape(-1), stream.taken.reshape(-1), base - 1, cycles):
                return None
        if not all(links_repeat(before, now, base, cycles) for before, now in links):
            return None
        for handle, before in self._moves.items():
            if np.any(running.starts[handle] - before != cycles):
                return None
            if np.any(running.ways[handle] - self._ways[handle] != grown):
                return None

        def carry_on(periods: int) -> None:
            running.clock += periods * cycles
            running.path += periods * grown
            for before, now in links:
                carry_links(before, now, cycles, periods)
            for key, (_, taken, count) in self._streams.items():
                stream = running.streams[key]
                carry_times(taken.reshape(-1), stream.taken.reshape(-1), cycles, periods)
                stream.count += periods * (stream.count - count)
            for handle in self._moves:
                running.starts[handle] += periods * cycles
                running.ways[handle] += periods * grown

        return Growth(cycles, int(running.clock.max()), carry_on)
