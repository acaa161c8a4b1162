"""Index expressions in compiled code, and what their values say about the runtime scalars.

A proof runs for one choice of the runtime scalars, the *representative*. Wherever an expression reads a scalar, the
other choices for which it has another value are dropped from the class that the proof holds for; they get their own.
"""

from __future__ import annotations

from meshrt.compiled import internal
from meshrt.program.proofs.records import (
    A_ALIVE,
    A_CANDIDATES,
    A_STACK,
    ADD,
    CONSTANT,
    ENTRY,
    EQ,
    ERROR_DIVISION,
    ERROR_TABLE,
    FLOOR_DIVIDE,
    GE,
    GRID,
    GT,
    H_ALIVE,
    H_CANDIDATE,
    H_ERROR,
    H_ERROR_A,
    H_ERROR_B,
    H_ERROR_C,
    H_ERROR_PE,
    H_ERROR_STEP,
    H_FAILED,
    H_SCALARS,
    JUMP_IF_ZERO,
    JUMP_TO,
    LE,
    LT,
    MAXIMUM,
    MINIMUM,
    MODULO,
    MUL,
    NE,
    NO_ERROR,
    OF_SCALARS,
    P_COUNTERS,
    P_STEP,
    PUSH,
    PUSH_COUNTER,
    PUSH_GRID,
    PUSH_SCALAR,
    RETURN,
    SUB,
)


@internal
def fail(s, error, pe, step, a, b, c):
    """Note the first error; everything stops soon after."""
    if s[H_ERROR] == NO_ERROR:
        s[H_ERROR] = error
        s[H_ERROR_PE] = pe
        s[H_ERROR_STEP] = step
        s[H_ERROR_A] = a
        s[H_ERROR_B] = b
        s[H_ERROR_C] = c


@internal
def combine(op, a, b):
    """``a op b``; the divisor is not zero."""
    if op == ADD:
        return a + b
    if op == SUB:
        return a - b
    if op == MUL:
        return a * b
    if op == FLOOR_DIVIDE:
        return a // b
    if op == MODULO:
        return a % b
    if op == MINIMUM:
        return min(a, b)
    if op == MAXIMUM:
        return max(a, b)
    if op == EQ:
        return 1 if a == b else 0
    if op == NE:
        return 1 if a != b else 0
    if op == LT:
        return 1 if a < b else 0
    if op == LE:
        return 1 if a <= b else 0
    if op == GT:
        return 1 if a > b else 0
    if op == GE:
        return 1 if a >= b else 0
    return 0


@internal
def run_bytecode(s, at, pe):
    """The value of the postfix code at ``at`` on a PE; H_FAILED is set where it has none."""
    stack = s[A_STACK]
    top = 0
    s[H_FAILED] = NO_ERROR
    while True:
        op, a = s[at], s[at + 1]
        at += 2
        if op == PUSH:
            s[stack + top] = a
            top += 1
        elif op == PUSH_GRID:
            s[stack + top] = s[pe + a]
            top += 1
        elif op == PUSH_COUNTER:
            s[stack + top] = s[pe + P_COUNTERS + a]
            top += 1
        elif op == PUSH_SCALAR:
            s[stack + top] = s[s[A_CANDIDATES] + s[H_CANDIDATE] * s[H_SCALARS] + a]
            top += 1
        elif op == ENTRY:
            i = s[stack + top - 1]
            if i < 0 or i >= s[a + 1]:
                s[H_FAILED] = ERROR_TABLE
                return 0
            s[stack + top - 1] = s[s[a] + i]
        elif op == JUMP_IF_ZERO:
            top -= 1
            if s[stack + top] == 0:
                at = a
        elif op == JUMP_TO:
            at = a
        elif op == RETURN:
            return s[stack]
        else:
            top -= 1
            if (op == FLOOR_DIVIDE or op == MODULO) and s[stack + top] == 0:
                s[H_FAILED] = ERROR_DIVISION
                return 0
            s[stack + top - 1] = combine(op, s[stack + top - 1], s[stack + top])


@internal
def value_now(s, e, pe):
    """The value of expression e on a PE for the present candidate of the scalars."""
    if s[e] == CONSTANT:
        return s[e + 1]
    if s[e] == GRID:
        return s[pe + s[e + 1]]
    value = run_bytecode(s, s[e + 1], pe)
    if s[H_FAILED] != NO_ERROR:
        fail(s, s[H_FAILED], pe, s[pe + P_STEP], 0, 0, 0)
    return value


@internal
def value_of(s, e, pe):
    """The value of expression e on a PE; candidates for which it differs leave the class."""
    value = value_now(s, e, pe)
    if s[e] == OF_SCALARS:
        mine = s[H_CANDIDATE]
        kept = 0
        for i in range(s[H_ALIVE]):
            other = s[s[A_ALIVE] + i]
            s[H_CANDIDATE] = other
            if other == mine or (run_bytecode(s, s[e + 1], pe) == value and s[H_FAILED] == NO_ERROR):
                s[s[A_ALIVE] + kept] = other
                kept += 1
        s[H_ALIVE] = kept
        s[H_CANDIDATE] = mine
    return value


@internal
def is_below(s, counter, e, pe, ends_early):
    """Whether a loop goes on: the counter is below its stop. Only this, not the stop, divides the candidates.

    A loop that ``ends_early`` is looked at as if it had ended here as well: those for which it ends stay.
    """
    below = counter < value_now(s, e, pe)
    if s[e] == OF_SCALARS:
        mine = s[H_CANDIDATE]
        kept = 0
        for i in range(s[H_ALIVE]):
            other = s[s[A_ALIVE] + i]
            s[H_CANDIDATE] = other
            theirs = counter < run_bytecode(s, s[e + 1], pe)
            same = theirs == below or (below and ends_early)
            if other == mine or (same and s[H_FAILED] == NO_ERROR):
                s[s[A_ALIVE] + kept] = other
                kept += 1
        s[H_ALIVE] = kept
        s[H_CANDIDATE] = mine
    return below


@internal
def rest_of(s, e, pe, counter, period):
    """Rounds left to the stop, less whole periods. Candidates for which this differs leave the class."""
    rest = max(0, value_now(s, e, pe) - counter) % period
    if s[e] == OF_SCALARS:
        mine = s[H_CANDIDATE]
        kept = 0
        for i in range(s[H_ALIVE]):
            other = s[s[A_ALIVE] + i]
            s[H_CANDIDATE] = other
            theirs = max(0, run_bytecode(s, s[e + 1], pe) - counter) % period
            if other == mine or (theirs == rest and s[H_FAILED] == NO_ERROR):
                s[s[A_ALIVE] + kept] = other
                kept += 1
        s[H_ALIVE] = kept
        s[H_CANDIDATE] = mine
    return rest
