"""``gemm.row_parallel``: weights stay, partial results travel (the row-parallel linear of Megatron-LM, on a mesh).

C[m, n] = X[m, k] W[k, n] on W x H PEs. Every PE keeps the rows of W that belong to its own
columns of X, for all of n, so neither X nor W ever moves: for each column of PEs in turn it
multiplies its part of the result, and the row adds the parts up on the way to that column.

Critical path: W tile products, one beside the other in a PE, each followed by a software
chain along the row. Memory: W tiles of W (H times as much over all PEs as a kernel needs
that cuts W over both axes), one partial tile, the accumulator. Colors: the four of the
chains along x. Best on few rows, where the weights are not copied much, and for few tokens,
where partial results are small.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from meshc.dialects.layout import Layout
from meshc.dialects.shard import shard_of
from meshc.ir.core import Operation
from meshc.kernels.chain import chain_reduce, whole_axis
from meshc.kernels.estimate import Estimate, Scaling, Site
from meshc.kernels.kernel import Kernel
from meshc.kernels.linear import TileProduct, ends_cycles, finish_parts, part_layouts, start_accumulator
from meshc.kernels.lowering import Lowering, Section, Weight
from meshrt.program.cost import element_cycles, launch_cycles
from meshrt.program.expr import Expr, ExprLike, Name


def emit(op: Operation, lowering: Lowering) -> None:
    """Append the kernel's buffers and code."""
    builder = lowering.builder
    x = op.operands[0]
    tiles = TileProduct.of(op)
    weights = _weights(op, lowering, tiles)
    own = lowering.buffer_of(x)
    if own.dtype != lowering.operand:
        own = lowering.temporary("x_own", lowering.operand, tiles.rows, tiles.inner)
        builder.emit("copy", own, lowering.buffer_of(x))
    accumulator = start_accumulator(op, lowering, tiles.rows, tiles.columns)
    partial = lowering.temporary("partial", lowering.other, tiles.rows, tiles.columns)
    row = whole_axis(builder, "x")
    with builder.loop("column", builder.width) as column:
        builder.emit("fill", partial, value=0.0)
        part = weights.view(tiles.inner, tiles.columns, offset=column * (tiles.inner * tiles.columns))
        builder.emit("gemm", partial, own, part, vector=tiles.vector)
        chain_reduce(builder, row, column, partial, "add")
        with builder.when(row.position.eq(column)):
            builder.emit("add", accumulator, accumulator, partial)
    finish_parts(op, lowering, accumulator, tiles.rows, tiles.columns)


def _weights(op: Operation, lowering: Lowering, tiles: TileProduct) -> Weight:
    """The rows of all parts' weights that belong to this column's features, [columns of PEs, inner, columns]."""
    inputs = shard_of(op.operands[0]).x
    sections: list[Section] = []
    start = 0
    for part, layout in zip(op.attributes["parts"], part_layouts(op), strict=True):
        weight = op.operands[part["weight"]]
        matrix = lowering.matrix(weight, part["order"], layout, part["start"], part["stop"])

        def indices(e: list[Expr], matrix: Callable = matrix, layout: Layout = layout) -> Sequence[ExprLike]:
            return matrix(inputs.index(Name("x"), e[1]), layout.index(e[0], e[2]))

        sections.append(Section(weight, indices, start, layout.tile))
        start += layout.tile
    shape = (lowering.width, tiles.inner, tiles.columns)
    return lowering.place("w_row_parallel", lowering.operand, shape, sections)


def estimate(op: Operation, site: Site) -> Estimate:
    """The prediction: each round's chain from the west comes through the root of the round before, which was late."""
    tiles = TileProduct.of(op)
    width, size = site.width, tiles.rows * tiles.columns
    own = shard_of(op.operands[0]).dtype != site.operand
    now = ends_cycles(op, site) + (site.move(tiles.rows * tiles.inner) if own else 0) + site.issue
    now += width * (site.round + site.move(size, site.other) + tiles.cycles(site) + site.branch)
    now += width * element_cycles(site.target, "add", size, site.other)
    if width > 1:
        # One side of a root's row after the other; in the first round it comes from the far end.
        side = launch_cycles(site.target, False) + site.words(size, site.other)
        now += width * 4 * site.branch + 2 * (width - 1) * (side + site.flight(1))
    memory = site.bytes(width * tiles.inner * tiles.columns + own * tiles.rows * tiles.inner, 2 * size)
    return Estimate(now, memory, 4 if width > 1 else 0, 2 * (width - 1), 2 * (width - 1))


KERNEL = Kernel(
    "gemm.row_parallel",
    "tile.gemm",
    "weights stay, rows add up partial results",
    emit,
    rank=4,
    estimate=estimate,
    scaling=Scaling("N W + 2 C", "O(N)", "1", "N", "Shoeybi et al. 2019 (Megatron-LM), section 3"),
)
