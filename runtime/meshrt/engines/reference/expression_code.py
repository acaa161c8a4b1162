"""Index expressions as code for the stack machine of :mod:`.core.expressions`.

An expression is compiled for one place of one code: names become slots of the PE's
environment, numbers of loop counters or of element indices; runtime scalars become
numbers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from meshrt.engines.reference.core.expressions import (
    CONSTANT,
    COUNTER,
    ELEMENT,
    END,
    ENVIRONMENT,
    INDICES,
    OPERATORS,
    SELECT,
    TABLE,
    UNKNOWN,
)
from meshrt.program.expr import Binary, Expr, Int, Name, Select, TableRef


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
        """An expression as :func:`.core.expressions.value_of` takes it.

        ``counters`` are those of the loops around, outermost first.
        """
        key = (expr, region, tuple(counters))
        found = self._known.get(key)
        if found is None:
            code: list[int] = []
            self._emit(expr, region, {name: i for i, name in enumerate(counters)}, slots, scalars, code)
            if len(code) == 2 and code[0] == CONSTANT:
                found = 2 * code[1] + 1
            else:
                found = 2 * len(self.code)
                self.code += [*code, END]
            self._known[key] = found
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


def code_array(expressions: ExpressionCode) -> np.ndarray:
    """All code as compiled code reads it."""
    return np.array([*expressions.code, END, 0], np.int64)
