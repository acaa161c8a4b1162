"""Rotary embedding: phases once per PE, then a rotation of pairs that lie in one PE.

Each row computes position times frequency for its tokens and its column's pairs, and
keeps cosine and sine. Dimensions beyond the rotary ones have frequency zero, so they
pass unchanged. Nothing is communicated.
"""

from __future__ import annotations

from meshc.dialects.layout import Heads
from meshc.dialects.tile import ShardType
from meshc.ir.core import Operation
from meshc.kernels.kernel import Kernel
from meshc.kernels.lowering import Lowering, Section
from meshrt.program.expr import Expr, Name, binary, select


def emit_phases(op: Operation, lowering: Lowering) -> None:
    """Append the computation of cosines and sines, [2, tokens, pairs] per PE."""
    builder = lowering.builder
    type = op.result.type
    assert isinstance(type, ShardType) and isinstance(type.x, Heads)
    layout = type.x
    rows, pairs = type.y.tile, layout.pairs
    turning = layout.rotary // 2

    def indices(e: list[Expr]) -> list[Expr]:
        pair = layout.member(Name("x")) * pairs + e[0]
        return [select(binary("<", pair, turning), pair, -1)]

    frequencies = lowering.place("inv_freq", "f32", (pairs,), [Section(op.operands[0], indices)])
    position = lowering.temporary("position", "f32", rows)
    angle = lowering.temporary("angle", "f32", rows, pairs)
    phases = builder.buffer("phases", lowering.other, 2, rows, pairs)
    lowering.values[op.result] = phases
    token = lowering.tokens.index(Name("y"), Name("i0"))
    builder.emit("index", position, value=token % op.attributes["sequence"])
    builder.emit("mul", angle, position.at(0, (rows, 1), (pairs, 0)), frequencies.view((rows, 0), (pairs, 1)))
    cosine, sine = phases.at(0, rows, pairs), phases.at(rows * pairs, rows, pairs)
    builder.emit("cos", cosine, angle)
    builder.emit("sin", sine, angle)
    scale = float(op.attributes.get("scale", 1.0))
    if scale != 1.0:
        builder.emit("mul", phases, phases, scale)
        if 2 * turning != layout.head_dim:
            beyond = binary(">=", layout.member(Name("x")) * pairs + Name("i1"), turning)
            builder.emit("fill", cosine, value=1.0, where=beyond)


def emit(op: Operation, lowering: Lowering) -> None:
    """Append the rotation: (a, b) -> (a cos - b sin, b cos + a sin) for each pair."""
    builder = lowering.builder
    type = op.result.type
    assert isinstance(type, ShardType) and isinstance(type.x, Heads)
    layout = type.x
    rows, heads, pairs = type.y.tile, layout.heads_local, layout.pairs
    x = lowering.buffer_of(op.operands[0])
    phases = lowering.buffer_of(op.operands[1])
    token, head = heads * 2 * pairs, 2 * pairs
    dims = ((rows, token), (heads, head), (pairs, 1))
    turn = ((rows, pairs), (heads, 0), (pairs, 1))
    cosine, sine = phases.at(0, *turn), phases.at(rows * pairs, *turn)
    first, second = x.at(0, *dims), x.at(pairs, *dims)
    output = lowering.result_buffer(op.result, "rotated")
    crossed = lowering.temporary("crossed", lowering.other, rows, heads, pairs)
    kept = lowering.temporary("kept", lowering.other, rows, heads, pairs)
    builder.emit("mul", crossed, second, sine)
    builder.emit("mul", kept, first, cosine)
    builder.emit("sub", output.at(0, *dims), kept, crossed)
    builder.emit("mul", crossed, first, sine)
    builder.emit("mul", kept, second, cosine)
    builder.emit("add", output.at(pairs, *dims), kept, crossed)


PHASES = Kernel("rope.phases", "tile.phases", "cosines and sines of the positions", emit_phases)
ROTATE = Kernel("rope.rotate", "tile.rope", "rotation of pairs within a PE", emit)
