"""What crosses the borders of a part of a stretch that is looked at alone.

Beyond its borders the part finds, in place of its neighbours, sinks that take every word at once and note it, and
sources that have all words ready that the neighbours were seen to send. Both are freer than any neighbour: whatever
happens in the whole stretch can happen in the part with these, as long as no word comes from a part that is not among
those whose words are known.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from meshrt.program.proofs.records import MOST_RUNS, R_SIZE, X_LOG, X_RUNS
from meshrt.program.proofs.state import State
from meshrt.program.proofs.stretches import Stretch


@dataclass(frozen=True, slots=True)
class Source:
    """Words that come to a side of a PE on a color: ``elements`` of a dtype, all words full but the last."""

    pe: int
    color: int
    side: int
    dtype: int
    elements: int


@dataclass(frozen=True, slots=True)
class Sink:
    """Where words on a color may leave a PE over a side; beyond lies PE ``beyond`` of part ``part``."""

    pe: int
    color: int
    side: int
    part: int
    beyond: int


@dataclass(frozen=True, slots=True)
class Borders:
    """Sinks and sources of a part, PEs by their numbers in it, colors by theirs in the program."""

    sinks: tuple[Sink, ...] = ()
    sources: tuple[Source, ...] = ()


#: A stretch looked at as a whole has none.
NO_BORDERS = Borders()


def sinks_of(stretch: Stretch, number: int, colors: tuple[int, ...]) -> tuple[Sink, ...]:
    """The sinks of a part that speaks of these colors."""
    part = stretch.parts[number]
    owners = np.pad(stretch.owners(), 1, constant_values=-1)
    found = []
    for side, (dy, dx) in enumerate(((-1, 0), (0, 1), (1, 0), (0, -1))):
        rows, columns = part.area
        beyond = owners[rows.start + 1 + dy : rows.stop + 1 + dy, columns.start + 1 + dx : columns.stop + 1 + dx]
        for y, x in np.argwhere((beyond >= 0) & (beyond != number)).tolist():
            other = stretch.parts[beyond[y, x]]
            there_y, there_x = y + part.y + dy - other.y, x + part.x + dx - other.x
            pe = y * part.region.width + x
            there = there_y * other.region.width + there_x
            found += [Sink(pe, color, side, int(beyond[y, x]), there) for color in colors]
    return tuple(found)


def crossed(state: State, sinks: tuple[Sink, ...]) -> dict[int, list[Source]] | None:
    """What went over the borders, as sources of the parts beyond; None where it is too much to be noted.

    The records of ``sinks`` lie behind those of the ports.
    """
    found: dict[int, list[Source]] = {}
    rows = state.sinks[len(state.sinks) - len(sinks) :]
    for sink, row in zip(sinks, rows, strict=True):
        if row[X_RUNS] > MOST_RUNS:
            return None
        for run in range(int(row[X_RUNS])):
            dtype, elements = state.s[int(row[X_LOG]) + run * R_SIZE :][:R_SIZE].tolist()
            source = Source(sink.beyond, sink.color, sink.side ^ 2, dtype, elements)
            found.setdefault(sink.part, []).append(source)
    return found
