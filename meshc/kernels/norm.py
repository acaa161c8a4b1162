"""RMSNorm and LayerNorm: local sums, an all-reduce along the features' axis, then scale (and shift).

Over all features, or over each head's (``heads``), where the row's segment is the head's
column group. In decode features may lie over y, and the all-reduce runs along the column.
Sums and the result of the root stay in the accumulator dtype. LayerNorm takes the variance
of the centred values (two all-reduces), as torch does; padded columns are kept at zero so
that they add nothing.
"""

from __future__ import annotations

from meshc.dialects.layout import Heads
from meshc.dialects.shard import heads_of, shard_of
from meshc.ir.core import Operation
from meshc.kernels.builder import MeshBuffer
from meshc.kernels.chain import Segment
from meshc.kernels.collectives.line import whole
from meshc.kernels.kernel import Kernel
from meshc.kernels.line_reduce import combine, head_lines
from meshc.kernels.lowering import Lowering, Section, Weight, by_token, outside
from meshrt.program.expr import Expr, Name
from meshrt.program.model import View


def head_segment(layout: Heads) -> Segment:
    """The row's segment that holds one group of heads."""
    x = Name("x")
    return Segment("x", layout.member(x), layout.columns, layout.in_group(x))


def emit_rms_norm(op: Operation, lowering: Lowering) -> None:
    """Append RMSNorm: x / sqrt(mean(x²) + eps) * w, or * (1 + w) with ``unit_offset``."""
    builder = lowering.builder
    x = lowering.buffer_of(op.operands[0])
    type = shard_of(op.result)
    rows, inner = type.tokens.tile, type.features.tile
    by_heads = bool(op.attributes.get("heads"))
    if by_heads:
        heads = heads_of(op.result)
        groups, width, count = heads.heads_local, 2 * heads.pairs, heads.head_dim
    else:
        groups, width, count = 1, inner, type.features.extent
    square = lowering.temporary("square", lowering.other, rows, groups, width)
    total = lowering.temporary("total", lowering.other, rows, groups)
    shaped = by_token(x, type, groups, width)
    builder.emit("mul", square, shaped, shaped)
    builder.emit("sum", total, square)
    combine(lowering, head_lines(builder, heads_of(op.result)) if by_heads else whole(builder, type.axis), total)
    builder.emit("mul", total, total, 1.0 / count)
    builder.emit("add", total, total, float(op.attributes["eps"]))
    builder.emit("rsqrt", total, total)
    spread = total.at(0, (rows, groups), (groups, 1), (width, 0))
    builder.emit("mul", square, shaped, spread)
    output = lowering.result_buffer(op.result, "norm")
    out = by_token(output, type, groups, width)
    if len(op.operands) == 1:
        builder.emit("copy", out, square)
        return
    if by_heads:
        scale = _head_vector(op, lowering, heads_of(op.result))
    else:
        scale = lowering.vector(op.operands[1], type.features, "norm_w", axis=type.axis)
    weight = scale.view((rows, 0), (groups, 0), (width, 1))
    if op.attributes.get("unit_offset"):
        builder.emit("fma", out, square, weight, square)
    else:
        builder.emit("mul", out, square, weight)


def _head_vector(op: Operation, lowering: Lowering, layout: Heads) -> Weight:
    """A [head_dim] weight: this column's dimensions of one head."""

    def indices(e: list[Expr]) -> list[Expr]:
        return [layout.dim(Name("x"), e[0] // layout.pairs, e[0] % layout.pairs)]

    return lowering.place("head_w", lowering.operand, (2 * layout.pairs,), [Section(op.operands[1], indices)])


def emit_layer_norm(op: Operation, lowering: Lowering) -> None:
    """Append LayerNorm: (x - mean) / sqrt(var + eps) * w + b."""
    builder = lowering.builder
    type = shard_of(op.result)
    layout = type.features
    rows, inner = type.tokens.tile, layout.tile
    x = by_token(lowering.buffer_of(op.operands[0]), type, inner)
    centred = lowering.temporary("centred", lowering.other, rows, inner)
    square = lowering.temporary("square", lowering.other, rows, inner)
    total = lowering.temporary("total", lowering.other, rows)

    def mean_of(source: MeshBuffer | View) -> None:
        builder.emit("sum", total, source)
        combine(lowering, whole(builder, type.axis), total)
        builder.emit("mul", total, total, 1.0 / layout.extent)

    spread = total.at(0, (rows, 1), (inner, 0))
    mean_of(x)
    builder.emit("sub", centred, x, spread)
    if layout.padded != layout.extent:
        builder.emit("fill", centred, value=0.0, where=outside(layout, Name("i1"), type.axis))
    builder.emit("mul", square, centred, centred)
    mean_of(square)
    builder.emit("add", total, total, float(op.attributes["eps"]))
    builder.emit("rsqrt", total, total)
    builder.emit("mul", centred, centred, spread)
    output = by_token(lowering.result_buffer(op.result, "norm"), type, inner)
    if len(op.operands) == 1:
        builder.emit("copy", output, centred)
        return
    weight, *bias = (
        lowering.vector(value, layout, hint, axis=type.axis).view((rows, 0), (inner, 1))
        for value, hint in zip(op.operands[1:], ("norm_w", "norm_b"), strict=False)
    )
    if bias:
        builder.emit("fma", output, centred, weight, bias[0])
    else:
        builder.emit("mul", output, centred, weight)


RMS = Kernel("norm.rms", "tile.rms_norm", "RMSNorm with one all-reduce along its features", emit_rms_norm)
LAYER = Kernel("norm.layer", "tile.layer_norm", "LayerNorm with two all-reduces along its features", emit_layer_norm)
