"""Values of skipped rounds: what was computed and moved in one round, in order, to be done again in the next ones.

Where values are computed, a loop that repeats itself in time (:mod:`.fast_forward`) still
has other values in every round. Which instructions run on which PEs, and which message ends
in which move, does not depend on values or on times: it is the same again in every round. So a round is
recorded while it runs, arithmetic as calls and moves as entries of the log of values
(:mod:`.value_log`), and done again for every round that is skipped: without looking for
routes, queues, or who waits for whom, and without keeping time.

A round is recorded from rest to rest: no message is under way, and no move waits for words but
those of PEs that wait through the whole round, so that all elements lie in buffers. Loops that
end on a value are not skipped at all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from meshrt.engines.batched.code_run import CodeRun
from meshrt.engines.batched.pe_sets import PeSet
from meshrt.engines.batched.prepare import Preparer
from meshrt.engines.batched.prepared import Prepared
from meshrt.engines.batched.records import (
    C_LOG,
    C_LOG_LACKS,
    C_PARKED,
    C_POSTED,
    C_QUEUED,
    E_BLOCKED,
    E_CLOCK,
    ON_WORDS,
    RUNNING,
)
from meshrt.engines.batched.redo import redo
from meshrt.engines.batched.state import Tables

#: A loop: its code and the step of its head.
Loop = tuple[int, int]
#: Different things that one call may do in a round and that are remembered.
_VARIANTS = 4


@dataclass(frozen=True, eq=False, slots=True)
class Deed:
    """A call that was run; its moves, and those that it set off, did the entries ``first .. last`` of the log."""

    run: CodeRun
    at: int
    counters: tuple[int, ...]
    pes: PeSet
    index: int
    call: Prepared
    first: int
    last: int

    def counters_later(self, period: int, rounds: Mapping[Loop, int]) -> tuple[int, ...]:
        """The counters so many periods later; ``rounds`` are those of each loop in one."""
        heads = self.run.linear.loops[self.at]
        return tuple(
            c + period * rounds.get((self.run.number, h), 0) for h, c in zip(heads, self.counters, strict=True)
        )

    def changes(self, rounds: Mapping[Loop, int]) -> bool:
        """Whether its views read counters of loops that go on."""
        heads = self.run.linear.loops[self.at]
        return any(rounds.get((self.run.number, heads[i]), 0) for i in self.run.reads[self.at])


class Recorder:
    """Records rounds, one at a time, and does them again. ``instructions`` are those of the program."""

    def __init__(self, tables: Tables, preparer: Preparer, instructions: int):
        self._tables = tables
        self._preparer = preparer
        self._instructions = instructions
        self._deeds: list[Deed] = []
        self._noted = 0
        self._blocked = np.zeros((0, 3), np.int64)
        self._known: dict[tuple[int, ...], list[tuple[int, int]]] = {}
        self.recording = False

    def begin(self) -> bool:
        """Start to record; False where the machine is not at rest."""
        header = self._tables.header
        self._deeds = []
        self._known.clear()
        self._blocked = self._blocked_now()
        self.recording = self._at_rest()
        self._noted = header[C_LOG] = self._tables.starts["log"] if self.recording else 0
        header[C_LOG_LACKS] = 0
        return self.recording

    def note(self, run: CodeRun, at: int, counters: tuple[int, ...], pes: PeSet, index: int, call: Prepared) -> None:
        """Number ``index`` of the calls of an instruction was run."""
        first, last = self._entries((run.number, at, index, pes.number))
        if not call.fabric or call.move is not None or last > first:
            self._deeds.append(Deed(run, at, counters, pes, index, call, first, last))

    def _entries(self, call: tuple[int, ...]) -> tuple[int, int]:
        """The entries since the last deed. Where the call did the same before, they are those of then.

        So a loop in the round takes no more of the log than one of its own rounds.
        """
        header, records = self._tables.header, self._tables.records
        first, last = self._noted, int(header[C_LOG])
        if last == first:
            return first, last
        known = self._known.setdefault(call, [])
        for begin, end in known:
            if end - begin == last - first and np.array_equal(records[begin:end], records[first:last]):
                header[C_LOG] = first
                return begin, end
        if len(known) < _VARIANTS:
            known.append((first, last))
        self._noted = last
        return first, last

    def end(self) -> bool:
        """Stop recording; whether what was recorded is whole."""
        header = self._tables.header
        whole = self.recording and self._at_rest() and not header[C_LOG_LACKS]
        # Who went on meanwhile and waits again has a later clock.
        whole = whole and np.array_equal(self._blocked, self._blocked_now())
        self.recording = False
        header[C_LOG] = 0
        return whole

    def _blocked_now(self) -> np.ndarray:
        """PEs that wait, and their clocks: [PEs, (number, why, clock)]."""
        pes = self._tables.pes
        who = np.flatnonzero(pes[:, E_BLOCKED] != RUNNING)
        return np.stack([who, pes[who, E_BLOCKED], pes[who, E_CLOCK]], axis=1)

    def _at_rest(self) -> bool:
        header, blocked = self._tables.header, self._blocked_now()
        if header[C_QUEUED] or header[C_PARKED]:
            return False
        return bool(np.all(blocked[:, 1] == ON_WORDS)) and header[C_POSTED] == len(blocked)

    def shifts(self, periods: int, rounds: Mapping[Loop, int]) -> list[np.ndarray] | None:
        """By how much further on the views of each move lie, period by period; None where its PEs do not agree.

        Raises M0523 where one does not lie in its buffer.
        """
        found = []
        changing = [d for d in self._deeds if d.call.move is not None and d.changes(rounds)]
        for period in range(1, periods + 1):
            moved: dict[int, int] = {}
            for deed in changing:
                before, later = deed.call.move, self._later(deed, period, rounds).move
                assert before is not None and later is not None
                by = np.unique(later.offsets - before.offsets)
                if len(by) > 1 or moved.setdefault(before.number, int(by[0])) != by[0]:
                    return None
            numbers = np.zeros(self._instructions + 1, np.int64)
            for number, by in moved.items():
                numbers[number + 1] = by
            found.append(numbers)
        return found

    def replay(self, shifts: Sequence[np.ndarray], rounds: Mapping[Loop, int]) -> None:
        """Do what was recorded again, period by period."""
        records_at, memory_at = self._tables.records_at, self._tables.memory_at
        changes = [deed.changes(rounds) for deed in self._deeds]
        for period, moved in enumerate(shifts, start=1):
            for deed, changing in zip(self._deeds, changes, strict=True):
                call = self._later(deed, period, rounds) if changing else deed.call
                if not call.fabric:
                    call.run(0)
                    continue
                if call.move is not None and call.move.claims:
                    call.move.claim()
                if deed.last > deed.first:
                    redo(records_at, memory_at, deed.first, deed.last, moved)

    def _later(self, deed: Deed, period: int, rounds: Mapping[Loop, int]) -> Prepared:
        calls = self._preparer.calls(deed.run, deed.at, deed.counters_later(period, rounds), deed.pes)
        return calls[deed.index]
