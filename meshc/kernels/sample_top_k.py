"""``sample.top_k``: the next token of each sequence, the likeliest one or one of the K likeliest by chance.

The logits lie with the vocabulary over x, alike in every row, and so does what is done here:
every row comes to the same ids by itself, and nothing moves along y. Tokens are in order of
their logits, equal ones in order of their ids (as ``torch.argmax`` has it). The first in this
order is found by two all-reduces along x: the largest logit, then the lowest id among the tokens
that have it. Each next one is the largest of those that come behind the last in the order.

So that not the whole vocabulary is gone through each time, a PE keeps the largest logit of
each *chunk* of its tile, those that have been taken left out; about the root of a tile's
elements are in a chunk, and as many chunks in a tile. ``gather`` brings the chunk that holds the
largest.

Chance: token j of the K has the weight ``w_j = exp((logit_j - logit_0) / temperature)`` and takes the place of
the one chosen so far with probability ``w_j / (w_0 + .. + w_j)`` (a weighted reservoir), which makes the
choice that of the softmax over the K. Its random numbers are made on the wafer
(:mod:`meshc.kernels.random_numbers`), one for each step, token and sequence.

Comparisons are arithmetic: a difference times 2^127 twice is 0 where it was, otherwise larger than any id.

Runtime scalars: ``top_k`` (1: the likeliest), ``temperature`` in millionths, ``seed``. Critical path: a pass over
the tile and two all-reduces of one word for each sequence, and two more for each further token.
Memory: two vectors of a chunk's and two of the chunks' size. Colors: those of the all-reduce.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isqrt

from meshc.dialects.layout import Block, ceil_div
from meshc.dialects.shard import shard_of
from meshc.ir.core import Operation
from meshc.kernels.builder import MeshBuffer
from meshc.kernels.collectives.line import whole
from meshc.kernels.kernel import Kernel
from meshc.kernels.line_reduce import combine
from meshc.kernels.lowering import Lowering, outside
from meshc.kernels.random_numbers import SEEDS, emit_key, emit_uniform
from meshrt.program.expr import Expr, Name, maximum
from meshrt.program.model import View

#: The most tokens to choose from, where the operation does not say.
TOP_K = 64
#: The runtime scalars of chance: how many tokens to choose from, the temperature in millionths, the seed.
SCALARS = ("top_k", "temperature", "seed")
#: The unit of the scalar ``temperature``, and its highest value.
MILLIONTHS = 1_000_000
HOTTEST = 100 * MILLIONTHS
#: A power of two whose square makes any difference of two floats larger than any id.
HUGE = 2.0**127
#: Below every logit.
LOWEST = -(2.0**125)


def applies(op: Operation, width: int, height: int) -> str | None:
    """The condition: ids follow from columns and places."""
    layout = shard_of(op.operands[0]).features
    return None if isinstance(layout, Block) else "it takes logits in blocks over x"


@dataclass(frozen=True, slots=True)
class Chunks:
    """A tile of ``size`` elements as ``count`` chunks of ``width``, the last one filled up."""

    size: int

    @property
    def width(self) -> int:
        """A divisor of the tile near its root, so that the logits stay where they are; else the root."""
        root = max(1, isqrt(self.size))
        near = range(max(1, root // 2), 2 * root + 1)
        divisors = [n for n in near if self.size % n == 0]
        return min(divisors, key=lambda n: (abs(n - root), n)) if divisors else root

    @property
    def count(self) -> int:
        return ceil_div(self.size, self.width)

    @property
    def padded(self) -> int:
        return self.count * self.width


def emit(op: Operation, lowering: Lowering) -> None:
    """Append the choice of a token of every sequence."""
    most = min(op.attributes.get("top_k", TOP_K), shard_of(op.operands[0]).features.extent)
    selection = _Selection(op, lowering)
    builder = lowering.builder
    value, token = selection.first()
    if most == 1:
        selection.choose(token)
        return
    top_k = builder.scalar(SCALARS[0], 1, most)
    chance = _Chance(lowering, value, token, most)
    with builder.loop("rank", top_k, start=1) as rank:
        chance.offer(rank, *selection.next())
    selection.choose(chance.chosen)


class _Selection:
    """The tokens in order of their logits: ``value`` and ``token``, f32[batch], are those of the last one."""

    def __init__(self, op: Operation, lowering: Lowering):
        self.lowering, self.builder = lowering, lowering.builder
        self.op = op
        self.batch = lowering.batch
        self.layout = shard_of(op.operands[0]).features
        self.chunks = chunks = Chunks(self.layout.tile)
        make = self.builder.buffer
        self.logits = self._logits()
        self.best = make("best", "f32", self.batch, chunks.count)
        self.best_new = make("best_new", "f32", self.batch, chunks.count)
        self.ranked = make("ranked", "f32", self.batch, chunks.count)
        self.row, self.ids, self.order = (
            make(name, "f32", self.batch, chunks.width) for name in ("chunk", "chunk_ids", "order")
        )
        self.value, self.token, self.chunk, self.found, self.last = (
            make(name, "f32", self.batch) for name in ("largest", "likeliest", "in_chunk", "found", "last")
        )
        # Minus the number of each chunk, and minus the id of each element of the first one.
        self.numbers, self.offsets = make("chunk_numbers", "f32", chunks.count), make("id_offsets", "f32", chunks.width)
        with self.builder.before():
            self.builder.emit("index", self.numbers, value=0 - Name("i0"))
            self.builder.emit("index", self.offsets, value=0 - self.layout.index(Name("x"), Name("i0")))

    def _logits(self) -> MeshBuffer:
        """The logits in f32, whole chunks of them; what is not a token is below all others."""
        (logits,) = self.op.operands
        source, builder, padded = self.lowering.buffer_of(logits), self.builder, self.chunks.padded
        in_place = source.dtype == "f32" and padded == self.layout.tile and logits in self.lowering.dying
        buffer = source if in_place else builder.buffer("logits_here", "f32", self.batch, padded)
        if not in_place:
            builder.emit("copy", self._part(buffer), source)
        if self.layout.padded != self.layout.extent or padded != self.layout.tile:
            element = Name("i1")
            nothing: Expr = outside(self.layout, element)
            if padded != self.layout.tile:
                nothing = maximum(nothing, element.ge(self.layout.tile))
            builder.emit("fill", buffer, value=LOWEST, where=nothing)
        return buffer

    def _part(self, buffer: MeshBuffer) -> View:
        return buffer.at(0, (self.batch, self.chunks.padded), (self.layout.tile, 1))

    def first(self) -> tuple[MeshBuffer, MeshBuffer]:
        """Append the search for the likeliest token."""
        chunks = self.chunks
        self.builder.emit("reduce_max", self.best, self.logits.at(0, self.batch, chunks.count, chunks.width))
        self._largest()
        self._bring()
        self._lowest_id()
        return self.value, self.token

    def next(self) -> tuple[MeshBuffer, MeshBuffer]:
        """Append the search for the token behind the last one."""
        emit = self.builder.emit
        self._leave_out_taken()
        emit("reduce_max", self.found, self.row)
        self._settle_chunk()
        emit("copy", self.last, self.value)
        self._largest()
        self._bring()
        self._leave_out_taken(self.last)
        self._lowest_id()
        return self.value, self.token

    def choose(self, token: MeshBuffer) -> None:
        """Append the ids as integers."""
        ids = self.lowering.inputs.get(self.op.result)
        if ids is None:
            ids = self.lowering.inputs[self.op.result] = self.builder.buffer("next", "i32", self.batch)
        self.builder.emit("copy", ids, token)

    # ---- steps --------------------------------------------------------------------------

    def _each(self, buffer: MeshBuffer, count: int) -> View:
        """One number of each sequence, for all its elements."""
        return buffer.at(0, (self.batch, 1), (count, 0))

    def _all(self, buffer: MeshBuffer) -> View:
        """One vector for all sequences."""
        return buffer.at(0, (self.batch, 0), (buffer.elements, 1))

    def _share(self, data: MeshBuffer) -> None:
        combine(self.lowering, whole(self.builder, "x"), data, "max")

    def _far_from(self, into: MeshBuffer, data: MeshBuffer, values: MeshBuffer, ranks: View) -> None:
        """A rank where ``data`` equals its sequence's value, else beyond any rank on the side that it differs to."""
        emit, count = self.builder.emit, data.shape[1]
        emit("sub", into, data, self._each(values, count))
        emit("mul", into, into, HUGE)
        emit("fma", into, into, HUGE, ranks)

    def _largest(self) -> None:
        """The largest logit of all PEs, and the first chunk here that has it, or some chunk where none does."""
        emit, count = self.builder.emit, self.chunks.count
        emit("reduce_max", self.value, self.best)
        self._share(self.value)
        self._far_from(self.ranked, self.best, self.value, self._all(self.numbers))
        emit("reduce_max", self.chunk, self.ranked)
        emit("max", self.chunk, self.chunk, float(1 - count))
        emit("mul", self.chunk, self.chunk, -1.0)

    def _bring(self) -> None:
        """The chunk's logits, and minus its ids."""
        builder, chunks = self.builder, self.chunks
        at = builder.buffer("chunk_at", "i32", self.batch)
        shift = builder.buffer("chunk_shift", "i32", self.batch)
        builder.emit("copy", at, self.chunk)
        builder.emit("index", shift, value=Name("i0") * chunks.count)
        builder.emit("add", at, at, shift)
        builder.emit("gather", self.row, self.logits.at(0, self.batch * chunks.count, chunks.width), at)
        width = chunks.width
        builder.emit("fma", self.ids, self._each(self.chunk, width), float(-width), self._all(self.offsets))

    def _leave_out_taken(self, value: MeshBuffer | None = None) -> None:
        """Of the chunk only what comes behind the last token: lower logits, or the same and higher ids."""
        emit, width = self.builder.emit, self.chunks.width
        half = self.builder.buffer("behind", "f32", self.batch)
        self._far_from(self.order, self.row, value or self.value, self.ids.whole)
        # Now minus its id where the logits are equal: behind where that plus the last id is negative.
        emit("add", half, self.token, 0.5)
        emit("add", self.order, self.order, self._each(half, width))
        emit("mul", self.order, self.order, -HUGE / 2)
        emit("min", self.row, self.row, self.order)
        emit("max", self.row, self.row, LOWEST)

    def _settle_chunk(self) -> None:
        """The largest logit that is left of the chunk takes its place among the best."""
        emit, count = self.builder.emit, self.chunks.count
        chosen, rest = self.ranked, self.best_new
        # 1 for the chunk, 0 for the others; products with these numbers are exact.
        emit("add", chosen, self._each(self.chunk, count), self._all(self.numbers))
        emit("mul", rest, chosen, -1.0)
        emit("max", chosen, chosen, rest)
        emit("min", chosen, chosen, 1.0)
        emit("mul", self.best, self.best, chosen)
        emit("sub", chosen, 1.0, chosen)
        emit("fma", self.best, chosen, self._each(self.found, count), self.best)

    def _lowest_id(self) -> None:
        """The lowest id that has the largest logit, of all PEs."""
        emit = self.builder.emit
        self._far_from(self.order, self.row, self.value, self.ids.whole)
        emit("reduce_max", self.token, self.order)
        self._share(self.token)
        emit("mul", self.token, self.token, -1.0)


