"""``attention.ring``: multi-head attention in prefill (DESIGN section 5), without a transpose.

Columns are split into one group per KV head (or several heads to a group); a column
holds the same dimensions of its KV heads and of their query heads. K rides the y ring:
in step s, row r multiplies its queries with the keys of logical row r + s, and the group
reduces the partial scores to the column that keeps this block of keys, a root that moves
at every step. Softmax reduces within the group. Then V rides the y ring, and the same
root broadcasts its block of probabilities to the group.

Blocks of keys that lie wholly after a row's queries, and rows that hold only padding, are
neither reduced nor broadcast.
Critical path: 2 H steps of a small product and a chain of one group. Memory per PE: two
K/V tiles, the scores of ceil(H / columns) blocks, one partial block. Colors: 4 on y, 4 on x.
"""

from __future__ import annotations

from collections.abc import Callable

from meshc.dialects.layout import ceil_div
from meshc.dialects.shard import heads_of, shard_of
from meshc.ir.core import Operation
from meshc.kernels.builder import MeshBuffer
from meshc.kernels.chain import chain_all_reduce, chain_broadcast, chain_reduce
from meshc.kernels.kernel import Kernel
from meshc.kernels.lowering import Lowering
from meshc.kernels.norm import head_segment
from meshc.kernels.ring_ride import ride
from meshrt.program.expr import Expr, Name, as_expr, maximum, minimum

#: What stands for minus infinity: finite, so that a row without any allowed key gives no NaN.
MASKED = {"f32": -1e30, "bf16": -1e30, "f16": -60000.0}


def emit(op: Operation, lowering: Lowering) -> None:
    """Append the kernel's buffers and code."""
    _Attention(op, lowering).emit()


