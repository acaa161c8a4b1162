"""Fabric instructions made ready to run: colors, paths and the record of what the moves of a call have in common."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from meshrt.engines.batched import moves
from meshrt.engines.batched.critical import Ledger
from meshrt.engines.batched.index_cache import IndexCache
from meshrt.engines.batched.operands import Operand, Operands
from meshrt.engines.batched.pe_sets import PeSet
from meshrt.engines.batched.prepared import Move, Prepared
from meshrt.engines.batched.records import (
    BLOCKING,
    DO_RECEIVE,
    DO_ROUTE,
    DO_SEND,
    G_SIZE,
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
from meshrt.engines.views import collapse, is_dense
from meshrt.program import cost
from meshrt.program.instructions import INSTRUCTIONS
from meshrt.program.model import Instruction
from meshrt.program.sram_traffic import fabric_bytes
from meshrt.target import Target

_NO_OFFSET = np.zeros(1, np.int64)


class Fabric:
    """Prepares fabric instructions against one machine's state."""

    def __init__(self, tables: Tables, sram: Sram, index: IndexCache, target: Target, operands: Operands):
        self._tables = tables
        self._sram = sram
        self._values = index
        self._target = target
        self._operands = operands
        self._tracer = Tracer(tables)
        self._views: dict[tuple[int, ...], int] = {}
        self._groups: dict[tuple[int, ...], int] = {}
        self._word_kinds: dict[tuple[str, str], int] = {}
        self._ledger = Ledger(target) if tables.pe_events.size else None

    def prepare(
        self, instruction: Instruction, number: int, pes: PeSet, counters: Mapping[str, int], handles: Mapping[str, int]
    ) -> Prepared:
        """The call that executes the instruction on all PEs of the set. Raises Diverges."""
        if instruction.opcode == "wait":
            return self._wait(instruction, number, pes, handles)
        if instruction.opcode == "route":
            return self._route(instruction, number, pes, counters)
        return self._move(instruction, number, pes, counters, handles)

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

    def _word_kind(self, cost_class: str, dtype: str) -> int:
        """Which vector says what one word costs a move; see :mod:`.critical`."""
        number = self._word_kinds.setdefault((cost_class, dtype), len(self._word_kinds))
        if self._ledger is not None:
            events = cost.word_events(self._target, cost_class, dtype)
            period = cost.word_period(self._target, cost_class, dtype)
            self._tables.word_events[number] = self._ledger.vector(events, period)
        return number

    def _move(self, instruction, number, pes, counters, handles) -> Prepared:
        tables, sram = self._tables, self._sram
        (operand,) = self._operands.resolve_all(instruction, pes, counters)
        name = instruction.option("async")
        handle = handles[str(name)] if name is not None else BLOCKING
        kind = KINDS[instruction.opcode]
        combines = cost.combines(instruction.opcode)
        period = cost.word_period(self._target, "add" if combines else "move", operand.dtype_name)
        n, dtype = operand.elements, operand.dtype
        words = cost.words(n, operand.dtype_name, self._target.word_bytes)
        dense = int(is_dense(operand.extents, operand.strides))
        each = self._word_kind("add" if combines else "move", operand.dtype_name)
        shared = (kind, n, dtype, self._view(operand), period, handle, number)
        role = INSTRUCTIONS[instruction.opcode].operands[0][1]
        watched = operand.row in sram.watched
        reads = (operand.row,) if role != "out" and watched else ()
        writes = (operand.row,) if role != "in" and watched else ()
        members, addresses, offsets = pes.pes, sram.addresses_of(operand.row), operand.offsets
        color = self._color(instruction.option("color", instruction.option("in")), pes, counters)
        out = instruction.option("out")
        outs = self._color(out, pes, counters) if out is not None else _NO_OFFSET
        shareable = operand.row in sram.shareable
        shares = shareable and operand.covers and kind in (SEND, RECV)
        cells, pool = (sram.cells(operand.row), sram.pool(operand.row)) if shares else (0, 0)
        owned = shareable and not shares and role != "in"
        paths = self._tracer.paths(pes, color) if kind == SEND and handle != BLOCKING else NO_PATHS
        buffer = sram.cells(operand.row)
        groups: dict[int, int] = {}
        what = DO_SEND if kind == SEND else DO_RECEIVE

        def group(row: int) -> int:
            g = groups.get(row)
            if g is None:
                g = groups[row] = self._group(
                    *shared, row, words, dense, operand.span, cells, pool, each, buffer, operand.limit
                )
            return g

        def claim() -> None:
            if owned:
                sram.own(operand.row, pes, operand.covers and kind == STREAM_COPY)
            if watched:
                sram.touch(tables.memory_at, pes, reads, writes, operand.covers, instruction)

        claims = bool(owned or watched)

        def run(row: int) -> None:
            if claims:
                claim()
            g = group(row)
            moves.move(tables.records_at, tables.memory_at, what, g, members, color, outs, addresses, offsets, paths)

        move = Move(kind, handle, n, dtype, words, period, color, number, group, paths, offsets, claims, claim)
        return Prepared(
            pes,
            run,
            fabric=True,
            blocking=handle == BLOCKING,
            events=cost.fabric_events(instruction.opcode, n, operand.dtype_name, handle != BLOCKING),
            sram_bytes=fabric_bytes(instruction.opcode, n, operand.dtype_name),
            move=move,
        )

    def _wait(self, instruction, number, pes, handles) -> Prepared:
        tables, members = self._tables, pes.pes
        handle = handles[str(instruction.option("handle"))]

        def run(row: int) -> None:
            moves.wait_group(tables.records_at, members, handle, row, number)

        return Prepared(pes, run, fabric=True, blocking=True)

    def _route(self, instruction, number, pes, counters) -> Prepared:
        tables, members = self._tables, pes.pes
        colors = self._color(instruction.option("color"), pes, counters)
        config = np.array([route_config(instruction.option("from"), instruction.option("to"))], np.int64)
        nowhere = self._sram.addresses_of(0)

        def run(row: int) -> None:
            g = self._group(ROUTE, 0, 0, 0, 0, BLOCKING, number, row, 0, 0, 0, 0, 0, 0, 0, 0)
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
