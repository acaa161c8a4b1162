"""One untimed execution of a region: run what can run, skip rounds that are alike, until nothing moves."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from meshrt.program.proofs.induction import Induction, NotPeriodic
from meshrt.program.proofs.loading import Prepared, fresh_state
from meshrt.program.proofs.processes import resume, run
from meshrt.program.proofs.records import (
    H_ALIVE,
    H_ENDED,
    H_ERROR,
    H_PES,
    H_STEPS,
    P_STATUS,
    PAUSED,
    State,
)
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
        return int(self.state.header[H_STEPS])


def execute(
    prepared: Prepared, candidates: np.ndarray, alive: np.ndarray, most_steps: int, progress: Progress, done: int = 0
) -> Outcome:
    """Run a region for the last of the ``alive`` candidates; ``done`` steps were run before by others."""
    s = fresh_state(prepared, candidates, alive)
    rows = [prepared.buffers.names[name] for name in prepared.buffers.rotating]
    induction = Induction(np.array(rows, np.int64))

    def outcome(complete: bool, why: str = "") -> Outcome:
        return Outcome(s, s.alive[: s.header[H_ALIVE]].copy(), complete, why, induction.skipped)

    while not s.header[H_ERROR]:
        while run(s, _BREATH):
            progress.advance(done + int(s.header[H_STEPS]))
            if s.header[H_STEPS] > most_steps:
                return outcome(False, f"it takes more than {most_steps:,} steps")
        if s.header[H_ERROR] or s.header[H_ENDED] == s.header[H_PES]:
            break
        if s.header[H_STEPS] > most_steps:
            return outcome(False, f"it takes more than {most_steps:,} steps")
        if not (s.pes[:, P_STATUS] == PAUSED).any():
            break
        try:
            induction.step(s)
        except NotPeriodic:
            return outcome(False, "the rounds of an 'until' differ")
        resume(s)
    return outcome(True)
