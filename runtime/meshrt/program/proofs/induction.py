"""Induction over loops: when everything is as it was some rounds ago, all further rounds are alike.

PEs stop at the head of every loop whose counter decides nothing inside it. When nothing else can go on, the state of
the whole region (places, counters but those of the loops at whose heads PEs stand, moves, queues, routes, live
buffers) is compared with what it was at earlier such moments. An execution is a function of this state, so equal states
are followed by equal rounds, as long as every loop goes on: whole periods are skipped without being run.

A loop whose number of rounds differs between choices of the runtime scalars may be left as soon as its state repeats
from one round to the next: whenever it ends, it is in this state.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

import numpy as np

from meshrt.program.proofs.processes import values
from meshrt.program.proofs.records import (
    ENDED,
    F_CHANGES,
    F_EPOCH,
    F_LAST_RECEIVER,
    F_LAST_SENDER,
    F_PASSED,
    F_PENDING,
    F_QUEUED,
    G_SIZE,
    H_ALIVE,
    H_CANDIDATE,
    H_DECIDED,
    IDLE,
    M_STATE,
    OF_SCALARS,
    P_COUNTERS,
    P_EXIT,
    P_FLAGS,
    P_STATUS,
    P_STEP,
    S_A,
    S_B,
    U_LEFT,
    X_GOT,
)
from meshrt.program.proofs.state import State

#: Moments that are kept; each has an integer for every PE that stood at the head of a loop.
MOST_MOMENTS = 2048


@dataclass(frozen=True, eq=False, slots=True)
class _Moment:
    """Counters of the loops at whose heads PEs stood, and how much the ports had carried."""

    counters: np.ndarray
    got: np.ndarray
    left: np.ndarray


@dataclass
class Induction:
    """Watches one execution."""

    moments: dict[bytes, _Moment] = field(default_factory=dict)
    skipped: int = 0

    def step(self, state: State, paused: np.ndarray) -> None:
        """These PEs stand at heads of loops and nothing else can go on: skip what is alike."""
        at = state.pes[paused, P_STEP]
        places = P_COUNTERS + state.s[at + S_A]
        counters = state.pes[paused, places]
        key = digest_of(state, paused, places)
        now = _Moment(counters, state.sinks[:, X_GOT].copy(), state.sources[:, U_LEFT].copy())
        before = self.moments.get(key)
        if before is not None and (now.counters > before.counters).any():
            self._skip(state, paused, at, places, before, now)
            return
        if len(self.moments) >= MOST_MOMENTS:
            self.moments.clear()
        self.moments[key] = now

    def _skip(
        self, state: State, paused: np.ndarray, at: np.ndarray, places: np.ndarray, before: _Moment, now: _Moment
    ) -> None:
        moved = now.counters - before.counters
        moving = np.flatnonzero(moved > 0)
        pes, at, places, moved = paused[moving], at[moving], places[moving], moved[moving]
        counters = now.counters[moving]
        rest = self._stops(state, pes, at) - counters
        periods = int((rest // moved).min())
        given, taken = now.got - before.got, before.left - now.left
        if (taken > 0).any():
            # The last word of a source may be half empty: stay clear of it.
            periods = min(periods, int(((now.left - 2)[taken > 0] // taken[taken > 0]).min()))
        if periods < 1:
            return
        uniform = bool((moved == 1).all() and (rest == periods).all())
        if (state.s[state.s[at + S_B]] == OF_SCALARS).any():
            self._divide(state, pes, at, counters, rest, uniform and not given.any() and not taken.any())
        state.pes[pes, places] += periods * moved
        state.sinks[:, X_GOT] += periods * given
        state.sources[:, U_LEFT] -= periods * taken
        self.skipped += periods
        if uniform:
            state.pes[pes, P_EXIT] = 1

    def _stops(self, state: State, pes: np.ndarray, at: np.ndarray) -> np.ndarray:
        """The stops of loops for the present candidate, without dividing the others."""
        s = state.s
        result = np.zeros(len(pes), np.int64)
        alive, first = s[H_ALIVE], s[state.starts["alive"]]
        s[H_ALIVE], s[state.starts["alive"]] = 1, s[H_CANDIDATE]
        values(s, s[at + S_B], state.starts["pes"] + pes * state.layout.pe_size, result)
        s[H_ALIVE], s[state.starts["alive"]] = alive, first
        return result

    def _divide(
        self, state: State, pes: np.ndarray, at: np.ndarray, counters: np.ndarray, rest: np.ndarray, merges: bool
    ) -> None:
        """Keep the candidates for which the loops end in the same state: after as many rounds, or all together."""
        s = state.s
        mine, kept = int(s[H_CANDIDATE]), []
        alive = s[state.starts["alive"] :][: s[H_ALIVE]]
        for other in alive.tolist():
            s[H_CANDIDATE] = other
            theirs = self._stops(state, pes, at) - counters
            if other == mine or (theirs == rest).all() or (merges and theirs[0] >= 0 and (theirs == theirs[0]).all()):
                kept.append(other)
        s[H_CANDIDATE] = mine
        alive[: len(kept)] = kept
        s[H_ALIVE] = len(kept)


def digest_of(state: State, paused: np.ndarray, places: np.ndarray) -> bytes:
    """What decides all that follows but what ports carried and counters at ``places`` of ``paused`` PEs."""
    layout = state.layout
    pes = state.pes[:, : layout.names_at].copy()
    pes[paused, places] = 0
    # Of the flags only those matter that some PE still has to look at.
    decided = int(state.s[H_DECIDED])
    behind = np.where((pes[:, P_STATUS] == ENDED) | (pes[:, P_FLAGS] < 0), 0, decided - pes[:, P_FLAGS])
    pes[:, P_FLAGS] = behind
    flags = state.flags[decided - behind.max(initial=0) : decided]
    channels = state.channels[:, :F_EPOCH].copy()
    # Where a line ends follows from its moves; an empty one keeps an old end.
    channels[:, F_PASSED] = channels[:, F_PASSED] > 0
    channels[:, [F_QUEUED, F_LAST_RECEIVER, F_LAST_SENDER]] = 0
    full = np.argwhere(state.queues[:, :, 0] > 0)
    words = state.queues[full[:, 0], full[:, 1]]
    words[np.arange(layout.queue_size)[None, :] > words[:, :1]] = 0
    flying = np.argwhere(state.moves[:, :, M_STATE] != IDLE)
    moves = state.moves[flying[:, 0], flying[:, 1]]
    digest = hashlib.blake2b(digest_size=32)
    for part in (pes, channels, full, words, flying, moves, state.sources[:, U_LEFT] > 0, _changes(state), flags):
        digest.update(np.ascontiguousarray(part).tobytes())
    return digest.digest()


def _changes(state: State) -> np.ndarray:
    """Route changes that wait for own words."""
    waiting = np.flatnonzero(state.channels[:, F_PENDING])
    parts = [
        state.s[first : first + count * G_SIZE]
        for first, count in state.channels[waiting][:, [F_CHANGES, F_PENDING]].tolist()
    ]
    return np.concatenate([waiting, *parts])
