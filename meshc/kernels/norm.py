"""RMSNorm and LayerNorm: local sums, an all-reduce along the row, then scale (and shift).

Over all features, or over each head's (``heads``), where the row's segment is the head's
column group. Sums and the result of the root stay in the accumulator dtype. LayerNorm
takes the variance of the centred values (two all-reduces), as torch does; padded columns
are kept at zero so that they add nothing.
"""

from __future__ import annotations

from meshc.dialects.layout import Heads
from meshc.dialects.shard import heads_of, shard_of
from meshc.ir.core import Operation
from meshc.kernels.builder import MeshBuffer
from meshc.kernels.chain import Segment, chain_all_reduce, whole_axis
from meshc.kernels.kernel import Kernel
from meshc.kernels.lowering import Lowering, Section, Weight, outside
from meshrt.program.expr import Expr, Name


def head_segment(layout: Heads) -> Segment:
    """The row's segment that holds one group of heads."""
    x = Name("x")
    return Segment("x", layout.member(x), layout.columns, layout.in_group(x))


def emit_rms_norm(op: Operation, lowering: Lowering) -> None:
    """Append RMSNorm: x / sqrt(mean(x²) + eps) * w, or * (1 + w) with ``unit_offset``."""
    builder = lowering.builder
    x = lowering.buffer_of(op.operands[0])
    rows, inner = shard_of(op.result).tile
    by_heads = bool(op.attributes.get("heads"))
    if by_heads:
        heads = heads_of(op.result)
        groups, width, count = heads.heads_local, 2 * heads.pairs, heads.head_dim
        segment = head_segment(heads)
    else:
        groups, width, count = 1, inner, shard_of(op.result).x.extent
        segment = whole_axis(builder, "x")
    square = lowering.temporary("square", lowering.other, rows, groups, width)
    total = lowering.temporary("total", lowering.other, rows, groups)
    shaped = x.at(0, rows, groups, width)
    builder.emit("mul", square, shaped, shaped)
    builder.emit("sum", total, square)
    chain_all_reduce(builder, segment, total, "add")
    builder.emit("mul", total, total, 1.0 / count)
    builder.emit("add", total, total, float(op.attributes["eps"]))
    builder.emit("rsqrt", total, total)
    spread = total.at(0, (rows, groups), (groups, 1), (width, 0))
    builder.emit("mul", square, shaped, spread)
    output = lowering.result_buffer(op.result, "norm")
    out = output.at(0, rows, groups, width)
    if len(op.operands) == 1:
        builder.emit("copy", out, square)
        return
    if by_heads:
        scale = _head_vector(op, lowering, heads_of(op.result))
    else:
        scale = lowering.vector(op.operands[1], shard_of(op.result).x, "norm_w")
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
    x = lowering.buffer_of(op.operands[0])
    rows, inner = shard_of(op.result).tile
    layout = shard_of(op.result).x
    segment = whole_axis(builder, "x")
    centred = lowering.temporary("centred", lowering.other, rows, inner)
    square = lowering.temporary("square", lowering.other, rows, inner)
    total = lowering.temporary("total", lowering.other, rows)

    def mean_of(source: MeshBuffer) -> None:
        builder.emit("sum", total, source)
        chain_all_reduce(builder, segment, total, "add")
        builder.emit("mul", total, total, 1.0 / layout.extent)

    spread = total.at(0, (rows, 1), (inner, 0))
    mean_of(x)
    builder.emit("sub", centred, x, spread)
    if layout.padded != layout.extent:
        builder.emit("fill", centred, value=0.0, where=outside(layout, Name("i1")))
    builder.emit("mul", square, centred, centred)
    mean_of(square)
    builder.emit("add", total, total, float(op.attributes["eps"]))
    builder.emit("rsqrt", total, total)
    builder.emit("mul", centred, centred, spread)
    output = lowering.result_buffer(op.result, "norm")
    if len(op.operands) == 1:
        builder.emit("copy", output, centred)
        return
    weight = lowering.vector(op.operands[1], layout, "norm_w").view((rows, 0), (inner, 1))
    if len(op.operands) > 2:
        bias = lowering.vector(op.operands[2], layout, "norm_b").view((rows, 0), (inner, 1))
        builder.emit("fma", output, centred, weight, bias)
    else:
        builder.emit("mul", output, centred, weight)


RMS = Kernel("norm.rms", "tile.rms_norm", "RMSNorm with one all-reduce along x", emit_rms_norm)
LAYER = Kernel("norm.layer", "tile.layer_norm", "LayerNorm with two all-reduces along x", emit_layer_norm)
