"""The tables of a program as compiled code reads them: numbers of steps, calls and expressions become addresses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from meshrt.program.proofs.buffers import Buffers
from meshrt.program.proofs.expressions import Expressions
from meshrt.program.proofs.records import (
    BRANCH,
    C_COLOR,
    C_COUNT,
    C_OPERAND,
    C_OUT,
    C_SIZE,
    C_STEP,
    C_TAG,
    CALL_UNIT,
    ENTER,
    ENTRY,
    GENERAL,
    GRID,
    HEAD,
    JUMP,
    JUMP_IF_ZERO,
    JUMP_TO,
    LEAVE,
    MOVE,
    O_DIMS,
    O_OFFSET,
    O_SIZE,
    OF_SCALARS,
    PUSH_GRID,
    REPEAT,
    ROTATE,
    ROUTE,
    S_A,
    S_B,
    S_C,
    S_KIND,
    S_SIZE,
    TOUCH,
)
from meshrt.program.proofs.skeleton import Skeleton
from meshrt.program.proofs.state import Layout

#: Columns of steps that hold numbers of other things, by kind of step: column, table, size of its records.
_STEP_COLUMNS = (
    (ENTER, S_B, "exprs", 2),
    (HEAD, S_B, "exprs", 2),
    (HEAD, S_C, "steps", S_SIZE),
    (LEAVE, S_C, "steps", S_SIZE),
    (REPEAT, S_B, "steps", S_SIZE),
    (BRANCH, S_A, "exprs", 2),
    (BRANCH, S_B, "steps", S_SIZE),
    (JUMP, S_A, "steps", S_SIZE),
    (MOVE, S_A, "calls", C_SIZE),
    (ROUTE, S_A, "calls", C_SIZE),
    (TOUCH, S_A, "operands", O_SIZE),
    (TOUCH, S_B, "operands", O_SIZE),
    (ROTATE, S_A, "operands", O_SIZE),
)


@dataclass(frozen=True, eq=False, slots=True)
class _Table:
    """A table, and which of its entries are numbers of records of another: (rows, column, that table, its size)."""

    rows: np.ndarray
    references: list[tuple[np.ndarray, int, str, int]] = field(default_factory=list)

    @property
    def size(self) -> int:
        return self.rows.size

    def rebased(self, starts: Mapping[str, int]) -> np.ndarray:
        """The table with addresses, flat."""
        rows = self.rows.astype(np.int64)
        for where, column, table, size in self.references:
            rows[where, column] = starts[table] + rows[where, column] * size
        return rows.reshape(-1)


def program_tables(expressions: Expressions, buffers: Buffers, skeleton: Skeleton, layout: Layout) -> dict[str, _Table]:
    """The tables of a region by name; none is empty."""
    steps, calls, operands, dims = skeleton.tables()
    calls[:, C_TAG] = np.arange(len(calls)) * CALL_UNIT
    moves = np.arange(len(calls)) > 0
    counted = moves & (calls[:, C_COUNT] >= 0)
    calls[~counted, C_COUNT] = 0
    streams = moves & (calls[:, C_OUT] >= 0)
    viewed = operands[:, O_OFFSET] >= 0
    exprs, bytecode, entries, tables = *_expressions(expressions, layout), *expressions.tables()
    return {
        "steps": _Table(
            steps, [(steps[:, S_KIND] == kind, column, table, size) for kind, column, table, size in _STEP_COLUMNS]
        ),
        "calls": _Table(
            calls,
            [
                (moves, C_COLOR, "exprs", 2),
                (streams, C_OUT, "exprs", 2),
                (counted, C_COUNT, "exprs", 2),
                (moves, C_OPERAND, "operands", O_SIZE),
                (moves, C_STEP, "steps", S_SIZE),
            ],
        ),
        "operands": _Table(operands, [(viewed, O_OFFSET, "exprs", 2), (viewed, O_DIMS, "dims", 2)]),
        "dims": _Table(dims, [(np.ones(len(dims), bool), column, "exprs", 2) for column in (0, 1)]),
        "exprs": exprs,
        "bytecode": bytecode,
        "stack": _Table(expressions.stack()),
        "entries": _Table(entries),
        "tables": _Table(tables, [(np.ones(len(tables), bool), 0, "entries", 1)]),
        "declared": _Table(buffers.records()),
    }


def _expressions(expressions: Expressions, layout: Layout) -> tuple[_Table, _Table]:
    exprs, bytecode = expressions.rows(), expressions.bytecode()
    exprs[exprs[:, 0] == GRID, 1] += layout.grids_at
    bytecode[bytecode[:, 0] == PUSH_GRID, 1] += layout.grids_at
    jumps = (bytecode[:, 0] == JUMP_IF_ZERO) | (bytecode[:, 0] == JUMP_TO)
    computed = (exprs[:, 0] == GENERAL) | (exprs[:, 0] == OF_SCALARS)
    return (
        _Table(exprs, [(computed, 1, "bytecode", 2)]),
        _Table(bytecode, [(jumps, 1, "bytecode", 2), (bytecode[:, 0] == ENTRY, 1, "tables", 2)]),
    )
