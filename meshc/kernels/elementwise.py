"""Elementwise operations and gated units: each PE on its own tile, nothing communicated.

Padded features are zero in every value: GEMMs and norms rely on it. A function that gives
something else for zero is followed by a fill of the padding.
"""

from __future__ import annotations

from collections.abc import Callable

from meshc.dialects.elementwise import BINARY, INFINITE_AT_ZERO, NOT_ZERO_AT_ZERO, UNARY
from meshc.dialects.shard import shard_of
from meshc.ir.core import Operation, TensorType, Value
from meshc.kernels.builder import MeshBuffer
from meshc.kernels.collectives.line import whole
from meshc.kernels.kernel import Kernel
from meshc.kernels.lowering import Lowering, outside
from meshc.kernels.shared_work import share_for
from meshrt.program.expr import Name
from meshrt.program.instructions import INSTRUCTIONS
from meshrt.program.model import View
from meshrt.target import Target


def entire(buffer: MeshBuffer) -> View:
    """All of a buffer."""
    return buffer.whole


def apply(
    lowering: Lowering,
    function: str,
    target: MeshBuffer,
    source: MeshBuffer,
    part: Callable[[MeshBuffer], View] = entire,
) -> None:
    """Append a unary function: ``target = function(source)``; the two must not be one buffer.

    With ``part`` of a part of both only, which it makes a view of.

    All steps but the last are computed in the accumulators' dtype: only the result is rounded
    to the target's.
    """
    *before, last = UNARY[function]
    scratch = target
    if before and target.dtype != lowering.other:
        scratch = lowering.temporary("steps", lowering.other, *target.shape)
    operands: dict[str | float, View | float] = {"x": part(source), "r": part(scratch)}
    for (opcode, arguments), result in [*((step, part(scratch)) for step in before), (last, part(target))]:
        lowering.builder.emit(opcode, result, *(operands.get(a, a) for a in arguments))  # type: ignore[arg-type]


def scalar_cycles(target: Target, function: str) -> int:
    """Cycles that a unary function takes for an element in scalar code: its divisions, roots and special functions."""
    prices = {"divide": target.divide_cycles, "root": target.root_cycles, "special": target.special_cycles}
    return sum(prices.get(INSTRUCTIONS[opcode].cost, 0) for opcode, _ in UNARY[function])


def emit_unary(op: Operation, lowering: Lowering) -> None:
    """Append a unary function."""
    function = op.attributes["function"]
    target = lowering.result_buffer(op.result, "unary")
    apply(lowering, function, target, lowering.buffer_of(op.operands[0]))
    if function in NOT_ZERO_AT_ZERO:
        _clear_padding(op, lowering)


def _clear_padding(op: Operation, lowering: Lowering) -> None:
    type = shard_of(op.result)
    layout = type.features
    if layout.padded != layout.extent:
        beyond = outside(layout, Name("i0" if type.transposed else "i1"), type.axis)
        lowering.builder.emit("fill", lowering.buffer_of(op.result), value=0.0, where=beyond)


def emit_binary(op: Operation, lowering: Lowering) -> None:
    """Append a function of two shards, feature vectors or numbers."""
    function = op.attributes["function"]
    operands = [_operand(op, value, lowering) for value in op.operands]
    if "scalar" in op.attributes:
        operands.append(float(op.attributes["scalar"]))
    if op.attributes.get("reversed"):
        operands.reverse()
    target = lowering.reuse_or_result(op, *op.operands)
    lowering.builder.emit(BINARY[function], target, *operands)
    if not _keeps_zero(op):
        _clear_padding(op, lowering)


def _keeps_zero(op: Operation) -> bool:
    """Whether zero operands (and this number) give zero."""
    function, number = op.attributes["function"], op.attributes.get("scalar")
    if function == "div":
        return number is not None and not op.attributes.get("reversed")
    return function == "mul" or not number


def _operand(op: Operation, value: Value, lowering: Lowering) -> MeshBuffer | View | float:
    if not isinstance(value.type, TensorType):
        return lowering.buffer_of(value)
    return lowering.per_token(value, shard_of(op.result), "vector")


def emit_glu(op: Operation, lowering: Lowering) -> None:
    """Append a gated linear unit: activation(gate) * up (SwiGLU, GeGLU; Shazeer 2020)."""
    builder, type = lowering.builder, shard_of(op.result)
    gate, up = (lowering.buffer_of(v) for v in op.operands)
    function = op.attributes["activation"]
    activated = lowering.temporary("activated", lowering.other, *type.tile)
    gated = lowering.result_buffer(op.result, "gated")
    share = None
    if lowering.target is not None:
        # The features lie over one axis, alike along the other.
        along = whole(builder, "x" if type.transposed else "y")
        share = share_for(lowering, along, gated.elements, scalar_cycles(lowering.target, function), gated.dtype)
    if share is None:
        apply(lowering, function, activated, gate)
        builder.emit("mul", gated, activated, up)
    else:

        def part() -> None:
            apply(lowering, function, activated, gate, share.of)
            builder.emit("mul", share.of(gated), share.of(activated), share.of(up))

        share.work(lowering, gated, part)
    if function in INFINITE_AT_ZERO:
        _clear_padding(op, lowering)


UNARY_KERNEL = Kernel("elementwise.unary", "tile.unary", "a function of each element", emit_unary)
BINARY_KERNEL = Kernel("elementwise.binary", "tile.binary", "sum, product, .. of pairs of elements", emit_binary)
GLU_KERNEL = Kernel("elementwise.glu", "tile.glu", "gated linear unit", emit_glu)
