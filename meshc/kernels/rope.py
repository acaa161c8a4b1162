"""Rotary embedding: phases once per PE, then a rotation of pairs that lie in one PE.

Each row computes position times frequency for its tokens and its column's pairs, and
keeps cosine and sine. Dimensions beyond the rotary ones have frequency zero, so they
pass unchanged. Nothing is communicated. In decode there is one position, that of the step, and
its phases serve the tokens of all sequences.
"""

from __future__ import annotations

from meshc.dialects.shard import heads_of, shard_of
from meshc.ir.core import Operation
from meshc.kernels.builder import MeshBuffer
from meshc.kernels.kernel import Kernel
from meshc.kernels.lowering import Lowering, Section
from meshrt.program.expr import Expr, Name, select
from meshrt.program.model import View


def emit_phases(op: Operation, lowering: Lowering) -> None:
    """Append the computation of cosines, negated sines and sines, [3, positions, pairs] per PE."""
    builder = lowering.builder
    layout = heads_of(op.result)
    step = lowering.position
    rows, pairs = shard_of(op.result).y.tile if step is None else 1, layout.pairs
    turning = layout.rotary // 2

    def indices(e: list[Expr]) -> list[Expr]:
        pair = layout.member(Name("x")) * pairs + e[0]
        return [select(pair.lt(turning), pair, -1)]

    frequencies = lowering.place("inv_freq", "f32", (pairs,), [Section(op.operands[0], indices)])
    position = lowering.temporary("position", "f32", rows)
    angle = lowering.temporary("angle", "f32", rows, pairs)
    phases = builder.buffer("phases", lowering.other, 3, rows, pairs)
    lowering.values[op.result] = phases
    if step is None:
        step = lowering.tokens.index(Name("y"), Name("i0")) % op.attributes["sequence"]
    builder.emit("index", position, value=step)
    builder.emit("mul", angle, position.at(0, (rows, 1), (pairs, 0)), frequencies.view((rows, 0), (pairs, 1)))
    cosine, minus_sine, sine = (phases.at(part * rows * pairs, rows, pairs) for part in range(3))
    builder.emit("cos", cosine, angle)
    builder.emit("sin", sine, angle)
    builder.emit("mul", minus_sine, sine, -1.0)
    scale = float(op.attributes.get("scale", 1.0))
    if scale != 1.0:
        builder.emit("mul", phases, phases, scale)
        if 2 * turning != layout.head_dim:
            beyond = (layout.member(Name("x")) * pairs + Name("i1")).ge(turning)
            builder.emit("fill", cosine, value=1.0, where=beyond)


def emit(op: Operation, lowering: Lowering) -> None:
    """Append the rotation: (a, b) -> (a cos - b sin, b cos + a sin) for each pair."""
    builder = lowering.builder
    layout = heads_of(op.result)
    rows, heads, pairs = shard_of(op.result).y.tile, layout.heads_local, layout.pairs
    x = lowering.buffer_of(op.operands[0])
    phases = lowering.buffer_of(op.operands[1])
    token, head = heads * 2 * pairs, 2 * pairs
    positions = phases.shape[1]

    def half(buffer: MeshBuffer, which: int) -> View:
        return buffer.at(which * pairs, (rows, token), (heads, head), (pairs, 1))

    def phase(which: int, *halves: tuple[int, int]) -> View:
        of_token = pairs if positions == rows else 0
        return phases.at(which * positions * pairs, (rows, of_token), (heads, 0), *halves, (pairs, 1))

    crossed = lowering.temporary("crossed", lowering.other, rows, heads, 2, pairs)
    kept = lowering.temporary("kept", lowering.other, rows, heads, 2, pairs)
    builder.emit("mul", kept, x.at(0, rows, heads, 2, pairs), phase(0, (2, 0)))
    builder.emit("mul", half(crossed, 0), half(x, 1), phase(1))
    builder.emit("mul", half(crossed, 1), half(x, 0), phase(2))
    builder.emit("add", lowering.result_buffer(op.result, "rotated").at(0, rows, heads, 2, pairs), kept, crossed)


PHASES = Kernel("rope.phases", "tile.phases", "cosines and sines of the positions", emit_phases)
ROTATE = Kernel("rope.rotate", "tile.rope", "rotation of pairs within a PE", emit)
