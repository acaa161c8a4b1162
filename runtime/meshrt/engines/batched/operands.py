"""Views of buffers as the engine uses them: extents, strides and offsets in numbers, checked against the buffer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from meshrt.diagnostics import MeshError
from meshrt.engines.batched.index_cache import IndexCache, Value
from meshrt.engines.batched.pe_sets import PeSet
from meshrt.engines.batched.sram import Sram
from meshrt.engines.views import dense_strides, is_dense
from meshrt.program.model import Instruction, View


class Diverges(Exception):
    """The PEs of a set disagree about something that one operation needs in common; ``values`` is per PE."""

    def __init__(self, values: np.ndarray):
        super().__init__()
        self.values = values


def common(value: Value) -> int:
    """A value that all PEs of the set must share. Raises :class:`Diverges` where they do not."""
    if isinstance(value, np.ndarray):
        raise Diverges(value)
    return value


@dataclass(frozen=True, eq=False, slots=True)
class Operand:
    """A view in numbers. ``offsets`` has one entry, or one for each PE; ``span`` is the last element's offset + 1.

    Its buffer has ``limit`` elements.
    """

    row: int
    dtype: int
    dtype_name: str
    extents: tuple[int, ...]
    strides: tuple[int, ...]
    offsets: np.ndarray
    span: int
    covers: bool
    limit: int

    @property
    def elements(self) -> int:
        return prod(self.extents)


class Operands:
    """Resolves views for sets of PEs."""

    def __init__(self, sram: Sram, index: IndexCache):
        self._sram = sram
        self._index = index

    def resolve(self, view: View, pes: PeSet, counters: Mapping[str, int], instruction: Instruction) -> Operand:
        """The view on these PEs. Raises Diverges, M0522 (no such buffer) or M0523 (outside the buffer)."""
        where = f"in {instruction.opcode} at line {instruction.line}"
        declared = self._sram.declarations(pes, view.buffer)
        if np.any(declared < 0):
            pe = int(pes.pes[int(np.argmax(declared < 0))])
            raise MeshError("M0522", f"{describe_pe(self._sram, pes, pe)} has no buffer {view.buffer} {where}")
        number = int(declared[0])
        if np.any(declared != number):
            raise Diverges(declared)
        buffer = self._sram.declared[number].buffer
        value = self._index.value
        if view.dims is None:
            extents = buffer.shape
            strides = dense_strides(extents)
        else:
            extents = tuple(common(value(d.extent, pes, counters, where)) for d in view.dims)
            strides = tuple(common(value(d.stride, pes, counters, where)) for d in view.dims)
        offset = value(view.offset, pes, counters, where)
        offsets = np.ascontiguousarray(np.atleast_1d(np.asarray(offset, np.int64)))
        n = prod(extents)
        low = sum(min(0, (e - 1) * s) for e, s in zip(extents, strides, strict=True))
        high = sum(max(0, (e - 1) * s) for e, s in zip(extents, strides, strict=True))
        if n < 0 or any(e < 0 for e in extents):
            raise MeshError("M0523", f"a view of {view.buffer} has a negative extent {where}")
        if n and (int(offsets.min()) + low < 0 or int(offsets.max()) + high >= buffer.elements):
            raise MeshError(
                "M0523",
                f"elements {int(offsets.min()) + low} to {int(offsets.max()) + high} of {view.buffer} {where}: "
                f"it has {buffer.elements}",
            )
        return Operand(
            self._sram.row(pes.region, view.buffer),
            self._sram.dtype(number),
            buffer.dtype,
            extents,
            strides,
            offsets,
            high + 1 if n else 0,
            n == buffer.elements and is_dense(extents, strides),
            buffer.elements,
        )

    def resolve_all(self, instruction: Instruction, pes: PeSet, counters: Mapping[str, int]) -> list[Any]:
        """Every argument of an instruction: views as operands, immediates as floats."""
        return [
            self.resolve(a, pes, counters, instruction) if isinstance(a, View) else float(a) for a in instruction.args
        ]


def describe_pe(sram: Sram, pes: PeSet, pe: int) -> str:
    """``PE (x, y)`` of a global PE number, in its region."""
    x, y = sram.coordinates(pes.region, pe)
    return f"PE ({x}, {y})"
