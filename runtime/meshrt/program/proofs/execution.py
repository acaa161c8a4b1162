"""One untimed execution of a region: run what can run, skip rounds that are alike, until nothing moves."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from meshrt.program.proofs.induction import Induction, NotPeriodic
from meshrt.program.proofs.loading import Prepared, fresh_state
from meshrt.program.proofs.processes import resume, run, run_alone
from meshrt.program.proofs.records import (
    ENDED,
    H_ALIVE,
    H_ENDED,
    H_ERROR,
    H_PES,
    H_READY_TAIL,
    H_STEPS,
    P_STATUS,
    PAUSED,
)
from meshrt.program.proofs.state import State
from meshrt.progress import Progress

#: Steps between two signs of life.
_BREATH = 20_000_000


@dataclass(frozen=True, eq=False, slots=True)
class Outcome:
    """How an execution ended, and for which candidates of the scalars it decides.

    ``complete`` is False where it was given up: after too many steps, or at an ``until`` whose rounds differ.
    """

    state: State
    decided: np.ndarray
    complete: bool
    why: str
    skipped: int

    @property
    def steps(self) -> int:
        """Steps that were run."""
        return int(self.state.s[H_STEPS])


def execute(
    prepared: Prepared, candidates: np.ndarray, alive: np.ndarray, most_steps: int, progress: Progress, done: int = 0
) -> Outcome:
    """Run a region for the last of the ``alive`` candidates; ``done`` steps were run before by others."""
    state = fresh_state(prepared, candidates, alive)
    s = state.s
    induction = Induction()

    def outcome(complete: bool, why: str = "") -> Outcome:
        decided = s[state.starts["alive"] :][: s[H_ALIVE]].copy()
        return Outcome(state, decided, complete, why, induction.skipped)

    fresh, ready, ended = state.pes.copy(), s[H_READY_TAIL], s[H_ENDED]
    for pe in range(state.layout.pes):
        if not s[H_ERROR] and state.pes[pe, P_STATUS] != ENDED:
            run_alone(s, state.starts["pes"] + pe * state.layout.pe_size)
    if s[H_ERROR]:
        return outcome(True)
    # Now all of them with the fabric between them.
    state.pes[:] = fresh
    s[H_READY_TAIL], s[H_ENDED] = ready, ended
    while not s[H_ERROR]:
        while run(s, _BREATH):
            progress.advance(done + int(s[H_STEPS]))
            if s[H_STEPS] > most_steps:
                return outcome(False, f"it takes more than {most_steps:,} steps")
        if s[H_ERROR] or s[H_ENDED] == s[H_PES] or not (state.pes[:, P_STATUS] == PAUSED).any():
            break
        if s[H_STEPS] > most_steps:
            return outcome(False, f"it takes more than {most_steps:,} steps")
        try:
            induction.step(state)
        except NotPeriodic:
            return outcome(False, "the rounds of an 'until' differ")
        resume(s)
    return outcome(True)