class _Chance:
    """The token chosen so far, by weights and random numbers."""

    def __init__(self, lowering: Lowering, value: MeshBuffer, token: MeshBuffer, most: int):
        self.lowering, self.builder = lowering, lowering.builder
        self.most = most
        builder, batch = self.builder, lowering.batch
        temperature = builder.scalar(SCALARS[1], 1, HOTTEST)
        self.first, self.total, self.weight, self.take, self.chosen = (
            builder.buffer(name, "f32", batch) for name in ("top", "total_weight", "weight", "takes", "chosen")
        )
        self.coldness = builder.buffer("coldness", "f32", 1)
        with builder.before():
            builder.emit("index", self.coldness, value=temperature)
            builder.emit("div", self.coldness, float(MILLIONTHS), self.coldness)
            self.key = emit_key(builder, builder.scalar(SCALARS[2], 0, SEEDS - 1))
        builder.emit("copy", self.first, value)
        builder.emit("copy", self.chosen, token)
        builder.emit("fill", self.total, value=1.0)

    def offer(self, rank: Expr, value: MeshBuffer, token: MeshBuffer) -> None:
        """Append the choice between what was chosen so far and one more token."""
        emit, batch = self.builder.emit, self.lowering.batch
        weight, take = self.weight, self.take
        position = self.lowering.position
        assert position is not None
        emit("sub", weight, value, self.first)
        emit("mul", weight, weight, self.coldness.at(0, (batch, 0)))
        emit("exp", weight, weight)
        emit("add", self.total, self.total, weight)
        random = emit_uniform(self.builder, self.key, batch, (position * self.most + rank) * batch + Name("i0"))
        # It is taken where its weight is more than the random part of all weights.
        emit("mul", take, random, self.total)
        emit("sub", take, weight, take)
        emit("mul", take, take, HUGE)
        emit("mul", take, take, HUGE)
        emit("max", take, take, 0.0)
        emit("min", take, take, 1.0)
        emit("sub", weight, token, self.chosen)
        emit("fma", self.chosen, take, weight, self.chosen)


KERNEL = Kernel(
    "sample.top_k", "tile.sample", "the likeliest token, or one of the K likeliest by chance", emit, applies
)
