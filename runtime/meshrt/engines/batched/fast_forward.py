"""Loops that repeat themselves are skipped over, exactly (DESIGN section 4).

A loop may be skipped when nothing that takes time in its body reads its counter. At its
head the whole machine is compared with what it was some iterations before: which PEs stand
where, and the fabric (:mod:`.repetition`). When all is the same, only later, the scheduler
would do the same things again, each loop that went on going on by as many rounds. Until
one of the loops ends: so many whole periods are skipped as end none, and clocks, counts and
loop counters are moved on by what one period added to them. Where values are computed, those
of the skipped rounds are as well (:mod:`.replay`).

PEs need not be in the same iteration, nor in the same loop or code: every loop that went on
must be one that may be skipped, and each has its own number of rounds in a period. Regions
each must go along with the others or stand still; of those that words can go between none
may stand still at a later clock than one that goes on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from meshrt.engines.batched.code_run import CodeRun, Place
from meshrt.engines.batched.lanes import Lanes
from meshrt.engines.batched.metrics import Metrics
from meshrt.engines.batched.pe_sets import PeSet
from meshrt.engines.batched.records import C_CONTENDED, C_LATEST, C_ROUTE_WRITES, C_STALLED
from meshrt.engines.batched.repetition import pattern
from meshrt.engines.batched.replay import Loop, Recorder
from meshrt.engines.batched.state import Tables
from meshrt.engines.batched.state_copies import Copies, Copy, Groups, Growth
from meshrt.engines.loading.flatten import Again, Branch, Enter, Execute, Head, Leave, LinearCode
from meshrt.engines.result import Row
from meshrt.program.expr import Expr, names_in
from meshrt.program.instructions import INSTRUCTIONS
from meshrt.program.model import Instruction, View

#: Iterations with less left are not worth a comparison.
_LEAST_LEFT = 4
#: Patterns of clocks that are remembered for each loop.
_REMEMBERED = 64
#: Counters of the header that only ever grow.
_GROWING = (C_CONTENDED, C_STALLED, C_ROUTE_WRITES)


def timed_names(instruction: Instruction) -> frozenset[str]:
    """Names that decide how long an instruction takes or where its words go: extents and colors."""
    exprs: list[Expr] = []
    if INSTRUCTIONS[instruction.opcode].group != "arithmetic":
        exprs += [value for _, value in instruction.options if isinstance(value, Expr)]
    for argument in instruction.args:
        if isinstance(argument, View):
            exprs += [dim.extent for dim in argument.dims or ()]
    return frozenset().union(*(names_in(e) for e in exprs)) if exprs else frozenset()


def steady_loops(linear: LinearCode, computes: bool) -> frozenset[int]:
    """Heads of the loops whose bodies take the same time whatever their counter is.

    Where values are computed (``computes``) no flag may end a loop in the body.
    """
    heads = {i: step.counter for i, step in enumerate(linear.steps) if isinstance(step, Head)}
    for at, step in enumerate(linear.steps):
        if computes and isinstance(step, Again | Leave):
            for head in linear.loops[at]:
                heads.pop(head, None)
        used: frozenset[str] = frozenset()
        if isinstance(step, Execute):
            used = timed_names(step.instruction)
        elif isinstance(step, Branch):
            used = names_in(step.condition)
        elif isinstance(step, Enter):
            used = names_in(step.start)
        elif isinstance(step, Head):
            used = names_in(step.stop)
        for head in linear.loops[at]:
            if heads.get(head) in used:
                del heads[head]
    return frozenset(heads)


@dataclass(frozen=True, slots=True)
class Standing:
    """PEs that stand together: free to go on, or blocked; the place is where they go on."""

    kind: int
    place: Place
    pes: np.ndarray

    @property
    def key(self) -> tuple[int, int, int, bytes]:
        """What must be the same a period later."""
        code, step, _ = self.place
        return self.kind, code, step, self.pes.tobytes()


@dataclass(frozen=True, slots=True)
class Round:
    """A head was passed with this counter, by PEs whose loop ends at ``stop`` or later."""

    loop: Loop
    counter: int
    stop: int


@dataclass(frozen=True, slots=True)
class Reading:
    """An instruction whose views read counters was executed: they must lie in their buffers in skipped rounds too."""

    run: CodeRun
    at: int
    counters: tuple[int, ...]
    pes: PeSet


@dataclass(frozen=True, eq=False, slots=True)
class Snapshot:
    """The state at a loop's head."""

    standings: dict[tuple, tuple[int, ...]]
    copy: Copy
    header: np.ndarray
    rows: list[Row]
    table: np.ndarray
    logged: int


