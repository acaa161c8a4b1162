"""Which PEs run next. PEs at the same place of the same code run as one operation.

The PEs that are furthest behind always run first, so that PEs which parted at a branch
or a wait come together again. PEs that block hold a ticket for the place where they go
on; whatever ends their move wakes them there. Values and times do not depend on the
order, except where messages meet on a link.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import Any

import numpy as np

from meshrt.diagnostics import MeshError
from meshrt.engines.batched import moves
from meshrt.engines.batched.code_run import CodeRun, Place
from meshrt.engines.batched.critical import EVENT_SIZE, Ledger, add_events
from meshrt.engines.batched.fast_forward import FastForward, Reading, Repetition, Round, Standing
from meshrt.engines.batched.index_cache import IndexCache
from meshrt.engines.batched.lanes import Lanes
from meshrt.engines.batched.metrics import Metrics
from meshrt.engines.batched.pe_sets import PeSet, PeSets
from meshrt.engines.batched.phase_ends import PhaseEnds
from meshrt.engines.batched.prepare import Preparer
from meshrt.engines.batched.prepared import Prepared
from meshrt.engines.batched.records import C_ERROR, C_LATEST, C_WOKEN, E_BLOCKED, RUNNING
from meshrt.engines.batched.repetition import BLOCKED, RUNNABLE
from meshrt.engines.batched.replay import Recorder
from meshrt.engines.batched.state import Tables
from meshrt.engines.loading.flatten import (
    Again,
    Branch,
    End,
    Enter,
    Execute,
    Head,
    Jump,
    Leave,
    Mark,
    Repeat,
)
from meshrt.program.cost import Events
from meshrt.progress import Progress
from meshrt.target import Target

#: Places that are taken up between two reports of progress.
_TURNS = 1024


class Scheduler:
    """Runs codes to their end. ``check`` raises when compiled code has reported a failure.

    ``tell`` is called after words may have left for the host.
    ``until_rounds`` is how many rounds every ``until`` takes where there are no values to end it.
    """

    def __init__(
        self,
        tables: Tables,
        codes: list[CodeRun],
        sets: PeSets,
        index: IndexCache,
        preparer: Preparer,
        target: Target,
        metrics: Metrics,
        check: Callable[[], None],
        max_cycles: int | None,
        until_rounds: int | None,
        lanes: Lanes | None = None,
        forward: FastForward | None = None,
        ledger: Ledger | None = None,
        recorder: Recorder | None = None,
        tell: Callable[[], None] | None = None,
        phase_ends: PhaseEnds | None = None,
    ):
        self._tables = tables
        self._counters = tables.header
        self._codes = codes
        self._sets = sets
        self._index = index
        self._preparer = preparer
        self._target = target
        self._metrics = metrics
        self._check = check
        self._max_cycles = max_cycles
        self._until_rounds = until_rounds
        self._lanes = lanes
        self._forward = forward
        self._ledger = ledger
        self._recorder = recorder
        self._tell = tell
        self._phase_ends = phase_ends
        # What the cycles that are owed were spent on, and the vectors of what was ever spent.
        self._owed_events = np.zeros(EVENT_SIZE, np.int64)
        self._vectors: dict[tuple, np.ndarray] = {}
        self._ready: dict[Place, list[PeSet]] = {}
        self._heap: list[tuple[tuple[int, ...], Place]] = []
        self._ticket = np.zeros(tables.pe_count, np.int32)
        self._tickets: dict[int, tuple[Place, int]] = {}
        self._next_ticket = 1
        self.blocked = 0
        # Cycles that the clocks of one set are still to be advanced by, for one row of the metrics.
        self._owed = 0
        self._owing: PeSet | None = None
        self._owed_row = 0

    def start(self, code: int, pes: PeSet) -> None:
        """Put PEs at the beginning of a code."""
        self._put((code, 0, ()), pes)

    def run(self, progress: Progress) -> None:
        """Run until no PE can: all have ended, or those in :meth:`waiting` are stuck."""
        turns = 0
        while self._heap:
            turns += 1
            if turns % _TURNS == 0:
                progress.advance(int(self._counters[C_LATEST]))
            _, place = heapq.heappop(self._heap)
            sets = self._ready.pop(place, None)
            if sets is not None:
                self._run_from(place, self._sets.union(sets))

    def waiting(self) -> np.ndarray:
        """The PEs that are blocked, in ascending order."""
        return np.flatnonzero(self._ticket)

    def _key(self, place: Place) -> tuple[int, ...]:
        code, step, counters = place
        # Region by region: places of different codes do not compare, and one that is done ends before others go on.
        key: list[int] = [self._codes[code].region]
        for head, counter in zip(self._codes[code].linear.loops[step], counters, strict=True):
            key += (head, counter)
        key.append(step)
        return tuple(key)

    def _put(self, place: Place, pes: PeSet) -> None:
        sets = self._ready.get(place)
        if sets is None:
            self._ready[place] = [pes]
            heapq.heappush(self._heap, (self._key(place), place))
        else:
            sets.append(pes)

    def _goto(self, run: CodeRun, step: int, counters: tuple[int, ...]) -> Place:
        return run.number, step, counters[: len(run.linear.loops[step])]

    def _run_from(self, place: Place, pes: PeSet) -> None:
        """Run PEs from a place on, as long as they stay together and furthest behind."""
        while True:
            if self._forward is not None and type(self._codes[place[0]].linear.steps[place[1]]) is Head:
                place = self._pass_head(self._forward, place, pes)
            next_places = self._step(place, pes)
            if len(next_places) != 1:
                self._pay()
                for target, part in next_places:
                    self._put(target, part)
                return
            place, pes = next_places[0]
            others = self._ready.pop(place, None)
            if others is not None:
                self._pay()
                pes = self._sets.union([pes, *others])
            if self._heap and self._heap[0][0] < self._key(place):
                self._pay()
                self._put(place, pes)
                return

    def _pass_head(self, forward: FastForward, place: Place, pes: PeSet) -> Place:
        """Before a loop's head: skip what repeats itself. Gives the place with the counters of then."""
        code, at, counters = place
        run = self._codes[code]
        step = run.linear.steps[at]
        assert isinstance(step, Head)
        outer = dict(zip(run.names[at][:-1], counters[:-1], strict=True))
        value = self._index.value(step.stop, pes, outer, f"in the loop at line {step.line}")
        least = value if isinstance(value, int) else int(value.min())
        loop, found = (code, at), None
        due = forward.due(place, pes, least)
        if due:
            self._pay()
            standings = self._standings(place, pes)
            if due == "compare":
                found = forward.compare(loop, standings)
            else:
                forward.arm(loop, standings)
        if found is not None:
            if self._recorder is None:
                self._check_skipped(forward, found)
            else:
                self._recorder.replay(found.shifts, found.rounds)
            forward.skip(loop, found)
            self._move_on(found)
            place = self._later(place, found)
        if forward.watching:
            counter = place[2][-1]
            forward.note(Round(loop, counter, least))
        return place

    def _standings(self, place: Place, pes: PeSet) -> list[Standing]:
        """Where all PEs are that have not ended."""
        standings = [Standing(RUNNABLE, place, pes.pes)]
        standings += [Standing(RUNNABLE, p, self._sets.union(sets).pes) for p, sets in self._ready.items()]
        blocked = self.waiting().astype(np.int32)
        order = np.argsort(self._ticket[blocked], kind="stable")
        tickets, starts = np.unique(self._ticket[blocked][order], return_index=True)
        waiting: dict[Place, list[np.ndarray]] = {}
        for ticket, part in zip(tickets.tolist(), np.split(blocked[order], starts[1:]), strict=False):
            waiting.setdefault(self._tickets[ticket][0], []).append(part)
        standings += [Standing(BLOCKED, p, np.sort(np.concatenate(parts))) for p, parts in waiting.items()]
        return standings

    def _later(self, place: Place, found: Repetition) -> Place:
        code, at, counters = place
        rounds = (found.periods * found.rounds.get((code, head), 0) for head in self._codes[code].linear.loops[at])
        return code, at, tuple(c + n for c, n in zip(counters, rounds, strict=True))

    def _move_on(self, found: Repetition) -> None:
        """All PEs are in later rounds now."""
        ready = [(self._later(place, found), sets) for place, sets in self._ready.items()]
        self._ready = dict(ready)
        self._heap = [(self._key(place), place) for place in self._ready]
        heapq.heapify(self._heap)
        self._tickets = {t: (self._later(place, found), n) for t, (place, n) in self._tickets.items()}

    def _check_skipped(self, forward: FastForward, found: Repetition) -> None:
        """Views that read the counters of skipped rounds lie in their buffers; raises M0523 where one does not."""
        for period in range(1, found.periods + 1):
            for reading in found.readings:
                run, at = reading.run, reading.at
                heads = run.linear.loops[at]
                counters = tuple(
                    c + period * found.rounds.get((run.number, head), 0)
                    for head, c in zip(heads, reading.counters, strict=True)
                )
                step = run.linear.steps[at]
                assert isinstance(step, Execute)
                bound = self._bound(run, at, counters)
                self._preparer.prepare(step.instruction, step.number, reading.pes, bound, run.handles)
                forward.note(Reading(run, at, counters, reading.pes))

    def _step(self, place: Place, pes: PeSet) -> list[tuple[Place, PeSet]]:
        code, at, counters = place
        run = self._codes[code]
        step: Any = run.linear.steps[at]
        kind = type(step)
        row = self._metrics.row(run.linear.ops[at], counters)
        if kind is Execute:
            result = self._execute(run, at, step, counters, pes, row)
        elif kind is Head:
            result = self._head(run, at, step, counters, pes, row)
        elif kind is Repeat:
            result = [((code, step.head, (*counters[:-1], counters[-1] + 1)), pes)]
        elif kind is Enter:
            self._spend(pes, "issue_cycles", row)
            where = f"in the loop at line {step.line}"
            value = self._index.value(step.start, pes, self._bound(run, at, counters), where)
            if isinstance(value, int):
                result = [((code, at + 1, (*counters, value)), pes)]
            else:
                result = [((code, at + 1, (*counters, v)), part) for v, part in self._sets.split(pes, value)]
        elif kind is Branch:
            self._spend(pes, "branch_cycles", row)
            where = f"in the condition at line {step.line}"
            value = self._index.value(step.condition, pes, self._bound(run, at, counters), where)
            if isinstance(value, int):
                result = [(self._goto(run, at + 1 if value else step.otherwise, counters), pes)]
            else:
                parts = self._sets.split(pes, value)
                result = [(self._goto(run, at + 1 if v else step.otherwise, counters), part) for v, part in parts]
        elif kind is Jump:
            result = [(self._goto(run, step.target, counters), pes)]
        elif kind is Again:
            self._spend(pes, "branch_cycles", row)
            again = (code, step.head, (*counters[:-1], counters[-1] + 1))
            done = self._goto(run, at + 1, counters)
            if self._until_rounds is not None:
                result = [(done if counters[-1] + 1 >= self._until_rounds else again, pes)]
            else:
                flags = self._preparer.flags(step.flag, pes, self._bound(run, at, counters), step.line) != 0
                result = [(done if ended else again, part) for ended, part in self._sets.parts(pes, flags)]
        elif kind is Leave:
            self._spend(pes, "branch_cycles", row)
            flags = self._preparer.flags(step.flag, pes, self._bound(run, at, counters), step.line) != 0
            result = [
                (self._goto(run, step.end if ended else at + 1, counters), part)
                for ended, part in self._sets.parts(pes, flags)
            ]
        elif kind is Mark:
            self._leave_lanes()
            self._pay()
            if self._phase_ends is not None:
                self._phase_ends.left(step.phase, pes.pes, step.following)
            result = [((code, at + 1, counters), pes)]
        else:
            assert kind is End
            result = []
        return result

    def _bound(self, run: CodeRun, at: int, counters: tuple[int, ...]) -> dict[str, int]:
        return dict(zip(run.names[at], counters, strict=True))

    def _spend(self, pes: PeSet, cause: str, row: int) -> None:
        """The clocks of a set go on by a cost of the target: now, or with what it spends next."""
        cycles = getattr(self._target, cause)
        if cycles or self._ledger is not None:
            self._metrics.busy(row, cycles * len(pes))
            self._owe(pes, cycles, row, {cause: 1})

    def _owe(self, pes: PeSet, cycles: int, row: int, events: Events) -> None:
        if self._owing is not pes or self._owed_row != row:
            self._pay()
            self._owing, self._owed_row = pes, row
        self._owed += cycles
        if self._ledger is not None:
            key = (cycles, *events.items())
            if key not in self._vectors:
                self._vectors[key] = self._ledger.vector(events, cycles)
            self._owed_events += self._vectors[key]

    def _pay(self) -> None:
        if self._owed:
            assert self._owing is not None
            lanes = self._lanes
            if lanes is None or not lanes.advance(self._owing, self._owed):
                self._leave_lanes()
                moves.advance(self._tables.records_at, self._owing.pes, self._owed)
            if self._ledger is not None:
                add_events(self._tables.records_at, self._owing.pes, self._owed_events)
                self._owed_events[:] = 0
            self._owed = 0
            self._count(self._owed_row)

    def _leave_lanes(self) -> None:
        if self._lanes is not None:
            self._lanes.leave()

    def _owed_with(self, pes: PeSet, row: int) -> int:
        """Cycles owed that a pass over the lanes can take with it; others are paid first."""
        if self._owed and (self._owing is not pes or self._owed_row != row):
            self._pay()
        return self._owed

    def _in_lanes(self, run: CodeRun, at: int, pes: PeSet, row: int) -> int:
        """Wait in the lanes for as many moves as follow one another; gives how many, 0 where that is for the records.

        The records are brought up to date then.
        """
        lanes = self._lanes
        if lanes is None or lanes.running is None:
            return 0
        for handles in (run.waits.get(at), run.waits_alone.get(at)):
            if handles is not None and lanes.wait(pes, handles, row, self._owed_with(pes, row)):
                self._owed = 0
                self._count(row)
                self._metrics.waited(row, len(handles) * len(pes))
                return len(handles)
        return 0

    def _count(self, row: int) -> None:
        latest = int(self._counters[C_LATEST])
        self._metrics.attribute(row, latest)
        if self._max_cycles is not None and latest > self._max_cycles:
            raise MeshError("M0530", f"the run has taken more than {self._max_cycles:,} cycles and was stopped")

    def _head(self, run, at, step, counters, pes, row) -> list[tuple[Place, PeSet]]:
        outer = dict(zip(run.names[at][:-1], counters[:-1], strict=True))
        stop = self._index.value(step.stop, pes, outer, f"in the loop at line {step.line}")
        counter = counters[-1]
        inside = (run.number, at + 1, counters)
        after = self._goto(run, step.end, counters)
        if isinstance(stop, int):
            parts = [(int(counter < stop), pes)]
        else:
            parts = self._sets.split(pes, stop, counter)
        result = []
        for going, part in parts:
            if going:
                self._spend(part, "loop_cycles", row)
            result.append((inside if going else after, part))
        return result

    def _execute(self, run, at, step, counters, pes, row) -> list[tuple[Place, PeSet]]:
        waits = run.waits.get(at)
        passed = self._in_lanes(run, at, pes, row)
        if passed:
            return [(self._goto(run, at + passed, counters), pes)]
        if waits is not None:
            self._leave_lanes()
            self._pay()
            if moves.wait_all(self._tables.records_at, pes.pes, waits, row):
                self._count(row)
                self._metrics.waited(row, len(waits) * len(pes))
                return [(self._goto(run, at + len(waits), counters), pes)]
        if run.reads[at] and self._forward is not None and self._forward.watching:
            self._forward.note(Reading(run, at, counters, pes))
        calls = self._preparer.calls(run, at, counters, pes)
        recorder = self._recorder
        following = (run.number, at + 1, counters[: len(run.linear.loops[at + 1])])
        result = []
        for index, call in enumerate(calls):
            if call.move is not None and self._launch_in_lanes(call, row):
                self._metrics.executed(row, call)
                result.append((following, call.pes))
                continue
            if call.fabric:
                self._leave_lanes()
                self._pay()
                call.run(row)
                self._count(row)
            else:
                call.run(row)
                self._owe(call.pes, call.cycles, row, call.events)
            if recorder is not None and recorder.recording:
                recorder.note(run, at, counters, pes, index, call)
            if self._counters[C_ERROR] != 0:
                self._check()
            if self._tell is not None and call.fabric:
                self._tell()
            self._metrics.executed(row, call)
            done = self._after(call, following)
            if done is not None:
                result.append((following, done))
        if len(result) > 1:
            return [(following, self._sets.union([part for _, part in result]))]
        return result

    def _launch_in_lanes(self, call: Prepared, row: int) -> bool:
        if self._lanes is None or not self._lanes.launch(call, row, self.blocked, self._owed_with(call.pes, row)):
            return False
        self._owed = 0
        self._count(row)
        return True

    def _after(self, call: Prepared, following: Place) -> PeSet | None:
        """Members of a call that go on at once; the others get tickets, and those it woke go on elsewhere."""
        tables, counters = self._tables, self._counters
        woken = int(counters[C_WOKEN])
        members = call.pes
        if not call.fabric:
            return members
        if not call.blocking:
            if woken:
                counters[C_WOKEN] = 0
                self._wake(tables.woken[:woken])
            return members
        counters[C_WOKEN] = 0
        if self.blocked == 0 and woken == len(members):
            return members
        if woken and self.blocked:
            ended = tables.woken[:woken]
            self._wake(ended[self._ticket[ended] > 0])
        still = tables.pes[members.pes, E_BLOCKED] != RUNNING
        if not still.any():
            return members
        stuck = members.pes[still]
        ticket = self._next_ticket
        self._next_ticket += 1
        self._tickets[ticket] = (following, len(stuck))
        self._ticket[stuck] = ticket
        self.blocked += len(stuck)
        if len(stuck) == len(members):
            return None
        return self._sets.intern(members.region, members.pes[~still])

    def _wake(self, pes: np.ndarray) -> None:
        tickets = self._ticket[pes]
        self._ticket[pes] = 0
        self.blocked -= len(pes)
        for ticket in np.unique(tickets).tolist():
            place, count = self._tickets[ticket]
            mine = pes[tickets == ticket]
            if len(mine) == count:
                del self._tickets[ticket]
            else:
                self._tickets[ticket] = (place, count - len(mine))
            region = self._codes[place[0]].region
            self._put(place, self._sets.intern(region, np.sort(mine)))
