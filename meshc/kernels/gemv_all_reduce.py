"""``gemv.all_reduce``: projections of one token of each sequence, and one all-reduce for all of them.

The input's features lie over one axis, alike along the other; the weight has its input
features over that axis and its output features over the other one. Each PE multiplies its part
of x with its tile, and the sum along the input's axis is everyone's: the results lie over the
other axis, so that the next projection sums along that one and nothing is transposed
(MeshGEMV, WaferLLM section 6). The weights of several parts (Q, K and V; gate and up) lie side
by side and their sums travel together. Biases are added by the first PE of a line.

With ``norm`` the input's RMSNorm is part of it: of x times the norm's weight the product is
taken, the sum of squares travels with the results, and these are divided by its root
afterwards, biases added. In f16 x is made smaller before and the results are made larger
after, by a power of two.

A single weight lies with one output feature after the other, as a token table does: an output
head that is tied to the embedding finds it there.

Critical path: the product of one row with the tile, and one all-reduce of its columns. Memory:
the weights' tiles, and an accumulator. Colors: those of the all-reduce.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

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
    tokens, inner, columns = result.tokens.tile, source.features.tile, sum(layout.tile for layout in layouts)
    norm = op.attributes.get("norm")
    # Behind the columns of all parts lies the sum of squares, where there is one.
    places = columns + (norm is not None)
    shape = (places, tokens) if result.transposed else (tokens, places)
    accumulator = lowering.temporary("acc", lowering.other, *shape)
    sums = _columns(accumulator, result, 0, columns)
    x = by_token(lowering.buffer_of(op.operands[0]), source, inner)
    squares = None
    if norm is not None:
        squares = _column(accumulator, result, columns)
        x = _scaled(op, lowering, norm, x, squares)
    biases = placed_biases(op, lowering, None if norm is not None else Name(source.axis).eq(0))
    # A bias is not to be divided, so behind a norm it is added at the end.
    if biases is not None and norm is None:
        builder.emit("copy", sums, biases.view((tokens, 0), (columns, 1)))
    else:
        builder.emit("fill", sums, value=0.0)
    vector = "n" if columns >= tokens else "m"
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
    if squares is not None and norm is not None:
        _rooted(op, lowering, norm, squares)
    elif len(op.results) == 1 and result.dtype == accumulator.dtype:
        lowering.values[op.results[0]] = accumulator
        return
    start = 0
    for value, layout in zip(op.results, layouts, strict=True):
        target = by_token(lowering.result_buffer(value, "projected"), shard_of(value), layout.tile)
        part_sums = _columns(accumulator, result, start, layout.tile)
        if norm is None:
            builder.emit("copy", target, part_sums)
        else:
            root = _columns(accumulator, result, columns, layout.tile, step=0)
            if biases is None:
                builder.emit("mul", target, part_sums, root)
            else:
                bias = biases.view((tokens, 0), (layout.tile, 1), offset=start)
                builder.emit("fma", target, part_sums, root, bias)
        start += layout.tile


#: In f16 the input of a product behind a norm is this much smaller than the residual stream, whose largest values
#: come near to the largest of f16 in some models.
SHRUNK = 1 / 16


def _shrinking(lowering: Lowering) -> float:
    return SHRUNK if lowering.operand == "f16" else 1.0


def _scaled(op: Operation, lowering: Lowering, norm: Mapping[str, Any], x: View, squares: View) -> View:
    """Append x times the norm's weight, as the product takes it, and the sum of squares of this PE's features."""
    builder = lowering.builder
    source = shard_of(op.operands[0])
    tokens, inner = source.tokens.tile, source.features.tile
    square = lowering.temporary("square", lowering.other, tokens, inner)
    builder.emit("mul", square, x, x)
    builder.emit("sum", squares, square)
    shrinking = _shrinking(lowering)
    if shrinking != 1.0:
        builder.emit("mul", square, x, shrinking)
        x = square.whole
    if "weight" not in norm:
        weight = None
    else:
        placed = lowering.vector(op.operands[norm["weight"]], source.features, "norm_w", axis=source.axis)
        weight = placed.view((tokens, 0), (inner, 1))
    scaled = lowering.temporary("scaled", lowering.operand, tokens, inner)
    if weight is None:
        builder.emit("copy", scaled, x)
    elif norm["unit_offset"]:
        builder.emit("fma", scaled, x, weight, x)
    else:
        builder.emit("mul", scaled, x, weight)
    return scaled.whole


def _rooted(op: Operation, lowering: Lowering, norm: Mapping[str, Any], squares: View) -> None:
    """Append: sums of squares become what the results are multiplied with, 1 / root of their mean, grown again."""
    builder = lowering.builder
    # 1 / root of (mean s² + eps s²) is 1/s times as much; powers of two cost no precision.
    shrinking = _shrinking(lowering) ** 2
    count = shard_of(op.operands[0]).features.extent
    builder.emit("mul", squares, squares, shrinking / count)
    builder.emit("add", squares, squares, float(norm["eps"]) * shrinking)
    builder.emit("rsqrt", squares, squares)


def _columns(accumulator: MeshBuffer, type: ShardType, start: int, count: int, step: int = 1) -> View:
    """Columns of the accumulator as [tokens, columns]; it lies as the results do, tokens or columns first.

    With ``step`` 0 the first of them, ``count`` times.
    """
    tokens = type.tokens.tile
    if type.transposed:
        return accumulator.at(start * tokens, (tokens, 1), (count, tokens * step))
    return accumulator.at(start, (tokens, accumulator.shape[1]), (count, step))


def _column(accumulator: MeshBuffer, type: ShardType, column: int) -> View:
    """One column of the accumulator as [tokens]."""
    tokens = type.tokens.tile
    if type.transposed:
        return accumulator.at(column * tokens, tokens)
    return accumulator.at(column, (tokens, accumulator.shape[1]))


KERNEL = Kernel(
    "gemv.all_reduce", "tile.gemv", "a product of one row, then an all-reduce along the input's axis (MeshGEMV)", emit
)
