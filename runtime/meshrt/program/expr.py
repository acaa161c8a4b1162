"""Index expressions: the integers that a mesh program computes with.

An index expression is a tree over integers, names (``x``, ``y``, loop counters,
runtime scalars, parameters, element indices), 1-D tables and the operators
``+ - * // % min max``, comparisons (1 when true, 0 when false) and ``select``.
Division and remainder round toward minus infinity, as in Python. ``select``
evaluates both sides; a table read outside its bounds is an error only in the
branch that is taken.

The module-level names ``X`` and ``Y`` are the coordinates of a PE in its region.
Python's arithmetic operators on an :class:`Expr` build larger expressions and
fold constants, so that the printed program stays short.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Union

import numpy as np

BINARY_OPERATORS = ("+", "-", "*", "//", "%", "min", "max", "==", "!=", "<", "<=", ">", ">=")
COMPARISONS = ("==", "!=", "<", "<=", ">", ">=")

ExprLike = Union["Expr", int]
#: Values of names during evaluation: one integer for all PEs, or one per PE.
Bindings = Mapping[str, "int | np.ndarray"]
#: Contents of 1-D tables by name.
Tables = Mapping[str, np.ndarray]


class Expr:
    """Base of all index expressions; see the subclasses for the five forms."""

    __slots__ = ()

    def __add__(self, other: ExprLike) -> Expr:
        return binary("+", self, other)

    def __radd__(self, other: ExprLike) -> Expr:
        return binary("+", other, self)

    def __sub__(self, other: ExprLike) -> Expr:
        return binary("-", self, other)

    def __rsub__(self, other: ExprLike) -> Expr:
        return binary("-", other, self)

    def __mul__(self, other: ExprLike) -> Expr:
        return binary("*", self, other)

    def __rmul__(self, other: ExprLike) -> Expr:
        return binary("*", other, self)

    def __floordiv__(self, other: ExprLike) -> Expr:
        return binary("//", self, other)

    def __mod__(self, other: ExprLike) -> Expr:
        return binary("%", self, other)

    def eq(self, other: ExprLike) -> Expr:
        return binary("==", self, other)

    def ne(self, other: ExprLike) -> Expr:
        return binary("!=", self, other)

    def lt(self, other: ExprLike) -> Expr:
        return binary("<", self, other)

    def le(self, other: ExprLike) -> Expr:
        return binary("<=", self, other)

    def gt(self, other: ExprLike) -> Expr:
        return binary(">", self, other)

    def ge(self, other: ExprLike) -> Expr:
        return binary(">=", self, other)


@dataclass(frozen=True, slots=True)
class Int(Expr):
    """An integer literal."""

    value: int


@dataclass(frozen=True, slots=True)
class Name(Expr):
    """A coordinate, loop counter, runtime scalar, parameter, element index or, as ``@name``, a stream."""

    name: str


@dataclass(frozen=True, slots=True)
class Binary(Expr):
    """``left op right`` with ``op`` one of :data:`BINARY_OPERATORS`."""

    op: str
    left: Expr
    right: Expr


@dataclass(frozen=True, slots=True)
class Select(Expr):
    """``select(condition, then, otherwise)``: ``then`` where the condition is not zero."""

    condition: Expr
    then: Expr
    otherwise: Expr


@dataclass(frozen=True, slots=True)
class TableRef(Expr):
    """``table[index]``: an entry of a 1-D table of the region."""

    table: str
    index: Expr


X = Name("x")
Y = Name("y")


def as_expr(value: ExprLike) -> Expr:
    """Wrap a plain integer; an expression passes through."""
    return value if isinstance(value, Expr) else Int(int(value))


def _scalar(op: str, left: int, right: int) -> int:
    match op:
        case "+":
            return left + right
        case "-":
            return left - right
        case "*":
            return left * right
        case "//":
            return left // right
        case "%":
            return left % right
        case "min":
            return min(left, right)
        case "max":
            return max(left, right)
        case "==":
            return int(left == right)
        case "!=":
            return int(left != right)
        case "<":
            return int(left < right)
        case "<=":
            return int(left <= right)
        case ">":
            return int(left > right)
        case ">=":
            return int(left >= right)
    raise ValueError(f"unknown operator {op!r}")


def binary(op: str, left: ExprLike, right: ExprLike) -> Expr:
    """Build ``left op right``, folding constants and the identities of 0 and 1."""
    left, right = as_expr(left), as_expr(right)
    match left, right:
        case Int(a), Int(b) if not (op in ("//", "%") and b == 0):
            return Int(_scalar(op, a, b))
        case _, Int(0) if op in ("+", "-"):
            return left
        case Int(0), _ if op == "+":
            return right
        case _, Int(1) if op in ("*", "//"):
            return left
        case Int(1), _ if op == "*":
            return right
        case _, Int(1) if op == "%":
            return Int(0)
        case (_, Int(0)) | (Int(0), _) if op == "*":
            return Int(0)
        case (condition, Int(n)) | (Int(n), condition) if op in ("min", "max") and n in (0, 1):
            # Of a condition (0 or 1) and a constant one of them decides.
            if is_condition(condition):
                return condition if (op == "min") == (n == 1) else Int(n)
    return Binary(op, left, right)


def is_condition(expr: Expr) -> bool:
    """Whether the expression is 0 or 1 by its form: a comparison, or min and max of such."""
    match expr:
        case Int(value):
            return value in (0, 1)
        case Binary(op, left, right):
            return op in COMPARISONS or (op in ("min", "max") and is_condition(left) and is_condition(right))
    return False


def minimum(left: ExprLike, right: ExprLike) -> Expr:
    """The smaller of two; of two conditions, their conjunction."""
    return binary("min", left, right)


def maximum(left: ExprLike, right: ExprLike) -> Expr:
    """The larger of two; of two conditions, their disjunction."""
    return binary("max", left, right)


def select(condition: ExprLike, then: ExprLike, otherwise: ExprLike) -> Expr:
    """Build a select, resolved at once when the condition is a constant."""
    condition, then, otherwise = as_expr(condition), as_expr(then), as_expr(otherwise)
    if isinstance(condition, Int):
        return then if condition.value else otherwise
    if then == otherwise:
        return then
    return Select(condition, then, otherwise)


def names_in(expr: Expr) -> frozenset[str]:
    """Every name that the expression reads (tables are not names)."""
    match expr:
        case Name(name):
            return frozenset((name,))
        case Binary(_, left, right):
            return names_in(left) | names_in(right)
        case Select(condition, then, otherwise):
            return names_in(condition) | names_in(then) | names_in(otherwise)
        case TableRef(_, index):
            return names_in(index)
    return frozenset()


def tables_in(expr: Expr) -> frozenset[str]:
    """Every table that the expression reads."""
    match expr:
        case Binary(_, left, right):
            return tables_in(left) | tables_in(right)
        case Select(condition, then, otherwise):
            return tables_in(condition) | tables_in(then) | tables_in(otherwise)
        case TableRef(table, index):
            return tables_in(index) | {table}
    return frozenset()


def substitute(expr: Expr, bindings: Mapping[str, ExprLike]) -> Expr:
    """Replace names by expressions, folding on the way."""
    match expr:
        case Name(name):
            return as_expr(bindings[name]) if name in bindings else expr
        case Binary(op, left, right):
            return binary(op, substitute(left, bindings), substitute(right, bindings))
        case Select(condition, then, otherwise):
            return select(
                substitute(condition, bindings),
                substitute(then, bindings),
                substitute(otherwise, bindings),
            )
        case TableRef(table, index):
            return TableRef(table, substitute(index, bindings))
    return expr


_NUMPY = {
    "+": np.add,
    "-": np.subtract,
    "*": np.multiply,
    "//": np.floor_divide,
    "%": np.mod,
    "min": np.minimum,
    "max": np.maximum,
    "==": np.equal,
    "!=": np.not_equal,
    "<": np.less,
    "<=": np.less_equal,
    ">": np.greater,
    ">=": np.greater_equal,
}


def evaluate(expr: Expr, bindings: Bindings, tables: Tables) -> int | np.ndarray:
    """Evaluate for one PE (integers) or for many at once (int64 arrays that broadcast).

    Raises ``KeyError`` for an unbound name, ``ZeroDivisionError`` for a zero divisor.
    A table index outside its bounds reads entry 0 in arrays: the branch of a
    ``select`` that is not taken may compute one. Callers that need the check use
    :func:`names_in` and the program verifier.
    """
    match expr:
        case Int(value):
            return value
        case Name(name):
            return bindings[name]
        case Binary(op, left, right):
            a, b = evaluate(left, bindings, tables), evaluate(right, bindings, tables)
            if isinstance(a, np.ndarray) or isinstance(b, np.ndarray):
                if op in ("//", "%") and np.any(np.equal(b, 0)):
                    raise ZeroDivisionError("index expression divides by zero")
                result = _NUMPY[op](a, b)
                return result.astype(np.int64) if op in COMPARISONS else result
            return _scalar(op, a, b)
        case Select(condition, then, otherwise):
            c = evaluate(condition, bindings, tables)
            if isinstance(c, np.ndarray):
                return np.where(
                    c != 0,
                    evaluate(then, bindings, tables),
                    evaluate(otherwise, bindings, tables),
                )
            return evaluate(then if c else otherwise, bindings, tables)
        case TableRef(table, index):
            entries = tables[table]
            i = evaluate(index, bindings, tables)
            if isinstance(i, np.ndarray):
                return entries[np.where((i >= 0) & (i < len(entries)), i, 0)]
            return int(entries[i]) if 0 <= i < len(entries) else int(entries[0])
    raise TypeError(f"not an index expression: {expr!r}")
