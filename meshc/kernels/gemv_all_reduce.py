"""``gemv.all_reduce``: projections of one token of each sequence, and one all-reduce for all of them.

The input's features lie over one axis, alike along the other; the weight has its input
features over that axis and its output features over the other one. Each PE multiplies its part
of x with its tile, and the sum along the input's axis is everyone's: the results lie over the
other axis, so that the next projection sums along that one and nothing is transposed
(MeshGEMV, WaferLLM section 6). The weights of several parts (Q, K and V; gate and up) lie side
by side and their sums travel together. Biases are added by the first PE of a line.

A single weight lies with one output feature after the other, as a token table does: an output
head that is tied to the embedding finds it there.

Critical path: the product of one row with the tile, and one all-reduce of its columns. Memory:
the weights' tiles, and an accumulator. Colors: those of the all-reduce.
"""

from __future__ import annotations

from meshc.dialects.layout import Layout
from meshc.dialects.shard import ShardType, shard_of
from meshc.ir.core import Operation
from meshc.kernels.builder import MeshBuffer
from meshc.kernels.collectives.line import whole
from meshc.kernels.kernel import Kernel
from meshc.kernels.line_reduce import combine
from meshc.kernels.linear import part_layouts, placed_biases, placed_parts, weights_hint
from meshc.kernels.lowering import Lowering, by_token
from meshc.kernels.table import place_columns
from meshrt.program.expr import Name
from meshrt.program.model import View


def emit(op: Operation, lowering: Lowering) -> None:
    """Append the product, the all-reduce and the hand-out of the parts."""
    builder = lowering.builder
    source, result = shard_of(op.operands[0]), shard_of(op.results[0])
    layouts = part_layouts(op)
    inner, columns = source.features.tile, sum(layout.tile for layout in layouts)
    x = by_token(lowering.buffer_of(op.operands[0]), source, inner)
    accumulator = _started(op, lowering, layouts, source.axis)
    sums = _columns(accumulator, result, 0, columns)
    vector = "n" if columns >= result.tokens.tile else "m"
    if len(layouts) == 1:
        (part,) = op.attributes["parts"]
        weight = op.operands[part["weight"]]
        stretch = part["order"], part["start"], part["stop"]
        placed = place_columns(
            lowering, weight, source.features, source.axis, layouts[0], *stretch, hint=weights_hint(op)
        )
        builder.emit("gemm_t", sums, x, placed.view(), vector=vector)
    else:
        placed = placed_parts(op, lowering, lambda k: source.features.index(Name(source.axis), k), inner)
        builder.emit("gemm", sums, x, placed.view(), vector=vector)
    combine(lowering, whole(builder, source.axis), accumulator)
    if len(op.results) == 1 and result.dtype == accumulator.dtype:
        lowering.values[op.results[0]] = accumulator
        return
    start = 0
    for value, layout in zip(op.results, layouts, strict=True):
        target = by_token(lowering.result_buffer(value, "projected"), shard_of(value), layout.tile)
        builder.emit("copy", target, _columns(accumulator, result, start, layout.tile))
        start += layout.tile


def _columns(accumulator: MeshBuffer, type: ShardType, start: int, count: int) -> View:
    """Columns of the accumulator as [tokens, columns]; it lies as the results do, tokens or columns first."""
    tokens = type.tokens.tile
    if type.transposed:
        return accumulator.at(start * tokens, (tokens, 1), (count, tokens))
    return accumulator.at(start, (tokens, accumulator.shape[1]), (count, 1))


def _started(op: Operation, lowering: Lowering, layouts: list[Layout], axis: str) -> MeshBuffer:
    """An accumulator that holds zero, or in the first PE of a line the biases."""
    builder = lowering.builder
    result = shard_of(op.results[0])
    tokens, columns = result.tokens.tile, sum(layout.tile for layout in layouts)
    shape = (columns, tokens) if result.transposed else (tokens, columns)
    accumulator = lowering.temporary("acc", lowering.other, *shape)
    biases = placed_biases(op, lowering, Name(axis).eq(0))
    if biases is not None:
        builder.emit("copy", _columns(accumulator, result, 0, columns), biases.view((tokens, 0), (columns, 1)))
    else:
        builder.emit("fill", accumulator, value=0.0)
    return accumulator


KERNEL = Kernel(
    "gemv.all_reduce", "tile.gemv", "a product of one row, then an all-reduce along the input's axis (MeshGEMV)", emit
)