class _Attention:
    """The sizes and buffers of one attention while its code is appended."""

    def __init__(self, op: Operation, lowering: Lowering):
        self.op = op
        self.lowering = lowering
        self.builder = lowering.builder
        self.q, self.k, self.v = (lowering.buffer_of(v) for v in op.operands)
        keys, values = heads_of(op.operands[1]), heads_of(op.operands[2])
        self.layout = heads_of(op.result)
        self.rows = shard_of(op.result).y.tile
        self.kv = keys.kv_local
        self.per_kv = self.layout.per_kv
        self.heads = self.kv * self.per_kv
        self.dims = 2 * keys.pairs
        self.value_dims = 2 * values.pairs
        self.columns = self.layout.columns
        self.slots = ceil_div(lowering.height, self.columns)
        self.keys = self.slots * self.rows
        self.segment = head_segment(self.layout)

    def emit(self) -> None:
        lowering, builder = self.lowering, self.builder
        heads, rows = self.heads, self.rows
        self.scores = lowering.temporary("scores", lowering.other, heads, rows, self.keys)
        builder.emit("fill", self.scores, value=MASKED[lowering.other])
        self._scores()
        total = self._softmax()
        weights = lowering.temporary("weights", lowering.operand, heads, rows, self.keys)
        builder.emit("copy", weights, self.scores)
        accumulator = lowering.temporary("attended", lowering.other, rows, heads, self.value_dims)
        builder.emit("fill", accumulator, value=0.0)
        self._values(weights, accumulator)
        output = lowering.result_buffer(self.op.result, "attention")
        by_token = total.at(0, (rows, 1), (heads, rows), (self.value_dims, 0))
        builder.emit("div", output.at(0, rows, heads, self.value_dims), accumulator, by_token)

    # ---- blocks that ride the ring -----------------------------------------------------

    def _ride(self, source: MeshBuffer, name: str, step: Callable[[MeshBuffer, Expr], None]) -> None:
        """Let ``source`` ride the y ring; ``step(tile, row it came from)`` runs for every block that is seen."""

        def seen(tile: MeshBuffer, row: Expr) -> None:
            with self.builder.when(self._reaches(row)):
                step(tile, row)

        ride(self.lowering, source, name, seen if self.lowering.height > 1 else step)

    def _reaches(self, row: Expr) -> Expr:
        """Whether any query of this row may see any key of ``row``."""
        if self.op.attributes["mask"] != "full":
            return minimum(self.lowering.holds_tokens(), row.le(Name("y")))
        rows = self.lowering.token_rows
        some = as_expr(1) if rows == self.builder.height else row.lt(rows)
        return minimum(self.lowering.holds_tokens(), some)

    def _slot(self, row: Expr) -> tuple[Expr, Expr]:
        """(column of the group, first key within it) of the block of keys that ``row`` holds."""
        if self.columns == 1:
            return as_expr(0), row * self.rows
        return row % self.columns, row // self.columns * self.rows

    def _scores(self) -> None:
        builder, lowering = self.builder, self.lowering
        rows, heads, kv, per_kv, dims = self.rows, self.heads, self.kv, self.per_kv, self.dims
        partial = lowering.temporary("partial", lowering.other, heads, rows, rows)
        queries = self.q.at(0, (kv, per_kv * dims), (per_kv, dims), (rows, heads * dims), (dims, 1))

        def step(tile: MeshBuffer, row: Expr) -> None:
            keys = tile.at(0, (kv, dims), (per_kv, 0), (rows, kv * dims), (dims, 1))
            builder.emit("fill", partial, value=0.0)
            builder.emit("gemm_t", partial.at(0, kv, per_kv, rows, rows), queries, keys, vector="m")
            root, first = self._slot(row)
            chain_reduce(builder, self.segment, root, partial, "add")
            with builder.when(minimum(self.segment.condition, self.segment.position.eq(root))):
                target = self.scores.at(first, (heads, rows * self.keys), (rows, self.keys), (rows, 1))
                builder.emit("copy", target, partial)

        self._ride(self.k, "k", step)

    def _values(self, weights: MeshBuffer, accumulator: MeshBuffer) -> None:
        builder, lowering = self.builder, self.lowering
        rows, heads, kv, per_kv, dims = self.rows, self.heads, self.kv, self.per_kv, self.value_dims
        block = lowering.temporary("block", lowering.operand, heads, rows, rows)

        def step(tile: MeshBuffer, row: Expr) -> None:
            root, first = self._slot(row)
            with builder.when(minimum(self.segment.condition, self.segment.position.eq(root))):
                source = weights.at(first, (heads, rows * self.keys), (rows, self.keys), (rows, 1))
                builder.emit("copy", block, source)
            chain_broadcast(builder, self.segment, root, block)
            values = tile.at(0, (kv, dims), (per_kv, 0), (rows, kv * dims), (dims, 1))
            target = accumulator.at(0, (kv, per_kv * dims), (per_kv, dims), (rows, heads * dims), (dims, 1))
            with builder.when(self.segment.condition):
                builder.emit("gemm", target, block.at(0, kv, per_kv, rows, rows), values, vector="n")

        self._ride(self.v, "v", step)

    # ---- softmax ------------------------------------------------------------------------

    def _softmax(self) -> MeshBuffer:
        """Scores become exp(score - largest); gives the sums [heads, rows] that divide the result."""
        builder, lowering, attributes = self.builder, self.lowering, self.op.attributes
        heads, rows, keys = self.heads, self.rows, self.keys
        scores = self.scores
        builder.emit("mul", scores, scores, float(attributes["scale"]))
        cap = attributes.get("softcap")
        if cap:
            builder.emit("mul", scores, scores, 1.0 / float(cap))
            builder.emit("tanh", scores, scores)
            builder.emit("mul", scores, scores, float(cap))
        builder.emit("fill", scores, value=MASKED[lowering.other], where=self._forbidden())
        largest = lowering.temporary("largest", lowering.other, heads, rows)
        total = lowering.temporary("total", lowering.other, heads, rows)
        spread = (heads, rows), (rows, 1), (keys, 0)
        builder.emit("reduce_max", largest, scores)
        chain_all_reduce(builder, self.segment, largest, "max")
        builder.emit("sub", scores, scores, largest.at(0, *spread))
        builder.emit("exp", scores, scores)
        builder.emit("sum", total, scores)
        chain_all_reduce(builder, self.segment, total, "add")
        return total

    def _forbidden(self) -> Expr:
        """Where key i2 of this column must not be seen by query i1 of this row."""
        tokens, sequence = self.lowering.tokens, self.op.attributes["sequence"]
        slot, inside = Name("i2") // self.rows, Name("i2") % self.rows
        row = slot * self.columns + self.segment.position
        key = row * self.rows + inside
        query = tokens.index(Name("y"), Name("i1"))
        forbidden = maximum(row.ge(self.lowering.height), key.ge(tokens.extent))
        if self.lowering.batch > 1:
            forbidden = maximum(forbidden, (key // sequence).ne(query // sequence))
        match self.op.attributes["mask"]:
            case "causal":
                forbidden = maximum(forbidden, key.gt(query))
            case "window":
                forbidden = maximum(forbidden, key.gt(query))
                forbidden = maximum(forbidden, key.le(query - self.op.attributes["window"]))
            case "full":
                # Nothing else keeps the prompt's tokens from seeing the padding behind them.
                forbidden = maximum(forbidden, (key % sequence).ge(self.lowering.length))
        return forbidden


KERNEL = Kernel(
    "attention.ring", "tile.attention", "K and V ride the y ring, head groups reduce and broadcast along x", emit
)
