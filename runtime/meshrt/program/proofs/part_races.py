"""Races in a stretch of several regions, looked for in one region after the other.

A trial of :mod:`.races` runs all of a stretch for one router. Where words go one way only, as from a region that
prefills to one that decodes, each region has its trials alone (:mod:`.borders`): first those that send, whose words
become sources of those that take. So much more can only happen there that a race of the whole stretch is found; one
that is found is looked at again in the whole stretch, which may leave no room for it. Where words go both ways, or
are too many kinds to be noted, the trials are those of the whole stretch.

What a region does does not depend on the scalars and flags that only others read, so it has its trials once for all
classes of those.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from meshrt.program.proofs.borders import Borders, Sink, Source, crossed, sinks_of
from meshrt.program.proofs.flags import Flags
from meshrt.program.proofs.loading import Prepared, prepare
from meshrt.program.proofs.races import MOST_STEPS, TOO_MANY, Trials, racing
from meshrt.program.proofs.records import H_ENDED, H_ERROR, H_PES
from meshrt.program.proofs.stretches import join

#: What crosses the borders of a part, by the part beyond.
_Crossing = dict[int, list[Source]]


class _NotOneWay(Exception):
    """A part cannot be looked at alone in this order of the parts."""


@dataclass(frozen=True, eq=False, slots=True)
class _Part:
    """A part made ready, the columns of its scalars among those of the stretch, and of these the ones it reads."""

    prepared: Prepared
    sinks: tuple[Sink, ...]
    scalars: tuple[int, ...]
    read: tuple[int, ...]
    flagged: bool


@dataclass
class PartRaces:
    """Looks for races in the parts of a stretch, in one class of scalars after the other."""

    whole: Prepared
    _parts: list[_Part] = field(default_factory=list)
    _known: dict[tuple, _Crossing] = field(default_factory=dict)
    _spent: int = 0

    def __post_init__(self) -> None:
        stretch = self.whole.stretch
        if len(stretch.parts) == 1:
            return
        columns = {scalar.name: i for i, scalar in enumerate(stretch.region.scalars)}
        flagged = stretch.flagged(self.whole.skeleton.flagged)
        for number, part in enumerate(stretch.parts):
            prepared = prepare(join([part.region], False), self.whole.target)
            scalars = tuple(columns[scalar.name] for scalar in part.region.scalars)
            expressions = prepared.expressions
            deciding = expressions.scalars_read() | expressions.scalars_at_stops()
            read = tuple(columns[name] for name in sorted(deciding))
            sinks = sinks_of(stretch, number, prepared.colors)
            self._parts.append(_Part(prepared, sinks, scalars, read, number in flagged))

    def racing(
        self, candidates: np.ndarray, alive: np.ndarray, guarded: np.ndarray, flags: Iterable[Flags]
    ) -> tuple[int | None, str]:
        """As :func:`.races.racing` of the whole stretch."""
        if not self._parts:
            return racing(self.whole, candidates, alive, guarded, flags)
        self._spent = 0
        for values in flags:
            channel, why = self._one_way(candidates, alive, guarded, values)
            if channel is not None or why:
                return channel, why
        return None, ""

    def _one_way(
        self, candidates: np.ndarray, alive: np.ndarray, guarded: np.ndarray, values: Flags
    ) -> tuple[int | None, str]:
        forwards = range(len(self._parts))
        for order in (forwards, forwards[::-1]):
            try:
                return self._in_order(order, candidates, alive, guarded, values)
            except _NotOneWay:
                continue
        return racing(self.whole, candidates, alive, guarded, (values,))

    def _in_order(
        self, order: Sequence[int], candidates: np.ndarray, alive: np.ndarray, guarded: np.ndarray, values: Flags
    ) -> tuple[int | None, str]:
        """The trials of all parts; raises _NotOneWay where words go from one to another that is before it."""
        incoming: dict[int, list[Source]] = {number: [] for number in order}
        done: set[int] = set()
        row = candidates[alive[-1]]
        for number in order:
            part, sources = self._parts[number], tuple(incoming[number])
            mine = values if part.flagged else ()
            key = (number, tuple(row[list(part.read)].tolist()), mine, sources)
            if key not in self._known:
                trials = self._trials(part, row, mine, sources)
                crossing = crossed(trials.plain, part.sinks)
                if crossing is None or crossing.keys() & done:
                    raise _NotOneWay
                found = self._differing(number, trials, candidates, alive, guarded, values)
                if found is not None:
                    return found
                self._known[key] = crossing
            for other, words in self._known[key].items():
                incoming[other] += words
            done.add(number)
        return None, ""

    def _trials(self, part: _Part, row: np.ndarray, values: Flags, sources: tuple[Source, ...]) -> Trials:
        """The trials of a part, which must come to its end with the words of the parts before it."""
        if not {source.color for source in sources} <= set(part.prepared.colors):
            raise _NotOneWay
        choice = row[list(part.scalars)].reshape(1, -1)
        trials = Trials(part.prepared, choice, np.zeros(1, np.int64), values, Borders(part.sinks, sources))
        if trials.plain.s[H_ERROR] or trials.plain.s[H_ENDED] != trials.plain.s[H_PES]:
            raise _NotOneWay
        return trials

    def _differing(
        self,
        number: int,
        trials: Trials,
        candidates: np.ndarray,
        alive: np.ndarray,
        guarded: np.ndarray,
        values: Flags,
    ) -> tuple[int | None, str] | None:
        """The first of the guarded channels of a part that races in the whole stretch too; None where there is none."""
        channels = self._channels_of(number, guarded)
        left = np.array(sorted(channels), np.int64)
        while len(left):
            channel, why = trials.differing(left, MOST_STEPS - self._spent)
            if why or channel is None:
                break
            found = racing(self.whole, candidates, alive, np.array([channels[channel]]), (values,))
            if found != (None, ""):
                return found
            left = left[left > channel]
        else:
            why = ""
        self._spent += trials.spent
        return (None, TOO_MANY) if why else None

    def _channels_of(self, number: int, guarded: np.ndarray) -> dict[int, int]:
        """Those of the guarded channels of the stretch that are of a part, by their numbers in it."""
        stretch, colors = self.whole.stretch, self.whole.colors
        part, own = stretch.parts[number], self._parts[number].prepared.colors
        owners = stretch.owners().reshape(-1)
        found = {}
        for f in guarded.tolist():
            pe, color = divmod(f, len(colors))
            if owners[pe] == number:
                y, x = divmod(pe, stretch.region.width)
                there = (y - part.y) * part.region.width + x - part.x
                found[there * len(own) + own.index(colors[color])] = f
        return found
