"""Untimed executions of a region: run what can run, skip rounds that are alike, until nothing moves.

One execution decides for all timings; where flags end loops, one for each way that they can go (:mod:`.flags`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from meshrt.program.proofs.alone import run_each_alone
from meshrt.program.proofs.flags import Flags, Tree
from meshrt.program.proofs.induction import Induction, digest_of
from meshrt.program.proofs.loading import Prepared, fresh_state
from meshrt.program.proofs.processes import resume, run
from meshrt.program.proofs.records import (
    F_CALL,
    F_GUARDED,
    H_ALIVE,
    H_DECIDED,
    H_ENDED,
    H_ERROR,
    H_PES,
    H_READY_TAIL,
    H_STEPS,
    KEPT_FIRST,
    LEAVE,
    MOST_FLAGS,
    P_COUNTERS,
    P_STATUS,
    P_STEP,
    PAUSED,
    S_A,
    S_B,
    S_E,
    S_KIND,
    S_LINE,
    S_SIZE,
    U_LEFT,
    X_GOT,
)
from meshrt.program.proofs.state import State
from meshrt.progress import Progress

#: States that are kept where the shortest way comes first.
MOST_LEFT = 16
#: Steps between two signs of life.
_BREATH = 20_000_000


@dataclass(frozen=True, eq=False, slots=True)
class Outcome:
    """How the executions ended, and for which candidates of the scalars they decide.

    ``state`` is the end of one of them: of the first that went wrong, if any did, and ``where`` says then which flags
    ended loops. ``complete`` is False where they were given up, and ``why`` says so. ``flags`` are sequences of flags,
    and ``guarded`` the channels with route changes, that are left to :mod:`.races`.
    """

    state: State
    decided: np.ndarray
    complete: bool
    why: str
    where: str
    skipped: int
    guarded: np.ndarray
    flags: tuple[Flags, ...]

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
    why = ""
    fresh, ready, ended = state.pes.copy(), s[H_READY_TAIL], s[H_ENDED]
    try:
        if not run_each_alone(state, most_steps):
            raise _GivenUp(f"it takes more than {most_steps:,} steps")
        if not s[H_ERROR]:
            # Now all of them with the fabric between them.
            state.pes[:] = fresh
            s[H_READY_TAIL], s[H_ENDED] = ready, ended
            execution.follow_flags()
    except _Unsound:
        pass
    except _GivenUp as given_up:
        why = str(given_up)
    decided = s[state.starts["alive"] :][: s[H_ALIVE]].copy()
    flags = tuple(execution.tree.sequences()) or ((),)
    return Outcome(state, decided, not why, why, execution.where, execution.skipped, execution.guarded(), flags)


@dataclass(frozen=True, eq=False, slots=True)
class _Left:
    """A state at a flag, one of whose values, ``flag``, is still to be followed."""

    s: np.ndarray
    flag: int
    where: str


@dataclass
class _Execution:
    """Executions under way, one after the other in one ``state``."""

    state: State
    most_steps: int
    progress: Progress
    sound: Callable[[State], bool]
    done: int
    skipped: int = 0
    where: str = ""
    tree: Tree = field(default_factory=Tree)
    _left: list[_Left] = field(default_factory=list)
    _ended: np.ndarray | None = None
    _calls: np.ndarray | None = None

    def follow_flags(self) -> None:
        """Run all executions, up to the first that goes wrong, and leave the end of one of them."""
        while True:
            ended = self._run_to_the_end()
            self._note_routes()
            if ended:
                self.tree.end(self._flags())
                if not self.tree.nodes:
                    return
                if not self.sound(self.state):
                    raise _Unsound
                self._ended = self.state.s.copy()
            if not self._left:
                break
            left = self._left.pop()
            self._restore(left.s)
            self.where = left.where
            self._decide(left.flag)
        assert self._ended is not None
        self._restore(self._ended)
        self.where = ""

    def guarded(self) -> np.ndarray:
        """Channels whose words might pass before or after a change of the route."""
        self._note_routes()
        assert self._calls is not None
        return np.flatnonzero(self._calls)

    def _note_routes(self) -> None:
        """Keep what one execution has learnt of channels for the others."""
        channels = self.state.channels
        mine = channels[:, F_GUARDED] * np.maximum(channels[:, F_CALL], 1)
        self._calls = mine if self._calls is None else np.where(self._calls > 0, self._calls, mine)
        known = self._calls > 1
        channels[known, F_CALL] = self._calls[known]

    def _flags(self) -> Flags:
        return tuple(self.state.flags[: self.state.s[H_DECIDED]].tolist())

    def _restore(self, before: np.ndarray) -> None:
        """Go back to a state, with the steps that were run since and the candidates that are left."""
        s = self.state.s
        alive = slice(self.state.starts["alive"], self.state.starts["alive"] + s[H_ALIVE])
        before[[H_STEPS, H_ALIVE]], before[alive] = s[[H_STEPS, H_ALIVE]], s[alive]
        s[:] = before

    def _decide(self, flag: int) -> None:
        """The flag that PEs stand at has this value."""
        state, s = self.state, self.state.s
        state.flags[s[H_DECIDED]] = flag
        s[H_DECIDED] += 1
        resume(s, True)

    def _run_to_the_end(self) -> bool:
        """Run on until nothing moves; False where that goes on as another execution did."""
        state, s, induction = self.state, self.state.s, Induction()
        while True:
            while run(s, _BREATH):
                self.progress.advance(self.done + int(s[H_STEPS]))
                self._check_steps()
            paused = np.flatnonzero(state.pes[:, P_STATUS] == PAUSED)
            if s[H_ERROR] or s[H_ENDED] == s[H_PES] or not len(paused):
                break
            self._check_steps()
            leaves = s[state.pes[paused, P_STEP] + S_KIND] == LEAVE
            # A flag is looked at when nothing else can go on.
            if not leaves.all():
                induction.step(state, paused[~leaves])
                resume(s, False)
            elif not self._look(paused):
                return False
        self.skipped += induction.skipped
        return True

    def _check_steps(self) -> None:
        if self.state.s[H_STEPS] > self.most_steps:
            raise _GivenUp(f"it takes more than {self.most_steps:,} steps")

    def _look(self, paused: np.ndarray) -> bool:
        """PEs stand at a flag: choose a value, and leave the other for later. False where this node is known."""
        state, s = self.state, self.state.s
        if s[H_DECIDED] == MOST_FLAGS:
            raise _GivenUp(f"its loops look at more than {MOST_FLAGS:,} flags")
        at = state.pes[paused, P_STEP]
        if (s[at + S_E] != s[at[0] + S_E]).any():
            raise _GivenUp("its PEs look at different flags at once")
        # Behind the flag the round ends, and its head asks whether there is another.
        bounds = s[s[at + S_SIZE + S_B] + S_B]
        if (bounds != bounds[0]).any():
            raise _GivenUp("its PEs end a loop by different bounds and one flag")
        places, read = P_COUNTERS + s[at + S_A], s[at + S_B] == 1
        key = self._key(paused[~read], places[~read])
        if not self.tree.visit(key, int(state.pes[paused, places].min()), self._flags()):
            return False
        if self.tree.leave(self._key(paused, places)):
            first = state.layout.kept_at + s[at[0] + S_A] * state.layout.kept_size + KEPT_FIRST
            rounds = state.pes[paused[0], places[0]] - state.pes[paused[0], first] + 1
            where = f"the flag of the loop at line {s[at[0] + S_LINE]} ends it after round {rounds}"
            # The shortest way first, as long as there is not too much left behind.
            if read.any() or len(self._left) < MOST_LEFT:
                self._left.append(_Left(s.copy(), 0, self.where))
                self.where = where
                self._decide(1)
                return True
            self._left.append(_Left(s.copy(), 1, where))
        self._decide(0)
        return True

    def _key(self, paused: np.ndarray, places: np.ndarray) -> bytes:
        """The state but for some counters."""
        state = self.state
        return digest_of(state, paused, places) + state.sinks[:, X_GOT].tobytes() + state.sources[:, U_LEFT].tobytes()
