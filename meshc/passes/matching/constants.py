"""Constant weights: reading their values and adding new ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from meshc.ir.core import Block, Operation, TensorType, Value
from meshc.passes.matching.editor import Editor

if TYPE_CHECKING:
    from meshc.passes.base import PassContext

_DTYPES = {torch.bool: "i1", torch.int64: "i64", torch.int32: "i32", torch.float32: "f32"}


def weight_name(value: Value) -> str | None:
    """The name of the weight that a value is, or None."""
    op = value.op
    return op.attributes["name"] if op is not None and op.name == "graph.weight" else None


def constant(value: Value, context: PassContext) -> torch.Tensor | None:
    """The values of a ``const.*`` weight; None for anything else."""
    name = weight_name(value)
    if name is None or not name.startswith("const."):
        return None
    tensor = context.weights.get(name)
    return tensor if tensor is not None and tensor.device.type != "meta" else None


def add_constant(editor: Editor, context: PassContext, stem: str, tensor: torch.Tensor) -> Value:
    """A weight ``const.<stem>`` that holds the tensor, first in the block; equal constants are one weight.

    Where the name is taken by other values a number follows it.
    """
    weights = context.weights
    assert isinstance(weights, dict), "passes add constants to the compilation's weights"
    tensor = tensor.contiguous()
    name, number = f"const.{stem}", 0
    while name in weights and not _same(weights[name], tensor):
        number += 1
        name = f"const.{stem}.{number}"
    weights[name] = tensor
    for op in editor.block.ops:
        if op.name == "graph.weight" and op.attributes["name"] == name:
            return op.result
    return add_leaf(editor, "graph.weight", TensorType(tuple(tensor.shape), _DTYPES.get(tensor.dtype, "f32")), name)


def add_leaf(editor: Editor, kind: str, type: TensorType, name: str | None = None) -> Value:
    """An operation without operands, first in the block, so that everything may use it."""
    op = Operation(kind, [], [type], {"name": name} if name is not None else {})
    op.parent = editor.block
    editor.block.ops.insert(0, op)
    return op.result


def positions(editor: Editor, count: int) -> Value:
    """The block's ``graph.positions``, added where there is none yet."""
    for op in editor.block.ops:
        if op.name == "graph.positions":
            return op.result
    return add_leaf(editor, "graph.positions", TensorType((count,), "i64"))


def function_blocks(blocks: list[Block]) -> list[Block]:
    """Only the bodies of functions."""
    return [b for b in blocks if b.parent is not None and b.parent.name == "func"]


def _same(a: torch.Tensor, b: torch.Tensor) -> bool:
    if a.shape != b.shape or a.dtype != b.dtype or a.device != b.device:
        return False
    return a.device.type == "meta" or torch.equal(a, b)
