"""``embedding.all_reduce``: the lookup of one token of each sequence, by gather and an all-reduce along x.

The table lies with its entries over x and its features over y, which is how the output head
wants it too (``gemv.all_reduce``), so that tied weights lie there once. Of each row of PEs one
finds the token; ``gather`` gives zero in all others. One addend in a sum is not zero, so the
operand dtype is exact on the wire. A learned position is looked up in the same way.

Critical path: one all-reduce along x of a column's features. Memory: the table's tile.
Colors: those of the all-reduce.
"""

from __future__ import annotations

from meshc.dialects.layout import Block
from meshc.dialects.shard import shard_of
from meshc.ir.core import Operation, Value
from meshc.kernels.builder import MeshBuffer
from meshc.kernels.collectives.line import whole
from meshc.kernels.kernel import Kernel
from meshc.kernels.line_reduce import combine
from meshc.kernels.lowering import Lowering, by_token, tensor_shape
from meshc.kernels.table import place_columns
from meshrt.program.expr import Name
from meshrt.program.model import View


def features_over_y(op: Operation, width: int, height: int) -> str | None:
    """The condition of a lookup whose result is alike in all columns."""
    return None if shard_of(op.result).transposed else "it gives features over y, and the result has them over x"


def emit(op: Operation, lowering: Lowering) -> None:
    """Append the lookup of the tokens."""
    table, ids = op.operands
    _lookup(op, lowering, table, lowering.inputs[ids].at(0, lowering.batch), "embedding")


def emit_positions(op: Operation, lowering: Lowering) -> None:
    """Append the lookup of the position, which all sequences share."""
    index = lowering.temporary("position", "i32", 1)
    assert lowering.position is not None
    lowering.builder.emit("index", index, value=lowering.position)
    _lookup(op, lowering, op.operands[0], index.at(0, (lowering.batch, 0)), "position")


def _lookup(op: Operation, lowering: Lowering, table: Value, indices: View, hint: str) -> MeshBuffer:
    """Entries of a table by indices that are alike in every PE."""
    builder = lowering.builder
    type = shard_of(op.result)
    features = type.features.tile
    entries = Block(tensor_shape(table)[0], lowering.width)
    placed = place_columns(lowering, table, type.features, "y", entries)
    found = lowering.temporary("found", lowering.operand, *type.tile)
    base = Name("x") * entries.tile
    builder.emit("gather", by_token(found, type, features), placed.view(), indices, base=base)
    combine(lowering, whole(builder, "x"), found)
    output = lowering.result_buffer(op.result, hint)
    builder.emit("copy", output, found)
    return output


LOOKUP = Kernel("embedding.all_reduce", "tile.embedding", "gather, then all-reduce along x", emit, features_over_y)
POSITION = Kernel(
    "embedding.position_all_reduce",
    "tile.position_embedding",
    "the position's entry by gather, then all-reduce along x",
    emit_positions,
    features_over_y,
)
