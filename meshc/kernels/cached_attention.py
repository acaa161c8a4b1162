"""``cached_attention.trees``: one query of each sequence against the KV cache, heads over groups of columns.

A column holds the same dimensions of its KV heads and of their query heads, alike in every row;
a row holds its tokens of the cache (:mod:`meshc.kernels.cache`). Scores are summed within a
head's group of columns only, so every column of the group knows those of its row's tokens.
Softmax goes along the column: the largest score of all rows, then the sums of exp(score -
largest) and of the values weighted by it in one all-reduce, and a division.

Critical path: the shift, an all-reduce along a group, two along a column. Memory: the cache,
context / H tokens of one column's dimensions. Colors: those of the all-reduces, and two that
the shift shares with the chains.
"""

from __future__ import annotations

from meshc.dialects.shard import heads_of, shard_of
from meshc.ir.core import Operation
from meshc.kernels.attention import MASKED
from meshc.kernels.cache import Cache
from meshc.kernels.collectives.line import whole
from meshc.kernels.kernel import Kernel
from meshc.kernels.line_reduce import combine, head_lines
from meshc.kernels.lowering import Lowering
from meshrt.program.expr import Expr, Name, maximum


def emit(op: Operation, lowering: Lowering) -> None:
    """Append the kernel's buffers and code."""
    builder, a = lowering.builder, op.attributes
    q, k, v = (lowering.buffer_of(value) for value in op.operands)
    layout, key_layout, value_layout = heads_of(op.operands[0]), heads_of(op.operands[1]), heads_of(op.operands[2])
    batch = shard_of(op.result).tokens.tile
    kv, per_kv = layout.kv_local, layout.per_kv
    dims, value_dims = 2 * key_layout.pairs, 2 * value_layout.pairs
    heads, keys, entry = kv * per_kv, batch * kv * dims, batch * kv * (dims + value_dims)
    cache = Cache.of(lowering, a["cache"], a["context"], entry, a.get("kv", "shift"))
    cache.append((k, v), lowering.temporary("leaving", lowering.operand, entry))

    slots = cache.rows.capacity
    scores = lowering.temporary("scores", lowering.other, batch, kv, per_kv, slots)
    cached_keys = cache.slots.view((batch, kv * dims), (kv, dims), (slots, entry), (dims, 1))
    builder.emit("fill", scores, value=0.0)
    vector = "n" if slots >= per_kv else "m"
    builder.emit("gemm_t", scores, q.at(0, batch, kv, per_kv, dims), cached_keys, vector=vector)
    combine(lowering, head_lines(builder, layout), scores)
    builder.emit("mul", scores, scores, float(a["scale"]))
    cap = a.get("softcap")
    if cap:
        builder.emit("mul", scores, scores, 1.0 / float(cap))
        builder.emit("tanh", scores, scores)
        builder.emit("mul", scores, scores, float(cap))
    builder.emit("fill", scores, value=MASKED[lowering.other], where=_forbidden(op, cache))

    # Behind the weighted values of all heads lie the sums of their weights: they travel together.
    attended = batch * heads * value_dims
    sums = lowering.temporary("attended", lowering.other, attended + batch * heads)
    total = sums.at(attended, batch, kv, per_kv)
    largest = lowering.temporary("largest", lowering.other, batch, kv, per_kv)
    builder.emit("reduce_max", largest, scores)
    combine(lowering, whole(builder, "y"), largest, "max")
    spread = largest.at(0, (batch, heads), (kv, per_kv), (per_kv, 1), (slots, 0))
    builder.emit("sub", scores, scores, spread)
    builder.emit("exp", scores, scores)
    builder.emit("sum", total, scores)
    weights = scores
    if lowering.operand != lowering.other:
        weights = lowering.temporary("weights", lowering.operand, batch, kv, per_kv, slots)
        builder.emit("copy", weights, scores)
    values = sums.at(0, batch, kv, per_kv, value_dims)
    cached_values = cache.slots.view(
        (batch, kv * value_dims), (kv, value_dims), (slots, entry), (value_dims, 1), offset=keys
    )
    builder.emit("fill", sums.at(0, attended), value=0.0)
    builder.emit("gemm", values, weights, cached_values, vector="n" if value_dims >= per_kv else "m")
    combine(lowering, whole(builder, "y"), sums)
    # One division for each head, not for each of its values.
    builder.emit("div", total, 1.0, total)
    output = lowering.result_buffer(op.result, "attention")
    factor = sums.at(attended, (batch, heads), (heads, 1), (value_dims, 0))
    builder.emit("mul", output.at(0, batch, heads, value_dims), sums.at(0, batch, heads, value_dims), factor)


def _forbidden(op: Operation, cache: Cache) -> Expr:
    """Where slot i3 of this row holds no token that the step's may see. None is later than the step's own."""
    token, held = cache.token(Name("i3"))
    forbidden = held.eq(0)
    if op.attributes["mask"] == "window":
        forbidden = maximum(forbidden, token.le(cache.position - op.attributes["window"]))
    return forbidden


KERNEL = Kernel(
    "cached_attention.trees",
    "tile.cached_attention",
    "scores reduce within head groups, softmax and values along columns of tokens",
    emit,
)
