"""Index expressions as code for a stack machine, so that a PE evaluates its own while it runs.

The code is made by :mod:`meshrt.engines.reference.expression_code`. As in
:mod:`meshrt.program.expr`, both sides of a ``select`` are evaluated and a table read
outside its bounds reads entry 0.
"""

from __future__ import annotations

from meshrt.compiled import inline, internal
from meshrt.engines.reference.core.queues import fail
from meshrt.engines.reference.core.records import (
    A_CODE,
    A_COUNTERS,
    A_ENVIRONMENT,
    B_DEPTH,
    B_NAMES,
    ERROR_DIVISION,
    ERROR_NAME,
    FINISHED,
    H_STATUS,
    ZERO,
)

# Operations: the operators first, in the order of this table.
OPERATORS = ("+", "-", "*", "//", "%", "min", "max", "==", "!=", "<", "<=", ">", ">=")
(ADD, SUB, MUL, DIV, MOD, MIN, MAX, EQ, NE, LT, LE, GT, GE) = range(13)
(CONSTANT, ENVIRONMENT, COUNTER, ELEMENT, TABLE, SELECT, UNKNOWN, END) = range(13, 21)
#: In the place of an expression: there is none.
ABSENT = -2
#: Values that an expression may hold at once, and element indices that it may read.
DEPTH, INDICES = 64, 16


@inline
def value_of(r, expression, pe, stack):
    """An expression for a PE as it is now: an odd number says it, half an even one is where its code starts."""
    if expression & 1:
        return expression >> 1
    return evaluate(r, expression >> 1, pe, stack)


@internal
def evaluate(r, at, pe, stack):
    """The expression whose code starts at ``at``, for a PE as it is now.

    ``stack`` is the index of scratch entries: DEPTH values, then the element indices.
    """
    code = r[A_CODE] + at
    top = stack - 1
    while True:
        op, operand = r[code], r[code + 1]
        code += 2
        if op == CONSTANT:
            top += 1
            r[top] = operand
        elif op == ENVIRONMENT:
            top += 1
            r[top] = r[r[A_ENVIRONMENT] + pe * r[B_NAMES] + operand]
        elif op == COUNTER:
            top += 1
            r[top] = r[r[A_COUNTERS] + pe * r[B_DEPTH] + operand]
        elif op == END:
            return r[top]
        elif op == ELEMENT:
            top += 1
            r[top] = r[stack + DEPTH + operand]
        elif op == TABLE:
            table = r[A_CODE] + operand
            index = r[top]
            r[top] = r[table + 1 + index] if 0 <= index < r[table] else r[table + 1]
        elif op == SELECT:
            top -= 2
            r[top] = r[top + 1] if r[top] != 0 else r[top + 2]
        elif op == UNKNOWN:
            fail(r, ERROR_NAME, pe, ZERO - 1, ZERO - 1, ZERO, ZERO)
            return ZERO
        else:
            top -= 1
            r[top] = combine(r, op, r[top], r[top + 1], pe)
            if r[H_STATUS] != FINISHED:
                return ZERO


@internal
def combine(r, op, a, b, pe):
    """``a op b``; division and remainder round toward minus infinity."""
    if op == ADD:
        return a + b
    if op == SUB:
        return a - b
    if op == MUL:
        return a * b
    if op == DIV or op == MOD:
        if b == 0:
            fail(r, ERROR_DIVISION, pe, ZERO - 1, ZERO - 1, ZERO, ZERO)
            return ZERO
        return a // b if op == DIV else a % b
    if op == MIN:
        return min(a, b)
    if op == MAX:
        return max(a, b)
    holds = (
        (op == EQ and a == b)
        or (op == NE and a != b)
        or (op == LT and a < b)
        or (op == LE and a <= b)
        or (op == GT and a > b)
        or (op == GE and a >= b)
    )
    return ZERO + 1 if holds else ZERO
