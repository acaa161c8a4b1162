"""What lies in the buffers before the run: source tensors, taken apart by the program's index expressions.

An index expression of a placement reads the coordinates of the PE and the element
indices of the buffer. Each is evaluated on no more than the dimensions it reads, and the
tensor is then read once for each value of the indices in its name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import product
from typing import Protocol

import numpy as np

from meshrt.diagnostics import MeshError
from meshrt.engines.loading.names import RegionNames, rect_pes
from meshrt.program.expr import Expr, evaluate, names_in
from meshrt.program.model import Buffer, Placement, Region
from meshrt.program.parser import parse_expr

_BRACES = re.compile(r"\{([^{}]*)\}")
#: Elements that are gathered in one step; bounds the memory of the index arrays.
_CHUNK = 1 << 22


class Layout(Protocol):
    """Where buffers lie in an engine's memory: ``addresses[row, pe]``, a row for each buffer name of a region."""

    addresses: np.ndarray

    def row(self, region: int, name: str) -> int:
        """Row of a buffer's name in a region."""
        ...

    def buffer_of(self, row: int, pe: int) -> Buffer:
        """The declared buffer that a row means on a PE."""
        ...


def load_placements(
    region: Region, number: int, first: int, names: RegionNames, sram: Layout, memory: np.ndarray, weights: Mapping
) -> list[np.ndarray]:
    """Write every placement of a region into memory; gives the rows of the address table and PEs that were written.

    Raises M0517 for a tensor that the weights lack.
    """
    rounded = _Rounded(weights)
    written = []
    for placement in region.placements:
        pes = rect_pes(placement.rect, region, first)
        row = sram.row(number, placement.buffer)
        buffer = sram.buffer_of(row, int(pes[0]))
        _place(placement, pes, row, buffer, region, names, sram, memory, rounded)
        written.append((row, pes))
    return written


class _Rounded:
    """Source tensors as f32 rounded to a buffer's dtype (or i32), flat, each made once; the last few are kept."""

    def __init__(self, weights: Mapping):
        self._weights = weights
        self._kept: dict[tuple[str, str], tuple[np.ndarray, tuple[int, ...]]] = {}

    def get(self, name: str, dtype: str, placement: Placement) -> tuple[np.ndarray, tuple[int, ...]]:
        key = (name, dtype)
        if key not in self._kept:
            if name not in self._weights:
                raise MeshError(
                    "M0517", f"the weights have no tensor {name!r}, which the placement at line {placement.line} reads"
                )
            stored = self._weights[name]
            values = stored.values() if hasattr(stored, "values") else np.asarray(stored)
            if len(self._kept) >= 8:
                del self._kept[next(iter(self._kept))]
            self._kept[key] = (to_dtype(values, dtype).reshape(-1), values.shape)
        return self._kept[key]


def to_dtype(values: np.ndarray, dtype: str) -> np.ndarray:
    """Numbers as the engine holds elements of a dtype: i32 as int32, floats as f32 rounded to the dtype."""
    if dtype == "i32":
        return np.ascontiguousarray(values).astype(np.int32)
    if dtype == "f16":
        with np.errstate(over="ignore"):
            return np.ascontiguousarray(values).astype(np.float16).astype(np.float32)
    values = np.ascontiguousarray(values, np.float32)
    if dtype == "bf16":
        bits = values.view(np.uint32)
        rounded = (bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))) & np.uint32(0xFFFF0000)
        return np.where(np.isnan(values), values, rounded.view(np.float32))
    return values


def _place(placement, pes, row, buffer, region, names, sram, memory, rounded) -> None:
    ranges = placement.ranges
    in_name = [_name_indices(placement.tensor, ranges)]
    varying = in_name[0]
    flat = memory.view(np.int32) if buffer.dtype == "i32" else memory
    rows = sram.addresses[row, pes]
    strides = [int(np.prod(buffer.shape[d + 1 :])) for d in range(len(buffer.shape))]
    outer = [range(ranges[d].start, ranges[d].stop) for d in varying]
    inner = [d for d in range(len(ranges)) if d not in varying]
    local = pes - (pes[0] - (placement.rect.y0 * region.width + placement.rect.x0))
    # Elements of a row that one name covers: offsets relative to the row.
    offsets = np.zeros([1] * len(inner), np.int64)
    for position, d in enumerate(inner):
        shape = [1] * len(inner)
        shape[position] = -1
        offsets = offsets + (np.arange(ranges[d].start, ranges[d].stop, dtype=np.int64) * strides[d]).reshape(shape)
    per_row = max(1, offsets.size)
    step = max(1, _CHUNK // per_row)
    for chosen in product(*outer):
        bound = {ranges[d].name: value for d, value in zip(varying, chosen, strict=True)}
        name = placement.tensor
        for match in _BRACES.findall(placement.tensor):
            name = _BRACES.sub(str(evaluate(parse_expr(match), bound, names.tables)), name, count=1)
        source, shape = rounded.get(name, buffer.dtype, placement)
        if len(shape) != len(placement.indices):
            raise MeshError(
                "M0517",
                f"the placement at line {placement.line} has {len(placement.indices)} indices; "
                f"{name!r} has {len(shape)} dimensions",
            )
        base = sum(value * strides[d] for d, value in zip(varying, chosen, strict=True))
        whole = per_row == buffer.elements and np.array_equal(offsets.reshape(-1), np.arange(per_row))
        for start in range(0, len(pes), step):
            part = slice(start, start + step)
            bindings: dict[str, int | np.ndarray] = dict(bound)
            bindings |= {n: a[local[part]].reshape([-1] + [1] * len(inner)) for n, a in names.per_pe.items()}
            for position, d in enumerate(inner):
                form = [1] * (1 + len(inner))
                form[1 + position] = -1
                bindings[ranges[d].name] = np.arange(ranges[d].start, ranges[d].stop, dtype=np.int64).reshape(form)
            values = _gather(placement.indices, bindings, names, source, shape)
            values = np.broadcast_to(values, (len(rows[part]), *offsets.shape))
            if whole and base == 0 and _consecutive(rows[part], buffer.elements):
                first = int(rows[part][0])
                flat[first : first + values.size] = values.reshape(-1)
            else:
                at = rows[part].reshape([-1] + [1] * len(inner)) + (offsets + base)[None]
                flat[at] = values


def _consecutive(rows: np.ndarray, elements: int) -> bool:
    return len(rows) == 1 or bool(np.all(np.diff(rows) == elements))


def _name_indices(tensor: str, ranges) -> list[int]:
    used: frozenset[str] = frozenset()
    for match in _BRACES.finditer(tensor):
        used |= names_in(parse_expr(match[1]))
    return [d for d, r in enumerate(ranges) if r.name in used]


def _gather(indices: tuple[Expr, ...], bindings, names, source: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    position: np.ndarray | int = 0
    valid: np.ndarray | bool = True
    for d, expr in enumerate(indices):
        needed = {n: bindings[n] if n in bindings else names.scalars[n] for n in names_in(expr)}
        index = np.asarray(evaluate(expr, needed, names.tables), np.int64)
        inside = (index >= 0) & (index < shape[d])
        if not inside.all():
            valid = valid & inside
            index = np.where(inside, index, 0)
        position = position * shape[d] + index
    if source.size == 0:
        return np.zeros(np.shape(position), source.dtype)
    values = np.take(source, position)
    return values if valid is True else np.where(valid, values, source.dtype.type(0))
