"""``embedding.reduce_scatter``: token lookup by gather and a reduce-scatter along y.

Row y holds the table's entries ``y * V/H ..``, so for each token exactly one row of PEs
finds it; ``gather`` gives zero in all others. A block of tokens travels the y ring once
around, every row adding what it found, and ends in the row that the tokens belong to:
H - 1 ring steps of one activation tile. One addend in a sum is not zero, so the operand
dtype is exact on the wire.

``position_embedding`` needs no lookup: each row knows its positions, and the table's
rows are placed there.
"""

from __future__ import annotations

from meshc.dialects.layout import ceil_div
from meshc.dialects.shard import shard_of
from meshc.ir.core import Operation
from meshc.kernels.gemm_ring import settle, shift
from meshc.kernels.kernel import Kernel
from meshc.kernels.lowering import Lowering, Section, tensor_shape
from meshc.kernels.ring import logical_position, physical, ring
from meshc.kernels.table import place_table
from meshrt.program.expr import Expr, Name, select


def features_over_x(op: Operation, width: int, height: int) -> str | None:
    """The condition of a lookup for tokens over y."""
    return "it gives features over x, and the result has them over y" if shard_of(op.result).transposed else None


def emit(op: Operation, lowering: Lowering) -> None:
    """Append the lookup's buffers and code."""
    builder = lowering.builder
    height = builder.height
    result = op.result
    rows, inner = shard_of(result).tile
    weight, ids = op.operands
    table = place_table(lowering, weight, shard_of(result).x)
    block = ceil_div(tensor_shape(weight)[0], height)
    entries = table.view(block, inner)
    tokens = lowering.inputs[ids]
    base = Name("y") * block
    found = lowering.temporary("found", lowering.operand, rows, inner)
    output = lowering.result_buffer(result, "embedding")
    if height == 1:
        builder.emit("gather", found, entries, tokens.at(0, rows), base=base)
    else:
        passing = lowering.temporary("passing", lowering.operand, rows, inner)
        here = lowering.temporary("here", lowering.operand, rows, inner)
        at = logical_position(builder, "y")

        def lookup(into, step: Expr | int) -> None:
            source = physical((at + 1 + step) % height, height)
            builder.emit("gather", into, entries, tokens.at(source * rows, rows), base=base)

        lookup(found, 0)
        along_y = ring(builder, "y")
        with builder.loop("s", height, start=1) as step:
            handles = shift(builder, [(along_y, found, passing)])
            lookup(here, step)
            settle(builder, handles)
            builder.emit("add", found, passing, here)
    builder.emit("copy", output, found)


def emit_positions(op: Operation, lowering: Lowering) -> None:
    """Place a learned position table where its positions are."""
    rows, inner = shard_of(op.result).tile
    layout = shard_of(op.result).x
    sequence = op.attributes["sequence"]

    def indices(e: list[Expr]) -> list[Expr]:
        token = lowering.tokens.index(Name("y"), e[0])
        return [select(token.lt(lowering.tokens.extent), token % sequence, -1), layout.index(Name("x"), e[1])]

    table = lowering.place("positions", lowering.operand, (rows, inner), [Section(op.operands[0], indices)])
    output = lowering.result_buffer(op.result, "position")
    lowering.builder.emit("copy", output, table.view())


LOOKUP = Kernel(
    "embedding.reduce_scatter", "tile.embedding", "gather, then reduce-scatter along y", emit, features_over_x
)
POSITION = Kernel(
    "embedding.position",
    "tile.position_embedding",
    "learned positions, placed in their rows",
    emit_positions,
    features_over_x,
)
