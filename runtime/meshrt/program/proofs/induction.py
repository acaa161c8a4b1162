"""Induction over loops: when everything is as it was some rounds ago, all further rounds are alike.

PEs stop at the head of every loop whose counter decides nothing inside it. When nothing else can go on, the state of
the whole region (places, counters but those of the loops at whose heads PEs stand, moves, queues, routes, live
buffers) is compared with what it was at earlier such moments. An execution is a function of this state, so equal states
are followed by equal rounds, as long as every loop goes on: whole periods are skipped without being run.

A loop whose number of rounds is not known before the run (``until``), or differs between choices of the runtime
scalars, may be left as soon as its state repeats from one round to the next: whenever that happens, it is in this state.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

import numpy as np

from meshrt.program.proofs.processes import stops
from meshrt.program.proofs.records import (
    AGAIN,
    F_EPOCH,
    F_QUEUED,
    H_ALIVE,
    H_CANDIDATE,
    IDLE,
    M_STATE,
    OF_SCALARS,
    P_EXIT,
    P_STATUS,
    P_STEP,
    PAUSED,
    S_A,
    S_B,
    S_KIND,
    U_LEFT,
    X_GOT,
    State,
)


@dataclass(frozen=True, eq=False, slots=True)
class _Moment:
    """Counters of the loops at whose heads PEs stood, and how much the ports had carried."""

    counters: np.ndarray
    got: np.ndarray
    left: np.ndarray


class NotPeriodic(Exception):
    """The rounds of an ``until`` are not alike, so that nothing is proven for all numbers of rounds."""


@dataclass
class Induction:
    """Watches one execution. ``rotating`` are the rows of ``named`` that ``rotate`` changes."""

    rotating: np.ndarray
    moments: dict[bytes, _Moment] = field(default_factory=dict)
    skipped: int = 0
    untils: int = 0

    def step(self, s: State) -> None:
        """PEs stand at heads of loops and nothing else can go on: skip what is alike."""
        paused = np.flatnonzero(s.pes[:, P_STATUS] == PAUSED)
        steps = s.pes[paused, P_STEP]
        places = s.steps[steps, S_A]
        counters = s.counters[paused, places]
        key = self._digest(s, paused, places)
        now = _Moment(counters, s.sinks[:, X_GOT].copy(), s.sources[:, U_LEFT].copy())
        before = self.moments.get(key)
        if before is None:
            self.moments[key] = now
            if (s.steps[steps, S_KIND] == AGAIN).any():
                self.untils += 1
                if self.untils > 64:
                    raise NotPeriodic
            return
        self._skip(s, paused, steps, places, before, now)
        self.moments.clear()
        self.untils = 0

    def _digest(self, s: State, paused: np.ndarray, places: np.ndarray) -> bytes:
        counters = s.counters.copy()
        counters[paused, places] = 0
        full = np.flatnonzero(s.count)
        channels = s.channels.copy()
        channels[:, F_QUEUED] = 0
        channels[:, F_EPOCH] = 0
        flying = np.flatnonzero(s.moves[:-1, M_STATE] != IDLE)
        digest = hashlib.blake2b(digest_size=32)
        words = s.words[full].copy()
        words[np.arange(words.shape[1])[None, :] >= s.count[full][:, None]] = 0
        parts = [s.pes, counters, s.live, channels, full, s.count[full], words, flying, s.moves[flying]]
        parts += [s.named[self.rotating], s.sources[:, U_LEFT] > 0, s.pending]
        for part in parts:
            digest.update(np.ascontiguousarray(part).tobytes())
        return digest.digest()

    def _skip(
        self, s: State, paused: np.ndarray, steps: np.ndarray, places: np.ndarray, before: _Moment, now: _Moment
    ) -> None:
        moved = now.counters - before.counters
        moving = np.flatnonzero(moved > 0)
        if not len(moving):
            return
        again = s.steps[steps[moving], S_KIND] == AGAIN
        if again.any():
            # No round but the first has come before the one that was like this, so any number of rounds ends so.
            if not again.all() or (before.counters[moving] != 0).any() or (moved[moving] != 1).any():
                raise NotPeriodic
            s.pes[paused[moving], P_EXIT] = 1
            return
        pes, at = paused[moving].astype(np.int64), steps[moving].astype(np.int64)
        rest = self._stops(s, pes, at) - now.counters[moving]
        periods = int((rest // moved[moving]).min())
        if periods < 1:
            return
        taken = before.left - now.left
        if (taken > 0).any():
            # The last word of a source may be half empty: stay clear of it.
            periods = min(periods, int(((now.left - 2)[taken > 0] // taken[taken > 0]).min()))
        given = now.got - before.got
        if periods < 1:
            return
        uniform = bool((moved[moving] == 1).all() and (rest == rest[0]).all() and periods == rest[0])
        scalars = s.exprs[s.steps[at, S_B], 0] == OF_SCALARS
        if scalars.any():
            self._divide(s, pes, at, now.counters[moving], rest, uniform and not given.any() and not taken.any())
        s.counters[pes, places[moving]] += periods * moved[moving]
        s.sinks[:, X_GOT] += (periods * given).astype(np.int32)
        s.sources[:, U_LEFT] -= (periods * taken).astype(np.int32)
        self.skipped += periods
        if uniform:
            s.pes[pes, P_EXIT] = 1

    def _stops(self, s: State, pes: np.ndarray, at: np.ndarray) -> np.ndarray:
        """The stops of loops for the present candidate, without dividing the others."""
        result = np.zeros(len(pes), np.int64)
        alive = s.header[H_ALIVE]
        s.header[H_ALIVE] = 1
        kept = s.alive[0]
        s.alive[0] = s.header[H_CANDIDATE]
        stops(s, pes, at, result)
        s.alive[0] = kept
        s.header[H_ALIVE] = alive
        return result

    def _divide(
        self, s: State, pes: np.ndarray, at: np.ndarray, counters: np.ndarray, rest: np.ndarray, merges: bool
    ) -> None:
        """Keep the candidates for which the loops end in the same state: after as many rounds, or all together."""
        mine = int(s.header[H_CANDIDATE])
        kept = []
        for other in s.alive[: s.header[H_ALIVE]].tolist():
            s.header[H_CANDIDATE] = other
            theirs = self._stops(s, pes, at) - counters
            alike = (theirs == rest).all() or (merges and (theirs == theirs[0]).all() and theirs[0] >= 0)
            if other == mine or alike:
                kept.append(other)
        s.header[H_CANDIDATE] = mine
        s.alive[: len(kept)] = kept
        s.header[H_ALIVE] = len(kept)
