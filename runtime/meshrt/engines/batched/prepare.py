"""Instructions made ready to run for a set of PEs: operands resolved, costs known, one call away.

What an instruction needs depends on the set and on the counters its expressions read;
it is prepared once for each and kept.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from meshrt.diagnostics import MeshError
from meshrt.engines.batched import arithmetic_numba as backend
from meshrt.engines.batched import moves
from meshrt.engines.batched.index_cache import IndexCache
from meshrt.engines.batched.operands import Diverges, Operand, Operands
from meshrt.engines.batched.pe_sets import PeSet, PeSets
from meshrt.engines.batched.records import (
    BLOCKING,
    DO_RECEIVE,
    DO_ROUTE,
    DO_SEND,
    G_SIZE,
    I32,
    KINDS,
    PORT_NUMBERS,
    RECV,
    ROUTE,
    SEND,
    STREAM_COPY,
    V_SIZE,
)
from meshrt.engines.batched.sram import Sram
from meshrt.engines.batched.state import Tables
from meshrt.engines.batched.tracing import NO_PATHS, Tracer
from meshrt.engines.numeric.functions import ELEMENTWISE
from meshrt.engines.views import collapse, is_dense
from meshrt.program import cost
from meshrt.program.expr import Expr, Int
from meshrt.program.instructions import INSTRUCTIONS
from meshrt.program.model import Instruction, View
from meshrt.target import Target


@dataclass(frozen=True, eq=False, slots=True)
class Prepared:
    """One call: ``run(row)`` executes it for metrics row ``row``.

    Arithmetic leaves the clocks alone: they go on by ``cycles`` each. A ``fabric`` call sets
    them itself, and may be ``blocking``. ``macs`` are those of all its PEs.
    """

    pes: PeSet
    run: Callable[[int], None]
    cycles: int = 0
    macs: int = 0
    fabric: bool = False
    blocking: bool = False

    @property
    def busy(self) -> int:
        """Cycles of all its PEs together."""
        return self.cycles * len(self.pes)


_NO_OFFSET = np.zeros(1, np.int64)


class Preparer:
    """Prepares instructions against one machine's state."""

    def __init__(
        self,
        tables: Tables,
        sram: Sram,
        index: IndexCache,
        target: Target,
        sets: PeSets,
    ):
        self._tables = tables
        self._sram = sram
        self._values = index
        self._target = target
        self._scratch = np.zeros((4, backend.BLOCK + 2 * sram.largest), np.float32)
        self._sets = sets
        self._tracer = Tracer(tables)
        self._operands = Operands(sram, index)
        self._views: dict[tuple[int, ...], int] = {}
        self._groups: dict[tuple[int, ...], int] = {}

    def prepare(
        self, instruction: Instruction, number: int, pes: PeSet, counters: Mapping[str, int], handles: Mapping[str, int]
    ) -> list[Prepared]:
        """Calls that execute the instruction on all PEs of the set: one, or one per part where PEs diverge."""
        try:
            return [self._one(instruction, number, pes, counters, handles)]
        except Diverges as split:
            parts: list[Prepared] = []
            for value in np.unique(split.values):
                part = self._sets.intern(pes.region, pes.pes[split.values == value])
                parts += self.prepare(instruction, number, part, counters, handles)
            return parts

    def flags(self, view: View, pes: PeSet, counters: Mapping[str, int], line: int) -> np.ndarray:
        """The value of a one-element view on each PE: what an ``until`` ends on."""
        operand = self._operands.resolve(view, pes, counters, Instruction("until", line=line))
        if operand.row in self._sram.watched:
            self._sram.touch(self._tables.memory_at, pes, (operand.row,), (), False, Instruction("until", line=line))
        at = self._sram.addresses[operand.row, pes.pes] + operand.offsets
        return (self._tables.integers if operand.dtype == I32 else self._tables.memory)[at]

    def _one(self, instruction, number, pes, counters, handles) -> Prepared:
        spec = INSTRUCTIONS[instruction.opcode]
        opcode = instruction.opcode
        if opcode in ELEMENTWISE:
            return self._elementwise(instruction, pes, counters, spec.cost)
        if opcode in KINDS:
            return self._move(instruction, number, pes, counters, handles)
        return getattr(self, "_" + opcode)(instruction, number, pes, counters, handles)

    # Arithmetic.

    def _timed(self, pes: PeSet, instruction, reads, writes, covers, cycles: int, compute, macs: int = 0) -> Prepared:
        tables, sram = self._tables, self._sram
        owned = tuple(o.row for o in writes if o.row in sram.shareable)
        reads = tuple(o.row for o in reads if o.row in sram.watched)
        writes = tuple(o.row for o in writes if o.row in sram.watched)
        watched = bool(reads or writes)

        def run(row: int) -> None:
            for buffer in owned:
                sram.own(buffer, pes, covers)
            if watched:
                sram.touch(tables.memory_at, pes, reads, writes, covers, instruction)
            compute()

        return Prepared(pes, run, cycles, macs * len(pes))

    def _resolve(self, instruction, pes, counters) -> list[Any]:
        return [
            self._operands.resolve(a, pes, counters, instruction) if isinstance(a, View) else float(a)
            for a in instruction.args
        ]

    def _same_extents(self, instruction: Instruction, operands: list[Operand]) -> None:
        first = tuple(e for e in operands[0].extents if e != 1)
        for other in operands[1:]:
            if tuple(e for e in other.extents if e != 1) != first:
                raise MeshError(
                    "M0524",
                    f"{instruction.opcode} at line {instruction.line} has operands of extents "
                    f"{list(operands[0].extents)} and {list(other.extents)}",
                )

    def _table(self, instruction: Instruction, operands: list[Operand | float], most: int = 4, pad: int = 4):
        views = [o for o in operands if isinstance(o, Operand)]
        squeezed = [[(e, s) for e, s in zip(o.extents, o.strides, strict=True) if e != 1] for o in views]
        extents = [e for e, _ in squeezed[0]]
        try:
            extents, strides = collapse(extents, [[s for _, s in q] for q in squeezed], most)
        except ValueError as error:
            raise MeshError(
                "M0525",
                f"{instruction.opcode} at line {instruction.line} walks {error} dimensions that do not merge; "
                f"at most {most} are possible",
            ) from None
        table = np.full((pad, backend.OPERAND_COLUMNS), -1, np.int64)
        width = max(len(o.offsets) for o in views)
        offsets = np.zeros((pad, width), np.int64)
        steps = iter(strides)
        for i, o in enumerate(operands):
            if isinstance(o, Operand):
                s = next(steps)
                table[i] = (o.row, o.dtype, *extents, *s, is_dense(extents, s))
                offsets[i] = o.offsets
        return table, offsets

    def _elementwise(self, instruction, pes, counters, cost_class) -> Prepared:
        tables = self._tables
        operands = self._resolve(instruction, pes, counters)
        views = [o for o in operands if isinstance(o, Operand)]
        self._same_extents(instruction, views)
        r = views[0]
        table, offsets = self._table(instruction, operands)
        immediates = np.zeros(4, np.float64)
        for i, o in enumerate(operands):
            if not isinstance(o, Operand):
                immediates[i] = o
        op = ELEMENTWISE[instruction.opcode]
        exact = r.dtype == I32 and all(o.dtype == I32 for o in views[1:])
        function = backend.integer_elementwise if exact else backend.elementwise
        members, addresses, scratch = pes.pes, self._sram.addresses, self._scratch

        def compute() -> None:
            function(tables.memory_at, addresses, members, op, table, offsets, immediates, scratch)

        cycles = cost.element_cycles(self._target, cost_class, r.elements, r.dtype_name)
        return self._timed(pes, instruction, views[1:], views[:1], r.covers, cycles, compute)

    def _reduction(self, instruction, pes, counters, op) -> Prepared:
        tables = self._tables
        r, a = self._resolve(instruction, pes, counters)
        rows, n = a.extents[:-1], a.extents[-1]
        if tuple(e for e in rows if e != 1) != tuple(e for e in r.extents if e != 1):
            raise MeshError(
                "M0524",
                f"{instruction.opcode} at line {instruction.line} reduces {list(a.extents)} into {list(r.extents)}",
            )
        table = np.zeros((2, backend.OPERAND_COLUMNS), np.int64)
        try:
            ae, (astr,) = collapse(rows, [a.strides[:-1]], 3)
            re, (rstr,) = collapse(r.extents, [r.strides], 4)
        except ValueError as error:
            raise MeshError(
                "M0525", f"{instruction.opcode} at line {instruction.line} walks {error} dimensions"
            ) from None
        table[0] = (r.row, r.dtype, *re, *rstr, is_dense(re, rstr))
        table[1] = (a.row, a.dtype, *ae, n, *astr, a.strides[-1], 0)
        offsets = np.zeros((2, max(len(r.offsets), len(a.offsets))), np.int64)
        offsets[0], offsets[1] = r.offsets, a.offsets
        members, addresses, scratch = pes.pes, self._sram.addresses, self._scratch

        def compute() -> None:
            backend.reduce(tables.memory_at, addresses, members, op, table, offsets, scratch)

        cycles = cost.element_cycles(self._target, "add", a.elements, r.dtype_name)
        return self._timed(pes, instruction, [a], [r], r.covers, cycles, compute)

    def _sum(self, instruction, number, pes, counters, handles) -> Prepared:
        return self._reduction(instruction, pes, counters, backend.SUM)

    def _reduce_max(self, instruction, number, pes, counters, handles) -> Prepared:
        return self._reduction(instruction, pes, counters, backend.REDUCE_MAX)

    def _product(self, instruction, pes, counters, transposed: bool) -> Prepared:
        tables = self._tables
        c, a, b = self._resolve(instruction, pes, counters)
        if min(len(o.extents) for o in (c, a, b)) < 2:
            where = f"{instruction.opcode} at line {instruction.line}"
            raise MeshError("M0524", f"{where} needs operands of rank 2 or more")
        m, n = c.extents[-2:]
        k = a.extents[-1]
        expected_b = (n, k) if transposed else (k, n)
        batch = c.extents[:-2]
        if a.extents != (*batch, m, k) or b.extents != (*batch, *expected_b):
            raise MeshError(
                "M0524",
                f"{instruction.opcode} at line {instruction.line} has operands of extents "
                f"{list(c.extents)}, {list(a.extents)} and {list(b.extents)}",
            )
        try:
            outer, batch_strides = collapse(batch, [o.strides[:-2] for o in (c, a, b)], 2)
        except ValueError:
            raise MeshError(
                "M0525", f"{instruction.opcode} at line {instruction.line} has batches that do not merge into two"
            ) from None
        shape = np.array([*outer, m, k, n], np.int64)
        strides = np.zeros((3, 5), np.int64)
        for i in range(3):
            strides[i, :2] = batch_strides[i]
        strides[0, 2], strides[0, 4] = c.strides[-2:]
        strides[1, 2], strides[1, 3] = a.strides[-2:]
        if transposed:
            strides[2, 4], strides[2, 3] = b.strides[-2:]
        else:
            strides[2, 3], strides[2, 4] = b.strides[-2:]
        table = np.zeros((3, backend.OPERAND_COLUMNS), np.int64)
        offsets = np.zeros((3, max(len(o.offsets) for o in (c, a, b))), np.int64)
        for i, o in enumerate((c, a, b)):
            table[i, :2] = (o.row, o.dtype)
            offsets[i] = o.offsets
        members, addresses = pes.pes, self._sram.addresses

        def compute() -> None:
            backend.gemm(tables.memory_at, addresses, members, table, offsets, shape, strides)

        count = int(np.prod(outer))
        vector = instruction.option("vector", "m")
        cycles = cost.gemm_cycles(self._target, count, m, k, n, c.dtype_name, a.dtype_name, str(vector))
        return self._timed(pes, instruction, [c, a, b], [c], True, cycles, compute, cost.macs(count, m, k, n))

    def _gemm(self, instruction, number, pes, counters, handles) -> Prepared:
        return self._product(instruction, pes, counters, False)

    def _gemm_t(self, instruction, number, pes, counters, handles) -> Prepared:
        return self._product(instruction, pes, counters, True)

    def _filling(self, instruction, pes, counters, values: np.ndarray, where: np.ndarray, partial: bool) -> Prepared:
        tables = self._tables
        (r,) = self._resolve(instruction, pes, counters)
        table, offsets = self._table(instruction, [r])
        operand = table[0]
        members, addresses = pes.pes, self._sram.addresses

        def compute() -> None:
            backend.fill(tables.memory_at, addresses, members, operand, offsets, values, where)

        cycles = cost.element_cycles(self._target, "move", r.elements, r.dtype_name)
        reads = [r] if partial else []
        return self._timed(pes, instruction, reads, [r], r.covers and not partial, cycles, compute)

    def _fill(self, instruction, number, pes, counters, handles) -> Prepared:
        (r,) = self._resolve(instruction, pes, counters)
        value = np.array([[_number(instruction.option("value"))]], np.float64)
        condition = instruction.option("where")
        if condition is None:
            return self._filling(instruction, pes, counters, value, np.ones((1, 1), np.bool_), False)
        where = self._values.elements(condition, pes, counters, r.extents) != 0
        return self._filling(instruction, pes, counters, value, where, True)

    def _index(self, instruction, number, pes, counters, handles) -> Prepared:
        (r,) = self._resolve(instruction, pes, counters)
        values = self._values.elements(instruction.option("value"), pes, counters, r.extents).astype(np.float64)
        return self._filling(instruction, pes, counters, values, np.ones((1, 1), np.bool_), False)

    def _gather(self, instruction, number, pes, counters, handles) -> Prepared:
        tables = self._tables
        r, table_view, index = self._resolve(instruction, pes, counters)
        rows = table_view.extents[0]
        width = table_view.elements // rows if rows else 0
        if r.elements != index.elements * width:
            raise MeshError(
                "M0524",
                f"gather at line {instruction.line} puts {index.elements} rows of {width} elements into {r.elements}",
            )
        table = np.zeros((3, backend.OPERAND_COLUMNS), np.int64)
        offsets = np.zeros((3, max(len(o.offsets) for o in (r, table_view, index))), np.int64)
        for i, o in enumerate((r, table_view, index)):
            extents, (strides,) = collapse(o.extents, [o.strides], 4)
            table[i] = (o.row, o.dtype, *extents, *strides, is_dense(extents, strides))
            offsets[i] = o.offsets
        base = instruction.option("base")
        bases = self._values.value(base, pes, counters) if isinstance(base, Expr) else 0
        bases = np.atleast_1d(np.asarray(bases, np.int64))
        members, addresses = pes.pes, self._sram.addresses

        def compute() -> None:
            backend.gather_rows(tables.memory_at, addresses, members, table, offsets, bases, rows, width)

        cycles = cost.element_cycles(self._target, "move", r.elements, r.dtype_name)
        return self._timed(pes, instruction, [table_view, index], [r], r.covers, cycles, compute)

    def _rotate(self, instruction, number, pes, counters, handles) -> Prepared:
        sram = self._sram
        a, b = self._resolve(instruction, pes, counters)
        if not (a.covers and b.covers) or a.extents != b.extents or a.dtype != b.dtype:
            raise MeshError(
                "M0524", f"rotate at line {instruction.line} needs two whole buffers of one shape and dtype"
            )
        members = pes.pes

        def run(row: int) -> None:
            moves.swap(sram.addresses, sram.slots, a.row, b.row, members)
            sram.rotated(a.row, b.row, pes)

        return Prepared(pes, run, self._target.issue_cycles)

    # The fabric.

    def _color(self, expr, pes, counters) -> np.ndarray:
        value = self._values.value(expr, pes, counters)
        return np.ascontiguousarray(np.atleast_1d(np.asarray(value, np.int64)))

    def _view(self, operand: Operand) -> int:
        """Address of the record of a view's extents and strides."""
        extents, (strides,) = collapse(operand.extents, [operand.strides], 4)
        key = (*extents, *strides)
        number = self._views.setdefault(key, len(self._views))
        self._tables.views[number] = key
        return self._tables.starts["views"] + number * V_SIZE

    def _group(self, *fields: int) -> int:
        """Address of the record of what the moves of an instruction have in common; one for equal fields."""
        number = self._groups.setdefault(fields, len(self._groups))
        self._tables.groups[number] = fields
        return self._tables.starts["groups"] + number * G_SIZE

    def _move(self, instruction, number, pes, counters, handles) -> Prepared:
        tables, sram = self._tables, self._sram
        (operand,) = self._resolve(instruction, pes, counters)
        name = instruction.option("async")
        handle = handles[str(name)] if name is not None else BLOCKING
        kind = KINDS[instruction.opcode]
        combines = instruction.opcode.endswith(("add", "max"))
        period = cost.word_period(self._target, "add" if combines else "move", operand.dtype_name)
        n, dtype = operand.elements, operand.dtype
        words = cost.words(n, operand.dtype_name, self._target.word_bytes)
        dense = int(is_dense(operand.extents, operand.strides))
        shared = (kind, n, dtype, self._view(operand), period, handle, number)
        role = INSTRUCTIONS[instruction.opcode].operands[0][1]
        watched = operand.row in sram.watched
        reads = (operand.row,) if role != "out" and watched else ()
        writes = (operand.row,) if role != "in" and watched else ()
        members, addresses, offsets = pes.pes, sram.addresses[operand.row], operand.offsets
        color = self._color(instruction.option("color", instruction.option("in")), pes, counters)
        out = instruction.option("out")
        outs = self._color(out, pes, counters) if out is not None else _NO_OFFSET
        shareable = operand.row in sram.shareable
        shares = shareable and operand.covers and kind in (SEND, RECV)
        cells, pool = (sram.cells(operand.row), sram.pool(operand.row)) if shares else (0, 0)
        owned = shareable and not shares and role != "in"
        paths = self._tracer.paths(pes, color) if kind == SEND and handle != BLOCKING else NO_PATHS
        groups: dict[int, int] = {}
        what = DO_SEND if kind == SEND else DO_RECEIVE

        def run(row: int) -> None:
            if owned:
                sram.own(operand.row, pes, operand.covers and kind == STREAM_COPY)
            if watched:
                sram.touch(tables.memory_at, pes, reads, writes, operand.covers, instruction)
            g = groups.get(row)
            if g is None:
                g = groups[row] = self._group(*shared, row, words, dense, operand.span, cells, pool)
            moves.move(tables.records_at, tables.memory_at, what, g, members, color, outs, addresses, offsets, paths)

        return Prepared(pes, run, fabric=True, blocking=handle == BLOCKING)

    def _wait(self, instruction, number, pes, counters, handles) -> Prepared:
        tables, members = self._tables, pes.pes
        handle = handles[str(instruction.option("handle"))]

        def run(row: int) -> None:
            moves.wait_group(tables.records_at, members, handle, row, number)

        return Prepared(pes, run, fabric=True, blocking=True)

    def _route(self, instruction, number, pes, counters, handles) -> Prepared:
        tables, members = self._tables, pes.pes
        colors = self._color(instruction.option("color"), pes, counters)
        config = np.array([route_config(instruction.option("from"), instruction.option("to"))], np.int64)
        nowhere = self._sram.addresses[0]

        def run(row: int) -> None:
            g = self._group(ROUTE, 0, 0, 0, 0, BLOCKING, number, row, 0, 0, 0, 0, 0)
            state = tables.records_at, tables.memory_at
            moves.move(*state, DO_ROUTE, g, members, colors, config, nowhere, _NO_OFFSET, NO_PATHS)

        return Prepared(pes, run, fabric=True, blocking=True)


def route_config(source: str, destinations: tuple[str, ...] | str) -> int:
    """A route as the records hold it."""
    if isinstance(destinations, str):
        destinations = (destinations,)
    mask = 0
    for port in destinations:
        mask |= 8 << PORT_NUMBERS[port]
    return PORT_NUMBERS[source] + 1 + mask


def _number(value) -> float:
    return float(value.value) if isinstance(value, Int) else float(value)
