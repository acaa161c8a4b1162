"""``cached_attention.trees``: one query of each sequence against the KV cache, heads over groups of columns.

A column holds the same dimensions of its KV heads and of their query heads, alike in every row;
a row holds its tokens of the cache (:mod:`meshc.kernels.cache`). Scores are summed within a
head's group of columns only, so every column of the group knows those of its row's tokens.
Softmax goes along the column: the largest score of all rows, then the sums of exp(score -
largest) and of the values weighted by it in one all-reduce, and a division. While the largest is
on its way, a row weighs its values by exp(score - its own largest); what it adds to the sums it
multiplies with exp(its own largest - that of all) first.

The schedule switches these off one by one. With ``softmax = joined`` a row begins when it has the
largest score of all. With ``apart`` the sums are everyone's first, the scores are divided by
them, and the weighted values follow in a third all-reduce along the column; with ``scores = row``
the scores of all heads travel along the whole row, each column adding to those of its own heads
(both as in WaferLLM's decode, whose one head is as wide as the row).

Critical path: the shift, an all-reduce along a group, two along a column. Memory: the cache,
context / H tokens of one column's dimensions. Colors: those of the all-reduces, and two that
the shift shares with the chains.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

from meshc.dialects.layout import Heads, ceil_div
from meshc.dialects.shard import heads_of, shard_of
from meshc.ir.core import Operation
from meshc.kernels.attention import MASKED
from meshc.kernels.builder import MeshBuffer
from meshc.kernels.cache import Cache
from meshc.kernels.collectives.line import whole
from meshc.kernels.kernel import Kernel
from meshc.kernels.line_reduce import combine, head_lines
from meshc.kernels.lowering import Lowering
from meshc.kernels.schedule import Schedule, schedule_of
from meshc.kernels.shared_work import share_for
from meshrt.program.expr import Expr, Name, maximum, minimum
from meshrt.program.model import View

#: Along what scores are summed, and whether the sums of a softmax travel with the values; the defaults first.
SCORES, SOFTMAX = ("heads", "row"), ("overlapped", "joined", "apart")


def schedules(op: Operation, width: int, height: int) -> Sequence[Schedule]:
    """Every way to sum scores with every way of the softmax.

    Where a row has but one token, an overlapped softmax has as many exponentials after the largest score as before
    it: then it comes behind the joined one.
    """
    several = ceil_div(op.attributes["context"], 1 if op.attributes.get("kv") == "append" else height) > 1
    first = SOFTMAX if several else sorted(SOFTMAX, key=lambda way: way != "joined")
    return [{"scores": scores, "softmax": softmax} for scores, softmax in product(SCORES, first)]


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

    slots, schedule = cache.rows.capacity, schedule_of(op)
    scores = lowering.temporary("scores", lowering.other, batch, kv, per_kv, slots)
    cached_keys = cache.slots.view((batch, kv * dims), (kv, dims), (slots, entry), (dims, 1))
    _multiply(lowering, layout, schedule, scores, q.at(0, batch, kv, per_kv, dims), cached_keys)
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
    total, values = sums.at(attended, batch, kv, per_kv), sums.at(0, batch, kv, per_kv, value_dims)
    cached_values = cache.slots.view(
        (batch, kv * value_dims), (kv, value_dims), (slots, entry), (value_dims, 1), offset=keys
    )
    spread = (batch, heads), (kv, per_kv), (per_kv, 1), (slots, 0)
    by_head = sums.at(attended, (batch, heads), (heads, 1), (value_dims, 0))
    flat = sums.at(0, batch, heads, value_dims)
    column, softmax = whole(builder, "y"), schedule.get("softmax", SOFTMAX[0])

    def weights_of(scores: MeshBuffer, base: MeshBuffer) -> MeshBuffer:
        """Append e to the scores less a base for each head, and their sums in this row."""
        builder.emit("sub", scores, scores, base.at(0, *spread))
        weights = _exponentials(lowering, layout, scores)
        builder.emit("sum", total, weights)
        return weights

    def weigh(weights: MeshBuffer) -> None:
        """Append this row's values times their weights."""
        factors = weights
        if lowering.operand != lowering.other:
            factors = lowering.temporary("weights", lowering.operand, batch, kv, per_kv, slots)
            builder.emit("copy", factors, weights)
        builder.emit("fill", sums.at(0, attended), value=0.0)
        builder.emit("gemm", values, factors, cached_values, vector="n" if value_dims >= per_kv else "m")

    largest = lowering.temporary("largest", lowering.other, batch, kv, per_kv)
    builder.emit("reduce_max", largest, scores)
    output = lowering.result_buffer(op.result, "attention")
    if softmax == "overlapped":
        own = lowering.temporary("own_largest", lowering.other, batch, kv, per_kv)
        builder.emit("copy", own, largest)
        combine(lowering, column, largest, "max", lambda: weigh(weights_of(scores, own)))
        builder.emit("sub", own, own, largest)
        builder.emit("exp", own, own)
        builder.emit("mul", total, total, own)
        builder.emit("mul", flat, flat, own.at(0, (batch, heads), (heads, 1), (value_dims, 0)))
    else:
        combine(lowering, column, largest, "max")
        weights = weights_of(scores, largest)
        if softmax == "apart":
            combine(lowering, column, total)
            builder.emit("div", total, 1.0, total)
            builder.emit("mul", weights, weights, sums.at(attended, *spread))
            weigh(weights)
            combine(lowering, column, sums.at(0, attended))
            builder.emit("copy", output, sums.at(0, *output.shape))
            return
        weigh(weights)
    combine(lowering, column, sums)
    # One division for each head, not for each of its values.
    builder.emit("div", total, 1.0, total)
    builder.emit("mul", output.at(0, batch, heads, value_dims), flat, by_head)


