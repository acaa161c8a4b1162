"""Elementwise operations and gated units: each PE on its own tile, nothing communicated."""

from __future__ import annotations

from meshc.dialects.elementwise import BINARY, UNARY
from meshc.dialects.tile import ShardType
from meshc.ir.core import Operation, TensorType, Value
from meshc.kernels.builder import MeshBuffer
from meshc.kernels.kernel import Kernel
from meshc.kernels.lowering import Lowering
from meshrt.program.model import View


def apply(lowering: Lowering, function: str, target: MeshBuffer | View, source: MeshBuffer | View) -> None:
    """Append a unary function: ``target = function(source)``; the two must not be one buffer."""
    operands: dict[str | float, MeshBuffer | View | float] = {"x": source, "r": target}
    for opcode, arguments in UNARY[function]:
        lowering.builder.emit(opcode, target, *(operands.get(a, a) for a in arguments))  # type: ignore[arg-type]


def emit_unary(op: Operation, lowering: Lowering) -> None:
    """Append a unary function."""
    source = lowering.buffer_of(op.operands[0])
    apply(lowering, op.attributes["function"], lowering.result_buffer(op.result, "unary"), source)


def emit_binary(op: Operation, lowering: Lowering) -> None:
    """Append a sum, difference, product or quotient of shards, feature vectors and numbers."""
    function = op.attributes["function"]
    operands = [_operand(op, value, lowering) for value in op.operands]
    if "scalar" in op.attributes:
        operands.append(float(op.attributes["scalar"]))
    if op.attributes.get("reversed"):
        operands.reverse()
    target = lowering.reuse_or_result(op, *op.operands)
    lowering.builder.emit(BINARY[function], target, *operands)


def _operand(op: Operation, value: Value, lowering: Lowering) -> MeshBuffer | View | float:
    if not isinstance(value.type, TensorType):
        return lowering.buffer_of(value)
    result = op.result.type
    assert isinstance(result, ShardType)
    rows, inner = result.tile
    return lowering.vector(value, result.x, "vector").view((rows, 0), (inner, 1))


def emit_glu(op: Operation, lowering: Lowering) -> None:
    """Append a gated linear unit: activation(gate) * up (SwiGLU, GeGLU; Shazeer 2020)."""
    gate, up = (lowering.buffer_of(v) for v in op.operands)
    type = op.result.type
    assert isinstance(type, ShardType)
    activated = lowering.temporary("activated", lowering.other, *type.tile)
    apply(lowering, op.attributes["activation"], activated, gate)
    lowering.builder.emit("mul", lowering.result_buffer(op.result, "gated"), activated, up)


UNARY_KERNEL = Kernel("elementwise.unary", "tile.unary", "a function of each element", emit_unary)
BINARY_KERNEL = Kernel("elementwise.binary", "tile.binary", "sum, product, .. of pairs of elements", emit_binary)
GLU_KERNEL = Kernel("elementwise.glu", "tile.glu", "gated linear unit", emit_glu)
