"""What all GEMM kernels share: several weights behind one input, biases, and handing out the results.

A ``tile.gemm`` may carry several linear operations on one input (Q, K and V; gate and
up). Their weight tiles lie side by side, so that the input is aligned and shifted once.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from meshc.dialects.layout import Layout
from meshc.dialects.shard import shard_of
from meshc.ir.core import Operation
from meshc.kernels.builder import MeshBuffer
from meshc.kernels.estimate import Site
from meshc.kernels.lowering import Indices, Lowering, Section, Weight, tensor_name
from meshc.kernels.schedule import Schedule, schedule_of, vectors
from meshrt.program.expr import Expr, ExprLike, Name, select


def part_layouts(op: Operation) -> list[Layout]:
    """The feature layout of each part's result."""
    return [shard_of(result).features for result in op.results]


@dataclass(frozen=True, slots=True)
class TileProduct:
    """The tile product of a ``tile.gemm``: C[rows, columns] += X[rows, inner] W[inner, columns].

    ``vector`` is the dimension of its vector operations: the one that the operation's schedule
    names, else the longer one.
    """

    rows: int
    inner: int
    columns: int
    vector: str

    @classmethod
    def of(cls, op: Operation) -> TileProduct:
        """The tiles of an operation, its parts side by side."""
        rows, inner = shard_of(op.operands[0]).tile
        columns = sum(layout.tile for layout in part_layouts(op))
        return cls(rows, inner, columns, schedule_of(op).get("vector", "n" if columns >= rows else "m"))

    def cycles(self, site: Site, inner: int | None = None) -> int:
        """The product, or one of another depth."""
        return site.product(self.rows, self.inner if inner is None else inner, self.columns, self.vector)


def loop_orders(op: Operation, width: int, height: int) -> Sequence[Schedule]:
    """The schedules of a kernel of which only the tile product's loop order is free: ``vector``."""
    return vectors(TileProduct.of(op).vector)


def ends_cycles(op: Operation, site: Site) -> int:
    """Cycles of :func:`start_accumulator` and :func:`finish_parts`."""
    tiles = TileProduct.of(op)
    results = [shard_of(result) for result in op.results]
    cycles = site.move(tiles.rows * tiles.columns, site.other)
    if len(results) > 1 or results[0].dtype != site.other:
        cycles += sum(site.move(tiles.rows * result.x.tile, result.dtype) for result in results)
    return cycles


def placed_parts(op: Operation, lowering: Lowering, k: Callable[..., Expr], *shape: int) -> Weight:
    """All parts' weight tiles side by side, [*shape, columns]; ``k`` gives the input feature at each index of shape."""
    layouts = part_layouts(op)
    axis = Name(shard_of(op.results[0]).axis)
    sections: list[Section] = []
    columns = 0
    for part, layout in zip(op.attributes["parts"], layouts, strict=True):
        weight = op.operands[part["weight"]]
        matrix = lowering.matrix(weight, part["order"], layout, part["start"], part["stop"])

        def indices(e: list[Expr], matrix: Callable = matrix, layout: Layout = layout) -> Sequence[ExprLike]:
            return matrix(k(*e[:-1]), layout.index(axis, e[-1]))

        sections.append(Section(weight, indices, columns, layout.tile))
        columns += layout.tile
    return lowering.place(weights_hint(op), lowering.operand, (*shape, columns), sections)


def weights_hint(op: Operation) -> str:
    """A name after the modules that the weights belong to: ``w_q_proj_k_proj_v_proj``."""
    names = [re.sub(r"\.?\{.*?\}", "", tensor_name(op.operands[part["weight"]])) for part in op.attributes["parts"]]
    return "_".join(("w", *dict.fromkeys(name.removesuffix(".weight").rpartition(".")[2] for name in names)))


def placed_biases(op: Operation, lowering: Lowering, only: Expr | None = None) -> Weight | None:
    """All parts' biases side by side, [columns], zero for a part without one; None where no part has one.

    Where ``only`` is given, PEs on which it is 0 hold zeros.
    """
    parts = op.attributes["parts"]
    if not any("bias" in part for part in parts):
        return None
    axis = shard_of(op.results[0]).axis
    sections: list[Section] = []
    columns = 0
    for part, layout in zip(parts, part_layouts(op), strict=True):
        value = op.operands[part.get("bias", part["weight"])]
        indices: Indices = _outside
        if "bias" in part:
            indices = _where(only, lowering.stretch(value, layout, part["start"], part["stop"], axis))
        sections.append(Section(value, indices, columns, layout.tile))
        columns += layout.tile
    return lowering.place("bias", lowering.operand, (columns,), sections)


def _outside(e: list[Expr]) -> Sequence[ExprLike]:
    """An index outside any matrix, where placements read zero."""
    return -1, -1


def _where(condition: Expr | None, indices: Indices) -> Indices:
    """The same indices, outside the vector where the condition is 0."""
    if condition is None:
        return indices
    return lambda e: [select(condition, index, -1) for index in indices(e)]


def start_accumulator(op: Operation, lowering: Lowering, rows: int, columns: int) -> MeshBuffer:
    """An accumulator [rows, columns] that holds the biases, or zero."""
    accumulator = lowering.temporary("acc", lowering.other, rows, columns)
    biases = placed_biases(op, lowering)
    if biases is not None:
        lowering.builder.emit("copy", accumulator, biases.view((rows, 0), (columns, 1)))
    else:
        lowering.builder.emit("fill", accumulator, value=0.0)
    return accumulator


def finish_parts(op: Operation, lowering: Lowering, accumulator: MeshBuffer, rows: int, columns: int) -> None:
    """Hand each part of the accumulator to its result, rounded to the result's dtype."""
    builder = lowering.builder
    if len(op.results) == 1 and shard_of(op.result).dtype == accumulator.dtype:
        lowering.values[op.results[0]] = accumulator
        return
    start = 0
    for result, layout in zip(op.results, part_layouts(op), strict=True):
        buffer = lowering.result_buffer(result, "linear")
        builder.emit("copy", buffer, accumulator.at(start, (rows, columns), (layout.tile, 1)))
        start += layout.tile
