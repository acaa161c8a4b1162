"""Arithmetic made ready to run: operands as tables of numbers, cycles and multiply-accumulates from the cost model.

Where the machine keeps no values, operands are checked and priced all the same, and the
call does nothing but take its cycles.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np

from meshrt.diagnostics import MeshError
from meshrt.engines.batched import arithmetic_numba as backend
from meshrt.engines.batched.index_cache import IndexCache
from meshrt.engines.batched.operands import Operand, Operands
from meshrt.engines.batched.pe_sets import PeSet
from meshrt.engines.batched.prepared import Prepared
from meshrt.engines.batched.records import I32
from meshrt.engines.batched.sram import Sram
from meshrt.engines.batched.state import Tables
from meshrt.engines.numeric.functions import ELEMENTWISE
from meshrt.engines.views import collapse, is_dense
from meshrt.program import cost
from meshrt.program.expr import Expr, Int
from meshrt.program.instructions import INSTRUCTIONS
from meshrt.program.model import Instruction
from meshrt.program.sram_traffic import arithmetic_bytes, gemm_bytes
from meshrt.target import Target


class Arithmetic:
    """Prepares arithmetic against one machine's state."""

    def __init__(self, tables: Tables, sram: Sram, index: IndexCache, target: Target, operands: Operands):
        self._tables = tables
        self._sram = sram
        self._values = index
        self._target = target
        self._operands = operands
        self._scratch = np.zeros((4, backend.BLOCK + 2 * sram.largest if tables.values else 1), np.float32)

    def prepare(self, instruction: Instruction, pes: PeSet, counters: Mapping[str, int]) -> Prepared:
        """The call that executes the instruction on all PEs of the set. Raises Diverges, M0524 and M0525."""
        opcode = instruction.opcode
        if opcode in ELEMENTWISE:
            return self._elementwise(instruction, pes, counters, INSTRUCTIONS[opcode].cost)
        return getattr(self, "_" + opcode)(instruction, pes, counters)

    def _timed(
        self,
        pes: PeSet,
        instruction,
        reads,
        writes,
        covers,
        events: cost.Events,
        sram_bytes: int,
        compute,
        macs: int = 0,
    ) -> Prepared:
        cycles = cost.price(self._target, events)
        spent = {"cycles": cycles, "macs": macs * len(pes), "events": events, "sram_bytes": sram_bytes}
        if not self._tables.values:
            return Prepared(pes, _nothing, **spent)
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

        return Prepared(pes, run, **spent)

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
        operands = self._operands.resolve_all(instruction, pes, counters)
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

        events = cost.element_events(cost_class, r.elements, r.dtype_name)
        return self._timed(pes, instruction, views[1:], views[:1], r.covers, events, _bytes(views), compute)

    def _reduction(self, instruction, pes, counters, op) -> Prepared:
        tables = self._tables
        r, a = self._operands.resolve_all(instruction, pes, counters)
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
        table[1] = (a.row, a.dtype, *ae, n, *astr, a.strides[-1], is_dense((*ae, n), (*astr, a.strides[-1])))
        offsets = np.zeros((2, max(len(r.offsets), len(a.offsets))), np.int64)
        offsets[0], offsets[1] = r.offsets, a.offsets
        members, addresses, scratch = pes.pes, self._sram.addresses, self._scratch

        def compute() -> None:
            backend.reduce(tables.memory_at, addresses, members, op, table, offsets, scratch)

        events = cost.element_events("add", a.elements, r.dtype_name)
        return self._timed(pes, instruction, [a], [r], r.covers, events, _bytes([a, r]), compute)

    def _sum(self, instruction, pes, counters) -> Prepared:
        return self._reduction(instruction, pes, counters, backend.SUM)

    def _reduce_max(self, instruction, pes, counters) -> Prepared:
        return self._reduction(instruction, pes, counters, backend.REDUCE_MAX)

    def _product(self, instruction, pes, counters, transposed: bool) -> Prepared:
        tables = self._tables
        c, a, b = self._operands.resolve_all(instruction, pes, counters)
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
        vector = str(instruction.option("vector", "m"))
        events = cost.gemm_events(count, m, k, n, c.dtype_name, a.dtype_name, vector)
        touched = gemm_bytes(count, m, k, n, c.dtype_name, a.dtype_name, b.dtype_name, vector)
        return self._timed(pes, instruction, [c, a, b], [c], True, events, touched, compute, cost.macs(count, m, k, n))

    def _gemm(self, instruction, pes, counters) -> Prepared:
        return self._product(instruction, pes, counters, False)

    def _gemm_t(self, instruction, pes, counters) -> Prepared:
        return self._product(instruction, pes, counters, True)

    def _filling(self, instruction, pes, counters, values: np.ndarray, where: np.ndarray, partial: bool) -> Prepared:
        tables = self._tables
        (r,) = self._operands.resolve_all(instruction, pes, counters)
        table, offsets = self._table(instruction, [r])
        operand = table[0]
        members, addresses = pes.pes, self._sram.addresses

        def compute() -> None:
            backend.fill(tables.memory_at, addresses, members, operand, offsets, values, where)

        events = cost.element_events("move", r.elements, r.dtype_name)
        reads = [r] if partial else []
        return self._timed(pes, instruction, reads, [r], r.covers and not partial, events, _bytes([r]), compute)

    def _fill(self, instruction, pes, counters) -> Prepared:
        (r,) = self._operands.resolve_all(instruction, pes, counters)
        value = np.array([[_number(instruction.option("value"))]], np.float64)
        condition = instruction.option("where")
        if condition is None or not self._tables.values:
            return self._filling(instruction, pes, counters, value, np.ones((1, 1), np.bool_), False)
        where = self._values.elements(condition, pes, counters, r.extents) != 0
        return self._filling(instruction, pes, counters, value, where, True)

    def _index(self, instruction, pes, counters) -> Prepared:
        (r,) = self._operands.resolve_all(instruction, pes, counters)
        if not self._tables.values:
            return self._filling(instruction, pes, counters, np.zeros((1, 1)), np.ones((1, 1), np.bool_), False)
        values = self._values.elements(instruction.option("value"), pes, counters, r.extents).astype(np.float64)
        return self._filling(instruction, pes, counters, values, np.ones((1, 1), np.bool_), False)

    def _gather(self, instruction, pes, counters) -> Prepared:
        tables = self._tables
        r, table_view, index = self._operands.resolve_all(instruction, pes, counters)
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
        timed_only = not self._tables.values
        bases = self._values.value(base, pes, counters) if isinstance(base, Expr) and not timed_only else 0
        bases = np.atleast_1d(np.asarray(bases, np.int64))
        members, addresses = pes.pes, self._sram.addresses

        def compute() -> None:
            backend.gather_rows(tables.memory_at, addresses, members, table, offsets, bases, rows, width)

        events = cost.element_events("move", r.elements, r.dtype_name)
        # Of the table, as many elements are read as the result has.
        touched = _bytes([index, r]) + arithmetic_bytes([(r.elements, table_view.dtype_name)])
        return self._timed(pes, instruction, [table_view, index], [r], r.covers, events, touched, compute)

    def _rotate(self, instruction, pes, counters) -> Prepared:
        sram = self._sram
        a, b = self._operands.resolve_all(instruction, pes, counters)
        if not (a.covers and b.covers) or a.extents != b.extents or a.dtype != b.dtype:
            raise MeshError(
                "M0524", f"rotate at line {instruction.line} needs two whole buffers of one shape and dtype"
            )
        run = _nothing if sram.unchanging else partial(sram.rotate, a.row, b.row, pes)
        return Prepared(pes, run, self._target.issue_cycles, events={"issue_cycles": 1})


def _nothing(row: int) -> None:
    """What arithmetic does where only time is kept."""


def _bytes(operands: Sequence[Operand]) -> int:
    return arithmetic_bytes((o.elements, o.dtype_name) for o in operands)


def _number(value) -> float:
    return float(value.value) if isinstance(value, Int) else float(value)
