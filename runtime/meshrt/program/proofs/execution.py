"""One untimed execution of a region: run what can run, skip rounds that are alike, until nothing moves.

Where a flag may end a counted loop, what comes behind the loop is run from the end of each round, as if that had been
the last, before the execution goes on with the next round. A round that ends in the same state as one before needs no
second look, so loops whose rounds are alike cost one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from meshrt.program.proofs.induction import Induction, NotPeriodic, digest_of
from meshrt.program.proofs.loading import Prepared, fresh_state
from meshrt.program.proofs.processes import resume, run, run_alone
from meshrt.program.proofs.records import (
    ENDED,
    H_ALIVE,
    H_ENDED,
    H_ERROR,
    H_GUARDED,
    H_PES,
    H_READY_TAIL,
    H_STEPS,
    KEPT_FIRST,
    LEAVE,
    P_COUNTERS,
    P_EXIT,
    P_STATUS,
    P_STEP,
    PAUSED,
    S_A,
    S_KIND,
    S_LINE,
)
from meshrt.program.proofs.state import State
from meshrt.progress import Progress

#: Steps between two signs of life.
_BREATH = 20_000_000


@dataclass(frozen=True, eq=False, slots=True)
class Outcome:
    """How an execution ended, and for which candidates of the scalars it decides.

    ``complete`` is False where it was given up: after too many steps, or at an ``until`` whose rounds differ. ``where``
    says in which round a flag ended a loop, if what followed went wrong.
    """

    state: State
    decided: np.ndarray
    complete: bool
    why: str
    where: str
    skipped: int

    @property
    def steps(self) -> int:
        """Steps that were run."""
        return int(self.state.s[H_STEPS])


class _GivenUp(Exception):
    """The execution cannot decide; the text says why."""


class _Unsound(Exception):
    """What follows a loop that a flag has ended goes wrong; the state is the one in which it does."""


def execute(
    prepared: Prepared,
    candidates: np.ndarray,
    alive: np.ndarray,
    most_steps: int,
    progress: Progress,
    sound: Callable[[State], bool],
    done: int = 0,
) -> Outcome:
    """Run a region for the last of the ``alive`` candidates; ``done`` steps were run before by others.

    ``sound`` says whether a state in which nothing moves any more is as it should be.
    """
    state = fresh_state(prepared, candidates, alive)
    s = state.s
    execution = _Execution(state, most_steps, progress, sound, done)

    def outcome(complete: bool, why: str = "") -> Outcome:
        decided = s[state.starts["alive"] :][: s[H_ALIVE]].copy()
        return Outcome(state, decided, complete, why, execution.where, execution.skipped)

    fresh, ready, ended = state.pes.copy(), s[H_READY_TAIL], s[H_ENDED]
    for pe in range(state.layout.pes):
        if not s[H_ERROR] and state.pes[pe, P_STATUS] != ENDED:
            run_alone(s, state.starts["pes"] + pe * state.layout.pe_size)
    if s[H_ERROR]:
        return outcome(True)
    # Now all of them with the fabric between them.
    state.pes[:] = fresh
    s[H_READY_TAIL], s[H_ENDED] = ready, ended
    try:
        execution.finish()
    except _Unsound:
        return outcome(True)
    except _GivenUp as why:
        return outcome(False, str(why))
    except NotPeriodic:
        return outcome(False, "the rounds of an 'until' differ")
    return outcome(True)


@dataclass
class _Execution:
    """One execution under way. ``proven`` are the states behind whose rounds a loop may end."""

    state: State
    most_steps: int
    progress: Progress
    sound: Callable[[State], bool]
    done: int
    skipped: int = 0
    where: str = ""
    proven: set[bytes] = field(default_factory=set)

    def finish(self) -> None:
        """Run on until nothing moves or something is wrong."""
        state, s, induction = self.state, self.state.s, Induction()
        while not s[H_ERROR]:
            while run(s, _BREATH):
                self.progress.advance(self.done + int(s[H_STEPS]))
                self._check_steps()
            paused = np.flatnonzero(state.pes[:, P_STATUS] == PAUSED)
            if s[H_ERROR] or s[H_ENDED] == s[H_PES] or not len(paused):
                break
            self._check_steps()
            leaves = s[state.pes[paused, P_STEP] + S_KIND] == LEAVE
            # A flag has reached every PE by the end of a round, so they all come there first.
            if leaves.all():
                self._leave(paused)
            else:
                induction.step(state, paused[~leaves])
            resume(s, leaves.all())
        self.skipped += induction.skipped

    def _check_steps(self) -> None:
        if self.state.s[H_STEPS] > self.most_steps:
            raise _GivenUp(f"it takes more than {self.most_steps:,} steps")

    def _leave(self, paused: np.ndarray) -> None:
        """PEs stand at the end of a round that may be the last: see what comes if it is, and come back."""
        state, s, layout = self.state, self.state.s, self.state.layout
        at = state.pes[paused, P_STEP]
        places = P_COUNTERS + s[at + S_A]
        first = layout.kept_at + s[at + S_A] * layout.kept_size + KEPT_FIRST
        rounds = state.pes[paused, places] - state.pes[paused, first]
        if (rounds != rounds[0]).any():
            raise _GivenUp("a flag may end a loop of which PEs are in different rounds")
        key = digest_of(state, paused, places)
        if key in self.proven:
            return
        self.proven.add(key)
        before, where = s.copy(), self.where
        self.where = f"the flag of the loop at line {s[at[0] + S_LINE]} ends it after round {rounds[0] + 1}"
        state.pes[paused, P_EXIT] = 1
        resume(s, True)
        self.finish()
        if not self.sound(state):
            raise _Unsound
        if s[H_GUARDED] > before[H_GUARDED]:
            raise _GivenUp("behind a loop that a flag may end, a route is rewritten under words of other PEs")
        self.where = where
        alive = slice(state.starts["alive"], state.starts["alive"] + s[H_ALIVE])
        before[[H_STEPS, H_ALIVE]], before[alive] = s[[H_STEPS, H_ALIVE]], s[alive]
        s[:] = before
