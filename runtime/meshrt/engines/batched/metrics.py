"""What each source operation costs: cycles, work and words, counted while the program runs."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import zip_longest

import numpy as np

from meshrt.engines.batched.prepared import Prepared
from meshrt.engines.batched.records import T_HOPS, T_WAIT, T_WORDS
from meshrt.engines.result import Row

#: Counts of a row that :class:`Metrics` keeps itself.
_COUNTED = ("cycles", "busy", "macs", "instructions", "sram_bytes")


class Metrics:
    """Rows by operation. ``table`` is the part that compiled code counts: words and waits."""

    def __init__(self, table: np.ndarray, per_layer: bool):
        self._table = table
        self._per_layer = per_layer
        self._numbers: dict[tuple[int, int | None], int] = {}
        self.rows: list[Row] = []
        self.latest = 0

    def row(self, op: int, counters: tuple[int, ...]) -> int:
        """Number of the row of an operation; with ``per_layer``, of one iteration of the outermost loop."""
        key = (op, counters[0] if self._per_layer and counters else None)
        number = self._numbers.get(key)
        if number is None:
            number = self._numbers[key] = len(self.rows)
            self.rows.append(Row(*key))
        return number

    def attribute(self, row: int, latest: int) -> None:
        """The latest clock is now ``latest``: what it grew by is this operation's."""
        if latest != self.latest:
            self.rows[row].cycles += latest - self.latest
            self.latest = latest

    def busy(self, row: int, cycles: int) -> None:
        """PEs were busy with control for so many cycles, all together."""
        self.rows[row].busy += cycles

    def executed(self, row: int, call: Prepared) -> None:
        """A call was executed."""
        r = self.rows[row]
        r.busy += call.busy
        r.macs += call.macs
        r.instructions += len(call.pes)
        r.sram_bytes += call.sram_bytes * len(call.pes)
        for cause, count in call.events.items():
            r.events[cause] += count * len(call.pes)

    def waited(self, row: int, waits: int) -> None:
        """So many waits were executed, all PEs together."""
        self.rows[row].instructions += waits

    def count(self, row: int, field: int, times: int) -> None:
        """Something that compiled code counts has happened so many times."""
        self._table[row, field] += times

    def counts(self) -> list[Row]:
        """What Python code has counted so far, row by row."""
        return [replace(row, events=Counter(row.events)) for row in self.rows]

    def table(self) -> np.ndarray:
        """What compiled code has counted so far."""
        return self._table[: len(self.rows)].copy()

    def repeat(self, counts: list[Row], table: np.ndarray, times: int, latest: int) -> None:
        """Everything since those counts has happened so many times more; the latest clock is now ``latest``."""
        for row, before in zip_longest(self.rows, counts):
            before = before or Row(row.op, row.layer)
            for name in _COUNTED:
                now = getattr(row, name)
                setattr(row, name, now + times * (now - getattr(before, name)))
            for cause, now in list(row.events.items()):
                row.events[cause] = now + times * (now - before.events[cause])
        added = self.table()
        added[: len(table)] -= table
        self._table[: len(added)] += times * added
        self.latest = latest

    def finish(self) -> list[Row]:
        """All rows, with what compiled code counted."""
        for number, row in enumerate(self.rows):
            row.words = int(self._table[number, T_WORDS])
            row.waits = int(self._table[number, T_WAIT])
            row.word_hops = int(self._table[number, T_HOPS])
        return self.rows
