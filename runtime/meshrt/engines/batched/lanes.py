"""Lanes: a compact state for PEs that all do the same, where only time is kept.

While one set of PEs launches receives, sends straight to them and waits, and nothing else
happens on the fabric, a few numbers of each PE are all that changes. They lie in arrays, a
*lane* for each PE of the set: clock and critical path, the RAMP's links, and for every
handle the time of its move. The links on the way of a send belong to it alone, so they lie
with it. Anything else - another set, a blocking move, a word that meets no receive - and
the records of :mod:`.records` are brought up to date first (:meth:`Lanes.leave`), and the
engine goes on with those. Times and counts are the same either way.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from meshrt.engines.batched import lane_passes as passes
from meshrt.engines.batched.lane_sync import lane_post, load_links, load_pes, store_links, store_moves, store_pes
from meshrt.engines.batched.metrics import Metrics
from meshrt.engines.batched.pe_sets import PeSet
from meshrt.engines.batched.prepared import Move, Prepared
from meshrt.engines.batched.records import (
    A_CHANNELS,
    B_PES,
    BLOCKING,
    C_CONTENDED,
    C_LATEST,
    C_PARKED,
    C_POSTED,
    C_QUEUED,
    C_STALLED,
    E_MOVES,
    E_SIZE,
    F_SIZE,
    L_SIZE,
    RECV_MAX,
    SEND,
    T_HOPS,
    T_WAIT,
    T_WORDS,
)
from meshrt.engines.batched.state import Tables
from meshrt.engines.batched.tracing import Y_CHANNEL, Y_HOPS, Y_LINKS, Y_PE
from meshrt.target import Target


@dataclass(eq=False, slots=True)
class Stream:
    """A send of all PEs of a set to a receive of the same set: who sends to whom, and what the links on the way do."""

    send: Move
    receive: Move
    to: np.ndarray
    hops: np.ndarray
    #: Addresses of the links and of the receivers' channels.
    ways: np.ndarray
    channels: np.ndarray
    numbers: np.ndarray
    #: Hops of all PEs' messages together.
    all_hops: int
    links: np.ndarray
    taken: np.ndarray
    #: How often it was sent since the records were left.
    count: int = 0


@dataclass(eq=False, slots=True)
class Running:
    """What the lanes hold of one set; see :class:`Lanes`."""

    pes: PeSet
    clock: np.ndarray
    path: np.ndarray
    ramp_in: np.ndarray
    ramp_out: np.ndarray
    starts: np.ndarray
    ways: np.ndarray
    #: Times in the records are no later than this.
    since: int
    #: Receives that wait, and moves that have ended, by handle, with the row they were launched for.
    waiting: dict[int, tuple[Move, int]] = field(default_factory=dict)
    ended: dict[int, tuple[Move, int]] = field(default_factory=dict)
    #: Streams in the order in which they were last sent.
    streams: dict[tuple[Move, Move], Stream] = field(default_factory=dict)


class Lanes:
    """Runs the fabric instructions of one set at a time, as long as it can; then ``running`` is None."""

    def __init__(self, tables: Tables, metrics: Metrics, target: Target):
        self._tables = tables
        self._metrics = metrics
        self._target = target
        self.running: Running | None = None
        self._told = np.zeros(4, np.int64)
        self._streams: dict[tuple[Move, Move], Stream | None] = {}
        self._positions: dict[tuple[int, int], np.ndarray] = {}
        #: Receives and sends after which the lanes had to be left before anything was gained.
        self._vain: set[tuple[int, int]] = set()
        self._entered_at: tuple[int, int] | None = None

    # Running.

    def launch(self, call: Prepared, row: int, blocked: int, owed: int) -> bool:
        """Launch an asynchronous move, ``owed`` cycles from now; False where that is for the records."""
        move = call.move
        if move is None or move.handle == BLOCKING or move.kind > RECV_MAX or move.words == 0:
            return False
        running = self.running
        if running is None:
            running = self._enter(call, blocked)
            if running is None:
                return False
        if running.pes is not call.pes or move.handle in running.waiting or move.handle in running.ended:
            return False
        if not self._within_limits(running, move):
            return False
        cycles = owed + self._target.issue_cycles + self._target.async_launch_cycles
        start, way = running.starts[move.handle], running.ways[move.handle]
        if move.kind != SEND:
            passes.receive(running.clock, running.path, start, way, cycles, self._told)
            running.waiting[move.handle] = move, row
            self._tell(row)
            return True
        stream = self._stream(running, move)
        if stream is None:
            return False
        theirs = stream.receive.handle
        stream.numbers[passes.N_CYCLES] = cycles
        passes.send(
            running.clock,
            running.path,
            running.ramp_in,
            running.ramp_out,
            stream.links,
            stream.hops,
            stream.to,
            start,
            way,
            running.starts[theirs],
            running.ways[theirs],
            stream.taken,
            stream.numbers,
            self._told,
        )
        stream.count += 1
        running.ended[move.handle] = move, row
        running.ended[theirs] = running.waiting.pop(theirs)
        self._metrics.count(row, T_WORDS, move.words * len(running.pes))
        self._metrics.count(row, T_HOPS, move.words * stream.all_hops)
        self._tell(row)
        self._entered_at = None
        return True

    def wait(self, pes: PeSet, handles: np.ndarray, row: int, owed: int) -> bool:
        """Wait for moves that have ended on all PEs; False where one has not."""
        running = self.running
        if running is None or running.pes is not pes or any(int(h) not in running.ended for h in handles):
            return False
        target = self._target
        passes.wait(
            running.clock,
            running.path,
            running.starts,
            running.ways,
            handles,
            owed,
            target.issue_cycles,
            target.task_wakeup_cycles,
            self._told,
        )
        for handle in handles.tolist():
            del running.ended[handle]
        self._tell(row)
        return True

    def advance(self, pes: PeSet, cycles: int) -> bool:
        """Let clocks go on; False where the PEs are not in the lanes."""
        running = self.running
        if running is None:
            return False
        if pes is running.pes:
            passes.advance(running.clock, cycles, self._told)
        else:
            which = self._which(running.pes, pes)
            if which is None:
                return False
            passes.advance_some(running.clock, which, cycles, self._told)
        self._tell(0)
        return True

    def pattern(self) -> int:
        """A number that is the same for clocks with the same differences; see :func:`.repetition.pattern`."""
        assert self.running is not None
        return passes.pattern(self.running.clock)

    def settled(self) -> bool:
        """Whether all that the records hold lies back: the lanes' clocks are later than all of it.

        When the lanes were entered no word was under way, so every time in the records was
        that of a message taken, a move ended or a route written by then.
        """
        return self.running is not None and int(self.running.clock.min()) > self.running.since + 1

    def _which(self, of: PeSet, pes: PeSet) -> np.ndarray | None:
        """Lanes of some PEs of a set; None where they are not all in it."""
        key = of.number, pes.number
        found = self._positions.get(key)
        if found is None:
            found = np.searchsorted(of.pes, pes.pes)
            inside = found < len(of)
            if not (inside.all() and np.array_equal(of.pes[found], pes.pes)):
                return None
            self._positions[key] = found
        return found

    def _tell(self, row: int) -> None:
        """Pass on what the passes have counted."""
        header, told = self._tables.header, self._told
        header[C_LATEST] = max(header[C_LATEST], told[passes.T_LATEST])
        header[C_CONTENDED] += told[passes.T_CONTENDED]
        header[C_STALLED] += told[passes.T_STALLED]
        if told[passes.T_WAITED]:
            self._metrics.count(row, T_WAIT, int(told[passes.T_WAITED]))
        told[passes.T_CONTENDED :] = 0

    def _within_limits(self, running: Running, move: Move) -> bool:
        under_way = [m for m, _ in (*running.waiting.values(), *running.ended.values())] + [move]
        sends = sum(m.kind == SEND for m in under_way)
        target = self._target
        return (
            len(under_way) <= target.async_moves_max
            and sends <= target.output_queues
            and len(under_way) - sends <= target.input_queues
        )

    # Who sends to whom.

    def _stream(self, running: Running, move: Move) -> Stream | None:
        """The stream of a send to a receive that waits, loaded from the records when it is first sent."""
        for receive, _ in running.waiting.values():
            key = move, receive
            if key in running.streams:
                stream = running.streams.pop(key)
                running.streams[key] = stream
                return stream
        for receive, _ in running.waiting.values():
            key = move, receive
            if key not in self._streams:
                self._streams[key] = self._traced(running.pes, move, receive)
            stream = self._streams[key]
            if stream is not None and self._apart(running, stream):
                for at in range(stream.ways.shape[0]):
                    load_links(self._tables.records_at, stream.ways[at], stream.links[at])
                stream.count = 0
                running.streams[key] = stream
                return stream
        return None

    def _traced(self, pes: PeSet, move: Move, receive: Move) -> Stream | None:
        tables, header = self._tables, self._tables.header
        paths = move.paths
        if (receive.n, receive.dtype) != (move.n, move.dtype) or len(paths) != len(pes):
            return None
        if not paths[:, Y_CHANNEL].all():
            return None
        there = (paths[:, Y_PE] - tables.starts["pes"]) // E_SIZE
        to = np.searchsorted(pes.pes, there)
        inside = to < len(pes)
        if not inside.all() or not np.array_equal(pes.pes[to], there):
            return None
        # Each PE of the set gets one message, on the color on which it receives.
        if np.bincount(to, minlength=len(pes)).max() > 1:
            return None
        colors = tables.color_numbers[receive.colors]
        colors = np.broadcast_to(colors, (len(pes),))[to]
        channels = header[A_CHANNELS] + (colors * header[B_PES] + there) * F_SIZE
        if not np.array_equal(channels, paths[:, Y_CHANNEL]):
            return None
        hops = np.ascontiguousarray(paths[:, Y_HOPS])
        most = int(hops.max())
        ways = np.ascontiguousarray(paths[:, Y_LINKS : Y_LINKS + most].T)
        ways[np.arange(most)[:, None] >= hops[None, :]] = 0
        target = self._target
        numbers = np.zeros(8, np.int64)
        numbers[passes.N_WORDS :] = (
            move.words,
            receive.period,
            target.ramp_cycles,
            target.hop_cycles,
            target.ramp_words_per_cycle,
            target.link_words_per_cycle,
            target.queue_words,
        )
        links = np.zeros((most, len(pes), 3), np.int64)
        taken = np.zeros((len(pes), 2), np.int64)
        return Stream(move, receive, to, hops, ways, channels, numbers, int(hops.sum()), links, taken)

    def _apart(self, running: Running, stream: Stream) -> bool:
        """Whether the links of a stream are its own, and no other's that is in the lanes."""
        used = np.zeros(len(self._tables.links), bool)
        links = 0
        for each in (*running.streams.values(), stream):
            ways = each.ways[each.ways != 0]
            used[(ways - self._tables.starts["links"]) // L_SIZE] = True
            links += len(ways)
        return int(np.count_nonzero(used)) == links

    # From the records to the lanes and back.

    def _enter(self, call: Prepared, blocked: int) -> Running | None:
        """Take over a set whose fabric is at rest."""
        tables, header, pes = self._tables, self._tables.header, call.pes
        assert call.move is not None
        at = (call.move.number, pes.number)
        if at in self._vain or blocked or header[C_QUEUED] or header[C_POSTED] or header[C_PARKED]:
            return None
        if tables.pes[pes.pes, E_MOVES].any():
            return None
        n = len(pes)
        handles = len(tables.slots) // tables.pe_count - 1
        clock, path = np.empty(n, np.int64), np.empty(n, np.int64)
        ramp_in, ramp_out = np.empty((n, 3), np.int64), np.empty((n, 3), np.int64)
        load_pes(tables.records_at, pes.pes, clock, path, ramp_in, ramp_out)
        self._told[passes.T_LATEST] = header[C_LATEST]
        self._entered_at = at
        self.running = Running(
            pes,
            clock,
            path,
            ramp_in,
            ramp_out,
            np.zeros((handles, n), np.int64),
            np.zeros((handles, n), np.int64),
            int(header[C_LATEST]),
        )
        return self.running

    def leave(self, for_good: bool = False) -> None:
        """Bring the records up to date; ``for_good`` at the end of a run, when only what is reported counts."""
        running = self.running
        if running is None:
            return
        tables, pes = self._tables, running.pes.pes
        store_pes(tables.records_at, pes, running.clock, running.path, running.ramp_in, running.ramp_out)
        for stream in running.streams.values():
            words, hops = stream.send.words, stream.ways.shape[0]
            for at in range(hops):
                store_links(tables.records_at, stream.ways[at], stream.links[at], words * stream.count)
            if stream.count and not for_good:
                lane_post(tables.records_at, stream.channels, stream.to, stream.taken, words, stream.count)
            stream.count = 0
        for done, moves in ((1, running.ended), (0, running.waiting)):
            for handle, (move, row) in moves.items():
                colors = np.broadcast_to(tables.color_numbers[move.colors], (len(pes),))
                start, way = running.starts[handle], running.ways[handle]
                store_moves(tables.records_at, pes, handle, move.group(row), colors, start, way, done)
        self.running = None
        if self._entered_at is not None:
            self._vain.add(self._entered_at)
