"""Routes that are rewritten where words of other PEs pass: does every timing give the same?

A router passes words of one side until its PE rewrites the route. Which words those are must follow from what happens
before what, not from how long it takes. Two things could differ in another timing: a word that should pass before a
change comes late, or one that should pass after it comes early. Both are tried, router by router, in an execution
where everything else goes first:

- *lazy words*: words of other PEs pass this router only when nothing else in the region can go on, one at a time. A
  change of the route that does not wait for a word, by whatever way the PE learns of it, then comes before the word;
- *lazy route*: the PE rewrites this route only when nothing else can go on. A word that does not wait for the change
  is then there before it, and passes.

If the same number of words passes between the same changes in both, then each word passes before the change that
follows it and arrives after those that must come before it, in every timing: an execution in which one thing waits
does everything that does not depend on it. Routers whose words cannot differ need no trial: those that, once they
accept a neighbour, never change again, and that accept it once.

A word and a change that race are neighbours in the order of their router. Where flags end loops, the trials are made
for sequences of flags in which any round follows any that it can follow (:meth:`.flags.Tree.sequences`), so that all
neighbours come up; nobody stops at the end of a round, so that PEs run ahead of others as far as they can.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from meshrt.program.proofs.borders import NO_BORDERS, Borders
from meshrt.program.proofs.flags import Flags
from meshrt.program.proofs.loading import Prepared, fresh_state
from meshrt.program.proofs.processes import run
from meshrt.program.proofs.records import (
    F_LAZY,
    F_LOG,
    F_PASSED,
    H_DECIDED,
    H_ERROR,
    H_LAZY,
    H_NO_STOPS,
    H_STEPS,
    LAZY_ROUTE,
    LAZY_WORDS,
)
from meshrt.program.proofs.state import State

#: Steps of all trials of one class of scalars together.
MOST_STEPS = 500_000_000


def racing(
    prepared: Prepared, candidates: np.ndarray, alive: np.ndarray, guarded: np.ndarray, flags: Iterable[Flags]
) -> tuple[int | None, str]:
    """The first channel whose words depend on timing and an empty text, or None and why that could not be decided.

    ``alive`` are candidates of the scalars, ``guarded`` the channels that need trials, ``flags`` the sequences of
    values of flags for which they are made.
    """
    spent = 0
    for values in flags:
        trials = Trials(prepared, candidates, alive, values)
        if spent + trials.spent > MOST_STEPS:
            return None, TOO_MANY
        channel, why = trials.differing(guarded, MOST_STEPS - spent)
        if channel is not None or why:
            return channel, why
        spent += trials.spent
    return None, ""


#: Why a proof is given up.
TOO_MANY = f"to try out its route changes takes more than {MOST_STEPS:,} steps"


class Trials:
    """Executions for one sequence of flags, without induction, in which one channel after the other is lazy.

    ``plain`` is the one in which none is; ``spent`` are the steps of all.
    """

    def __init__(
        self,
        prepared: Prepared,
        candidates: np.ndarray,
        alive: np.ndarray,
        flags: Flags,
        borders: Borders = NO_BORDERS,
    ):
        self._prepared = prepared
        self._candidates = candidates
        self._alive = alive
        self._flags = flags
        self._borders = borders
        self.spent = 0
        self.plain = self._run(0, 0)

    def differing(self, guarded: np.ndarray, most_steps: int) -> tuple[int | None, str]:
        """The first of the channels whose words pass otherwise when it is lazy, or None and why that is not known."""
        seen = [F_LOG, F_PASSED]
        for f in guarded.tolist():
            for lazy in (LAZY_WORDS, LAZY_ROUTE):
                if self.spent > most_steps or self.plain.s[H_ERROR]:
                    return None, TOO_MANY
                trial = self._run(f, lazy)
                if trial.s[H_ERROR] or (trial.channels[:, seen] != self.plain.channels[:, seen]).any():
                    return f, ""
        return None, ""

    def _run(self, f: int, lazy: int) -> State:
        """An execution in which channel f is lazy; flags beyond those given end their loops."""
        state = fresh_state(self._prepared, self._candidates, self._alive, self._borders)
        state.s[H_NO_STOPS] = 1
        state.s[H_DECIDED] = len(self._flags)
        state.flags[: len(self._flags)] = self._flags
        if lazy:
            state.s[H_LAZY] = state.starts["channels"] + f * state.layout.channel_size
            state.channels[f, F_LAZY] = lazy
        while run(state.s, MOST_STEPS):
            if state.s[H_STEPS] > MOST_STEPS:
                break
        self.spent += int(state.s[H_STEPS])
        return state