@dataclass(frozen=True, eq=False, slots=True)
class Repetition:
    """The machine repeats itself: rounds of each loop in one period, and how many periods can be skipped.

    ``readings`` are to be checked first: their views read counters of the loops that go on. ``shifts`` are
    those of :meth:`.replay.Recorder.shifts`, where values are computed.
    """

    rounds: dict[Loop, int]
    periods: int
    readings: list[Reading]
    growth: Growth
    shifts: list[np.ndarray]


@dataclass(slots=True)
class Watch:
    """What is known of a loop: clock patterns by the counter at which they were last seen."""

    around: tuple[int, ...]
    last: int
    seen: dict[int, int] = field(default_factory=dict)
    snapshot: Snapshot | None = None
    due: int = 0
    failures: int = 0
    rest_until: int = 0


class FastForward:
    """Looks for loops that repeat themselves, and skips over their rounds.

    ``groups`` are the PEs of regions that words can go between.
    """

    def __init__(
        self,
        tables: Tables,
        metrics: Metrics,
        codes: Sequence[CodeRun],
        groups: Groups,
        lanes: Lanes | None,
        recorder: Recorder | None,
        per_layer: bool,
        max_cycles: int | None,
    ):
        self._tables = tables
        self._metrics = metrics
        self._lanes = lanes
        self._recorder = recorder
        self._copies = Copies(tables, lanes, groups)
        self._max_cycles = max_cycles
        self._loops = [run.linear for run in codes]
        self._steady: set[Loop] = set()
        for run in codes:
            for head in steady_loops(run.linear, recorder is not None):
                # Rounds of the outermost loop have rows of their own with ``per_layer``.
                if not per_layer or len(run.linear.loops[head]) > 1:
                    self._steady.add((run.number, head))
        self._watches: dict[Loop, Watch] = {}
        self._armed = 0
        #: The loop whose rounds are recorded now.
        self._recording: Loop | None = None
        self._log: list[Round | Reading] = []

    @property
    def watching(self) -> bool:
        """Whether rounds and readings are to be noted."""
        return self._armed > 0

    def note(self, what: Round | Reading) -> None:
        """Something happened that bounds how far the loops can be skipped."""
        self._log.append(what)

    def due(self, place: Place, pes: PeSet, stop: int) -> str:
        """What to do at the head of a loop that ends at ``stop``: "" for nothing, else ``arm`` or ``compare``."""
        code, at, counters = place
        loop, counter = (code, at), counters[-1]
        if loop not in self._steady or self._recording not in (None, loop):
            return ""
        watch = self._watches.get(loop)
        if watch is None or watch.around != counters[:-1]:
            if watch is not None:
                self._disarm(watch)
            watch = self._watches[loop] = Watch(counters[:-1], counter - 1)
        if counter <= watch.last:
            return ""
        watch.last = counter
        left = stop - counter
        if watch.snapshot is not None:
            if counter < watch.due and left > _LEAST_LEFT:
                return ""
            if counter == watch.due and left >= _LEAST_LEFT:
                return "compare"
            self._disarm(watch)
        if counter < watch.rest_until or left < _LEAST_LEFT:
            return ""
        seen = self._pattern(pes)
        if seen is None:
            return ""
        before = watch.seen.pop(seen, None)
        if len(watch.seen) >= _REMEMBERED:
            del watch.seen[next(iter(watch.seen))]
        watch.seen[seen] = counter
        if before is None:
            return ""
        period = (counter - before) * (1 + watch.failures % 4)
        if left < 2 * period + 1:
            return ""
        watch.due = counter + period
        return "arm"

    def _pattern(self, pes: PeSet) -> int | None:
        """The pattern of the clocks of a set; None while the lanes are not yet apart from what was before them."""
        if self._lanes is not None and self._lanes.running is not None:
            if self._lanes.running.pes is pes:
                return self._lanes.pattern() if self._lanes.settled() else None
            self._lanes.leave()
        return pattern(self._tables.records_at, pes.pes)

    def arm(self, loop: Loop, standings: Sequence[Standing]) -> None:
        """Remember the state of now, and record what is done from now on where values are computed."""
        if self._recorder is not None:
            if not self._recorder.begin():
                self._rest(self._watches[loop])
                return
            self._recording = loop
        copy = self._copies.of_now(self._kinds(standings), len(standings) == 1)
        if copy is None:
            self._whole()
            self._steady.clear()
            return
        self._armed += 1
        self._watches[loop].snapshot = Snapshot(
            {s.key: s.place[2] for s in standings},
            copy,
            self._tables.header.copy(),
            self._metrics.counts(),
            self._metrics.table(),
            len(self._log),
        )

    def _disarm(self, watch: Watch) -> None:
        if watch.snapshot is not None:
            watch.snapshot.copy.release()
            watch.snapshot = None
            self._whole()
            self._armed -= 1
            if self._armed == 0:
                self._log.clear()

    def _rest(self, watch: Watch) -> None:
        """Leave a loop alone for a while, longer each time."""
        watch.failures += 1
        watch.rest_until = watch.last + (1 << min(watch.failures, 12))
        self._disarm(watch)

    def _whole(self) -> bool:
        """End the recording; whether there was none to make, or it is whole."""
        self._recording = None
        return self._recorder is None or self._recorder.end()

    def _kinds(self, standings: Sequence[Standing]) -> np.ndarray:
        kinds = np.zeros(self._tables.pe_count, np.int8)
        for standing in standings:
            kinds[standing.pes] = standing.kind
        return kinds

    def compare(self, loop: Loop, standings: Sequence[Standing]) -> Repetition | None:
        """Compare the machine with the snapshot of a loop that is due."""
        watch = self._watches[loop]
        snapshot = watch.snapshot
        assert snapshot is not None
        rounds = self._rounds(snapshot, standings)
        growth = snapshot.copy.growth() if self._whole() and rounds else None
        periods = self._periods(snapshot, rounds, growth) if growth is not None else 0
        shifts = self._recorder.shifts(periods, rounds) if self._recorder is not None else []
        if growth is None or periods <= 0 or shifts is None:
            self._rest(watch)
            return None
        readings = [w for w in self._log[snapshot.logged :] if isinstance(w, Reading)]
        return Repetition(rounds, periods, [r for r in readings if self._goes_on(r, rounds)], growth, shifts)

    def _goes_on(self, reading: Reading, rounds: Mapping[Loop, int]) -> bool:
        loops = reading.run.linear.loops[reading.at]
        return any(rounds.get((reading.run.number, loops[i]), 0) for i in reading.run.reads[reading.at])

    def _rounds(self, snapshot: Snapshot, standings: Sequence[Standing]) -> dict[Loop, int]:
        """Rounds of each loop since the snapshot, where all PEs stand as they stood; else nothing."""
        if len(standings) != len(snapshot.standings):
            return {}
        rounds: dict[Loop, int] = {}
        for standing in standings:
            before = snapshot.standings.get(standing.key)
            if before is None:
                return {}
            code, step, counters = standing.place
            for head, was, now in zip(self._loops[code].loops[step], before, counters, strict=True):
                if rounds.setdefault((code, head), now - was) != now - was or now < was:
                    return {}
        if any(n and loop not in self._steady for loop, n in rounds.items()):
            return {}
        return rounds if any(rounds.values()) else {}

    def _periods(self, snapshot: Snapshot, rounds: Mapping[Loop, int], growth: Growth) -> int:
        """How many whole periods end no loop, pass no limit, and do not change which region is the latest; or none."""
        header, before = self._tables.header, snapshot.header
        bounds = [
            (happened.stop - 1 - happened.counter) // n
            for happened in self._log[snapshot.logged :]
            if isinstance(happened, Round) and (n := rounds.get(happened.loop, 0))
        ]
        latest = int(header[C_LATEST])
        later = latest - int(before[C_LATEST])
        if later == 0:
            bounds.append((latest - growth.last) // growth.shift)
        elif later != growth.shift:
            return 0
        elif self._max_cycles is not None:
            bounds.append((self._max_cycles - latest) // growth.shift)
        return min(bounds, default=0)

    def skip(self, loop: Loop, found: Repetition) -> None:
        """Move clocks and counts on by so many periods; the scheduler moves the counters of the loops."""
        watch = self._watches[loop]
        snapshot = watch.snapshot
        assert snapshot is not None
        header = self._tables.header
        found.growth.carry(found.periods)
        for counter in (*_GROWING, C_LATEST):
            header[counter] += found.periods * (header[counter] - snapshot.header[counter])
        self._metrics.repeat(snapshot.rows, snapshot.table, found.periods, int(header[C_LATEST]))
        self._disarm(watch)
        self._watches[loop] = Watch(watch.around, watch.last + found.periods * found.rounds[loop])
