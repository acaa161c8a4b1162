"""What each PE does to its own memory and its handles, alone, as if words were always there."""

from __future__ import annotations

import hashlib

import numpy as np

from meshrt.program.proofs.flags import Tree
from meshrt.program.proofs.processes import run_alone
from meshrt.program.proofs.records import (
    ENDED,
    ERROR_UNLIKE,
    H_DECIDED,
    H_EACH,
    H_ERROR,
    H_STEPS,
    IDLE,
    M_STATE,
    MOST_FLAGS,
    NO_ERROR,
    P_COUNTERS,
    P_FLAGS,
    P_STATUS,
    P_STEP,
    PAUSED,
    RUNNING,
    S_A,
    S_B,
)
from meshrt.program.proofs.state import State


def run_each_alone(state: State, most_steps: int) -> bool:
    """Run every PE to its end, or to the first error; False where that takes too many steps.

    Where the rounds of a loop that a flag may end leave a PE's buffers differently, all values of the flags are
    followed.
    """
    s = state.s
    for pe in range(state.layout.pes):
        if state.pes[pe, P_STATUS] == ENDED:
            continue
        fresh = state.pes[pe].copy()
        run_alone(s, _address(state, pe))
        if s[H_ERROR] == ERROR_UNLIKE:
            s[H_ERROR] = NO_ERROR
            state.pes[pe] = fresh
            if not _follow_flags(state, pe, most_steps):
                return False
        if s[H_ERROR]:
            return True
    return True


def _address(state: State, pe: int) -> int:
    return state.starts["pes"] + pe * state.layout.pe_size


def _follow_flags(state: State, pe: int, most_steps: int) -> bool:
    """Run one PE for all values of the flags; False where that takes too many steps."""
    s, row, tree = state.s, state.pes[pe], Tree()
    s[H_EACH], s[H_DECIDED] = 1, 0
    #: States at flags, from which the loop is still to go on.
    left: list[tuple[np.ndarray, int]] = []
    while not s[H_ERROR]:
        run_alone(s, _address(state, pe))
        number = int(s[H_DECIDED])
        if s[H_STEPS] > most_steps or number == MOST_FLAGS:
            return False
        if row[P_STATUS] == PAUSED and tree.visit(*_node(state, pe), tuple(state.flags[:number].tolist())):
            left.append((row.copy(), number))
            state.flags[number] = 1
        elif left and not s[H_ERROR]:
            row[:], number = left.pop()
            state.flags[number] = 0
        else:
            break
        s[H_DECIDED] = number + 1
        row[P_STATUS] = RUNNING
    s[H_EACH] = s[H_DECIDED] = 0
    return True


def _node(state: State, pe: int) -> tuple[bytes, int]:
    """The state of a PE at a flag, and the counter of the loop."""
    row = state.pes[pe, : state.layout.moves_at].copy()
    moves = state.moves[pe].copy()
    moves[moves[:, M_STATE] == IDLE] = 0
    at = row[P_STEP]
    place = P_COUNTERS + int(state.s[at + S_A])
    counter = int(row[place])
    row[P_FLAGS] = 0
    if not state.s[at + S_B]:
        row[place] = 0
    return hashlib.blake2b(row.tobytes() + moves.tobytes(), digest_size=32).digest(), counter
