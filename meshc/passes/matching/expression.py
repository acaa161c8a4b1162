"""The operations of an expression of one value."""

from __future__ import annotations

from collections.abc import Callable

from meshc.ir.core import Operation, Value


def expression_of(
    source: Value, root: Operation, allowed: Callable[[Operation], bool], limit: int
) -> tuple[Operation, ...] | None:
    """The operations from ``source`` to ``root``, each after those it reads.

    None where they need another value, where one is not ``allowed``, or where there are more
    than ``limit``.
    """
    ordered: dict[Operation, None] = {}
    stack: list[tuple[Operation, bool]] = [(root, False)]
    entered: set[Operation] = set()
    while stack:
        op, done = stack.pop()
        if done:
            ordered[op] = None
            continue
        if op in entered:
            continue
        entered.add(op)
        if len(entered) > limit or not allowed(op):
            return None
        stack.append((op, True))
        for operand in op.operands:
            if operand is source:
                continue
            if operand.op is None:
                return None
            stack.append((operand.op, False))
    return tuple(ordered)
