"""Index expressions as code for a stack machine, so that a PE evaluates its own while it runs.

An expression is compiled for one place of one code: names become slots of the PE's
environment, numbers of loop counters or of element indices; runtime scalars become
numbers. As in :mod:`meshrt.program.expr`, both sides of a ``select`` are evaluated and a
table read outside its bounds reads entry 0.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from meshrt.engines.compiled import internal
from meshrt.engines.reference.queues import fail
from meshrt.engines.reference.records import (
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
from meshrt.program.expr import Binary, Expr, Int, Name, Select, TableRef

# Operations: the operators first, in the order of this table.
OPERATORS = ("+", "-", "*", "//", "%", "min", "max", "==", "!=", "<", "<=", ">", ">=")
(ADD, SUB, MUL, DIV, MOD, MIN, MAX, EQ, NE, LT, LE, GT, GE) = range(13)
(CONSTANT, ENVIRONMENT, COUNTER, ELEMENT, TABLE, SELECT, UNKNOWN, END) = range(13, 21)
#: Values that an expression may hold at once, and element indices that it may read.
DEPTH, INDICES = 64, 16


class ExpressionCode:
    """Collects the code of all expressions of a program. Equal expressions at like places share theirs."""

    def __init__(self) -> None:
        self.code: list[int] = []
        self._known: dict[tuple, int] = {}
        self._tables: dict[tuple[int, str], int] = {}

    def add_table(self, region: int, name: str, entries: Sequence[int]) -> None:
        """A table of a region: its length, then its entries."""
        self._tables[region, name] = len(self.code)
        self.code += [len(entries), *(int(e) for e in entries)]

    def add(
        self, expr: Expr, region: int, counters: Sequence[str], slots: Mapping[str, int], scalars: Mapping[str, int]
    ) -> int:
        """Where the code of an expression starts; ``counters`` are those of the loops around, outermost first."""
        key = (expr, region, tuple(counters))
        found = self._known.get(key)
        if found is None:
            code: list[int] = []
            self._emit(expr, region, {name: i for i, name in enumerate(counters)}, slots, scalars, code)
            found = self._known[key] = len(self.code)
            self.code += [*code, END]
        return found

    def _emit(self, expr, region, counters, slots, scalars, code: list[int]) -> None:
        match expr:
            case Int(value):
                code += [CONSTANT, value]
            case Name(name) if name in counters:
                code += [COUNTER, counters[name]]
            case Name(name) if name in scalars:
                code += [CONSTANT, scalars[name]]
            case Name(name) if name in slots:
                code += [ENVIRONMENT, slots[name]]
            case Name(name) if name[:1] == "i" and name[1:].isdigit() and int(name[1:]) < INDICES:
                code += [ELEMENT, int(name[1:])]
            case Name(_):
                code += [UNKNOWN, 0]
            case Binary(op, left, right):
                self._emit(left, region, counters, slots, scalars, code)
                self._emit(right, region, counters, slots, scalars, code)
                code += [OPERATORS.index(op), 0]
            case Select(condition, then, otherwise):
                for part in (condition, then, otherwise):
                    self._emit(part, region, counters, slots, scalars, code)
                code += [SELECT, 0]
            case TableRef(table, index):
                self._emit(index, region, counters, slots, scalars, code)
                code += [TABLE, self._tables[region, table]]
            case _:
                raise TypeError(f"not an index expression: {expr!r}")


@internal
def value_of(r, at, pe, stack):
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


def code_array(expressions: ExpressionCode) -> np.ndarray:
    """All code as compiled code reads it."""
    return np.array([*expressions.code, END, 0], np.int64)
