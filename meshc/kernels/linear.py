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
from meshc.kernels.lowering import Lowering, Section, Weight, tensor_name
from meshc.kernels.schedule import Schedule, schedule_of, vectors
from meshrt.program.expr import Expr, ExprLike, Name


def part_layouts(op: Operation) -> list[Layout]:
    """The feature layout of each part's result."""
    return [shard_of(result).x for result in op.results]


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
    sections: list[Section] = []
    columns = 0
    for part, layout in zip(op.attributes["parts"], layouts, strict=True):
        weight = op.operands[part["weight"]]
        matrix = lowering.matrix(weight, part["order"], layout, part["start"], part["stop"])

        def indices(e: list[Expr], matrix: Callable = matrix, layout: Layout = layout) -> Sequence[ExprLike]:
            return matrix(k(*e[:-1]), layout.index(Name("x"), e[-1]))

        sections.append(Section(weight, indices, columns, layout.tile))
        columns += layout.tile
    return lowering.place("w_" + _hint(op), lowering.operand, (*shape, columns), sections)


def _hint(op: Operation) -> str:
    """The modules that the weights belong to: ``q_proj_k_proj_v_proj``."""
    names = [re.sub(r"\.?\{.*?\}", "", tensor_name(op.operands[part["weight"]])) for part in op.attributes["parts"]]
    return "_".join(dict.fromkeys(name.removesuffix(".weight").rpartition(".")[2] for name in names))


def start_accumulator(op: Operation, lowering: Lowering, rows: int, columns: int) -> MeshBuffer:
    """An accumulator [rows, columns] that holds the biases, or zero."""
    accumulator = lowering.temporary("acc", lowering.other, rows, columns)
    builder = lowering.builder
    sections: list[Section] = []
    start = 0
    for part, layout in zip(op.attributes["parts"], part_layouts(op), strict=True):
        if "bias" in part:
            indices = lowering.stretch(op.operands[part["bias"]], layout, part["start"], part["stop"])
            sections.append(Section(op.operands[part["bias"]], indices, start, layout.tile))
        start += layout.tile
    if sections:
        bias_row = lowering.place("bias", lowering.operand, (columns,), sections)
        builder.emit("copy", accumulator, bias_row.view((rows, 0), (columns, 1)))
    else:
        builder.emit("fill", accumulator, value=0.0)
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
