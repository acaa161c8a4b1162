"""The weight and bias that follow a norm: a product and a sum along the last dimension."""

from __future__ import annotations

from meshc.ir.core import Operation, Value
from meshc.passes.fuse_linear import vector
from meshc.passes.matching.editor import Editor, made_by, shape_of
from meshc.passes.matching.layout import Layouts


def following(editor: Editor, value: Value, name: str) -> tuple[Operation, Value] | None:
    """The only user of a value, where it is ``graph.<name>`` with another operand: the user and that operand."""
    user = editor.only_user(value)
    if user is None or user.name != f"graph.{name}" or len(user.operands) != 2:
        return None
    if shape_of(user.result) != shape_of(value):
        return None
    other = user.operands[1] if user.operands[0] is value else user.operands[0]
    return None if other is value else (user, other)


def norm_weight(value: Value, features: int, layouts: Layouts) -> tuple[Value, bool] | None:
    """The weight [features] that a factor is, and whether 1 is added to it."""
    plain = vector(value, features, layouts)
    if plain is not None:
        return plain, False
    source, _ = layouts.of(value)
    offset = made_by(source, "add")
    if offset is not None and offset.attributes.get("scalar") == 1:
        weight = vector(offset.operands[0], features, layouts)
        if weight is not None:
            return weight, True
    return None