def _multiply(
    lowering: Lowering, layout: Heads, schedule: Schedule, scores: MeshBuffer, queries: View, keys: View
) -> None:
    """Append the scores of this column's heads, summed over the columns that hold parts of them."""
    builder = lowering.builder
    vector = "n" if scores.shape[-1] >= layout.per_kv else "m"
    whole_row = schedule.get("scores") == "row"
    if not whole_row or layout.groups == 1:
        builder.emit("fill", scores, value=0.0)
        builder.emit("gemm_t", scores, queries, keys, vector=vector)
        combine(lowering, whole(builder, "x") if whole_row else head_lines(builder, layout), scores)
        return
    everyones = lowering.temporary("scores_of_all", lowering.other, layout.groups, *scores.shape)
    # Columns beyond the last group hold zeros, which add nothing to the scores of any.
    group = minimum(layout.group(Name("x")), layout.groups - 1)
    own = everyones.at(group * scores.elements, *scores.shape)
    builder.emit("fill", everyones, value=0.0)
    builder.emit("gemm_t", own, queries, keys, vector=vector)
    combine(lowering, whole(builder, "x"), everyones)
    builder.emit("copy", scores, own)


def _exponentials(lowering: Lowering, layout: Heads, scores: MeshBuffer) -> MeshBuffer:
    """Append e to the scores, which are alike in all columns of a group of heads."""
    builder, target = lowering.builder, lowering.target
    share = None
    if target is not None:
        line, alone = head_lines(builder, layout), layout.groups == 1
        # Along a group of heads there is a tree of its own already; stretches would take colors that are few.
        share = share_for(lowering, line, scores.elements, target.special_cycles, scores.dtype, stretches=alone)
    if share is None:
        builder.emit("exp", scores, scores)
        return scores
    everyones = lowering.temporary("exponentials", scores.dtype, *scores.shape)
    share.work(lowering, everyones, lambda: builder.emit("exp", share.of(everyones), share.of(scores)))
    # Columns beyond the last group hold zeros throughout; their sums must not be zero, for they divide.
    with builder.when(line.condition(builder).eq(0)):
        builder.emit("fill", everyones, value=1.0)
    return everyones


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
    schedules=schedules,
)
