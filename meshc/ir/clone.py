"""A deep copy of a module: the same IR in new objects."""

from __future__ import annotations

from meshc.ir.core import Block, Module, Operation, Value


def clone(module: Module) -> Module:
    """Copy operations, values and regions; types, locations and attribute values are shared (they are immutable)."""
    values: dict[Value, Value] = {}
    copy = Module(module.level, attributes=dict(module.attributes))
    copy.body = _block(module.body, values)
    return copy


def _block(block: Block, values: dict[Value, Value]) -> Block:
    new = Block([a.type for a in block.args], [a.name for a in block.args])
    values.update(zip(block.args, new.args, strict=True))
    for op in block.ops:
        new.append(_operation(op, values))
    return new


def _operation(op: Operation, values: dict[Value, Value]) -> Operation:
    new = Operation(
        op.name,
        [values[v] for v in op.operands],
        [r.type for r in op.results],
        op.attributes,
        [_block(b, values) for b in op.regions],
        op.location,
        [r.name for r in op.results],
    )
    values.update(zip(op.results, new.results, strict=True))
    return new
