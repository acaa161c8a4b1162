"""Index expressions in compiled code, and what their values say about the runtime scalars.

A proof runs for one choice of the runtime scalars, the *representative*. Wherever an expression reads a scalar, the
other choices for which it has another value are dropped from the class that the proof holds for; they get their own.
"""

from __future__ import annotations

from meshrt.program.proofs.compiled import internal
from meshrt.program.proofs.records import (
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
    if s.header[H_ERROR] == NO_ERROR:
        s.header[H_ERROR] = error
        s.header[H_ERROR_PE] = pe
        s.header[H_ERROR_STEP] = step
        s.header[H_ERROR_A] = a
        s.header[H_ERROR_B] = b
        s.header[H_ERROR_C] = c


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
    """The value of the postfix code at ``at`` for one PE; H_FAILED is set where it has none."""
    code, stack = s.bytecode, s.stack
    top = 0
    s.header[H_FAILED] = NO_ERROR
    while True:
        op, a = code[at, 0], code[at, 1]
        at += 1
        if op == PUSH:
            stack[top] = a
            top += 1
        elif op == PUSH_GRID:
            stack[top] = s.grids[a, pe]
            top += 1
        elif op == PUSH_COUNTER:
            stack[top] = s.counters[pe, a]
            top += 1
        elif op == PUSH_SCALAR:
            stack[top] = s.candidates[s.header[H_CANDIDATE], a]
            top += 1
        elif op == ENTRY:
            i = stack[top - 1]
            if i < 0 or i >= s.tables[a, 1]:
                s.header[H_FAILED] = ERROR_TABLE
                return 0
            stack[top - 1] = s.entries[s.tables[a, 0] + i]
        elif op == JUMP_IF_ZERO:
            top -= 1
            if stack[top] == 0:
                at = a
        elif op == JUMP_TO:
            at = a
        elif op == RETURN:
            return stack[0]
        else:
            top -= 1
            if (op == FLOOR_DIVIDE or op == MODULO) and stack[top] == 0:
                s.header[H_FAILED] = ERROR_DIVISION
                return 0
            stack[top - 1] = combine(op, stack[top - 1], stack[top])


@internal
def value_now(s, e, pe):
    """The value of expression e on a PE for the present candidate of the scalars."""
    if s.exprs[e, 0] == CONSTANT:
        return s.exprs[e, 1]
    if s.exprs[e, 0] == GRID:
        return s.grids[s.exprs[e, 1], pe]
    value = run_bytecode(s, s.exprs[e, 1], pe)
    if s.header[H_FAILED] != NO_ERROR:
        fail(s, s.header[H_FAILED], pe, s.pes[pe, P_STEP], 0, 0, 0)
    return value


@internal
def value_of(s, e, pe):
    """The value of expression e on a PE; candidates for which it differs leave the class."""
    value = value_now(s, e, pe)
    if s.exprs[e, 0] == OF_SCALARS:
        mine = s.header[H_CANDIDATE]
        kept = 0
        for i in range(s.header[H_ALIVE]):
            other = s.alive[i]
            s.header[H_CANDIDATE] = other
            if other == mine or (run_bytecode(s, s.exprs[e, 1], pe) == value and s.header[H_FAILED] == NO_ERROR):
                s.alive[kept] = other
                kept += 1
        s.header[H_ALIVE] = kept
        s.header[H_CANDIDATE] = mine
    return value


@internal
def is_below(s, counter, e, pe):
    """Whether a loop goes on: the counter is below its stop. Only this, not the stop, divides the candidates."""
    below = counter < value_now(s, e, pe)
    if s.exprs[e, 0] == OF_SCALARS:
        mine = s.header[H_CANDIDATE]
        kept = 0
        for i in range(s.header[H_ALIVE]):
            other = s.alive[i]
            s.header[H_CANDIDATE] = other
            same = (counter < run_bytecode(s, s.exprs[e, 1], pe)) == below and s.header[H_FAILED] == NO_ERROR
            if other == mine or same:
                s.alive[kept] = other
                kept += 1
        s.header[H_ALIVE] = kept
        s.header[H_CANDIDATE] = mine
    return below
