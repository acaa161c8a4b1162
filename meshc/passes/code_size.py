"""How many instructions a kernel appends for one operation: found by letting it append them to an empty region."""

from __future__ import annotations

from contextlib import ExitStack

from meshc.dialects.shard import ShardType
from meshc.ir.core import Block, Operation
from meshc.kernels.schedule import scheduled
from meshc.passes.base import PassContext
from meshc.passes.candidates import Candidate
from meshc.passes.place import Place, empty_region
from meshc.passes.plan_memory import instruction_count
from meshrt.program.expr import Name


def code_size(func: Operation, op: Operation, candidate: Candidate, context: PassContext) -> int:
    """Instructions of a candidate for an operation of the function, on the function's grid."""
    region = empty_region(func)
    lowering = Place().lowering(region, func, context)
    if func.attributes.get("phase") == "decode":
        # Any step of the token loop.
        lowering.position = Name("t")
    with ExitStack() as loops:
        for repeat in _around(op):
            loops.enter_context(lowering.repeating(repeat.attributes["counter"], repeat.attributes["count"]))
        for value in op.operands:
            if isinstance(value.type, ShardType):
                lowering.values[value] = lowering.temporary("operand", value.type.dtype, *value.type.tile)
        candidate.kernel.emit(scheduled(op, candidate.kernel.name, candidate.schedule), lowering)
        rounds = len(lowering.rounds)
    lowering.builder.finish()
    (code,) = (inner for inner in region.regions[0].ops if inner.name == "mesh.code")
    return instruction_count(code.regions[0]) - rounds


def _around(op: Operation) -> list[Operation]:
    """The loops around an operation, from the outermost in."""
    found: list[Operation] = []
    block: Block | None = op.parent
    while block is not None and block.parent is not None:
        if block.parent.name == "tile.repeat":
            found.insert(0, block.parent)
        block = block.parent.parent
    return found
