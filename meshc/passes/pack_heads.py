"""pack-heads: attention on packed heads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch

from meshc.ir.core import Module, Operation, Value
from meshc.passes.base import Pass, PassContext
from meshc.passes.matching.editor import Editor, blocks, shape_of
from meshc.passes.matching.head_operands import HeadOperands, take_features


@dataclass(frozen=True)
class PackHeads(Pass):
    """Turn ``graph.heads_attention`` into ``graph.attention``, whose heads are packed.

    Needs: ``fuse-rope`` before.

    Does: reads queries, keys and values as [batch, tokens, heads * head_dim] from where their heads were split;
    heads of keys and values that were repeated for several query heads are there once::

        func() {name = "forward"} (%q: tensor<1x4x8xf32>, %k: tensor<1x4x4xf32>, %v: tensor<1x4x4xf32>) {
          %qh = graph.reshape(%q) {shape = [1, 4, 2, 4]} : tensor<1x4x2x4xf32>
          %qt = graph.permute(%qh) {dims = [0, 2, 1, 3]} : tensor<1x2x4x4xf32>
          %kh = graph.reshape(%k) {shape = [1, 4, 1, 4]} : tensor<1x4x1x4xf32>
          %kt = graph.permute(%kh) {dims = [0, 2, 1, 3]} : tensor<1x1x4x4xf32>
          %vh = graph.reshape(%v) {shape = [1, 4, 1, 4]} : tensor<1x4x1x4xf32>
          %vt = graph.permute(%vh) {dims = [0, 2, 1, 3]} : tensor<1x1x4x4xf32>
          %kw = graph.expand(%kt) {shape = [1, 2, 4, 4]} : tensor<1x2x4x4xf32>
          %vw = graph.expand(%vt) {shape = [1, 2, 4, 4]} : tensor<1x2x4x4xf32>
          %y = graph.heads_attention(%qt, %kw, %vw) {scale = 0.5, mask = "causal"} : tensor<1x2x4x4xf32>
          return(%y)
        }

    becomes ::

        func() {name = "forward"} (%q: tensor<1x4x8xf32>, %k: tensor<1x4x4xf32>, %v: tensor<1x4x4xf32>) {
          %0 = graph.attention(%q, %k, %v) {heads = 2, kv_heads = 1, head_dim = 4, value_dim = 4, scale = 0.5,
              mask = "causal"} : tensor<1x4x8xf32>
          %1 = graph.reshape(%0) {shape = [1, 4, 2, 4]} : tensor<1x4x2x4xf32>
          %2 = graph.permute(%1) {dims = [0, 2, 1, 3]} : tensor<1x2x4x4xf32>
          return(%2)
        }

    where ``canonicalize`` joins the splitting of the result with what follows. Holds after: no
    ``graph.heads_attention`` is left, unless its operands mix features of several activations.
    """

    name: ClassVar[str] = "pack-heads"

    def run(self, module: Module, context: PassContext) -> None:
        """Look at every attention."""
        for block in blocks(module):
            editor, operands = Editor(block), HeadOperands(context)
            for op in editor.ops():
                if op.name == "graph.heads_attention":
                    _pack(editor, op, operands, context)
            editor.commit()


@dataclass(frozen=True, slots=True)
class _Packed:
    value: Value
    heads: int
    size: int
    scale: float


def _pack(editor: Editor, op: Operation, operands: HeadOperands, context: PassContext) -> None:
    q, k, v = (_packed(editor, op, i, operands, context) for i in range(3))
    if q is None or k is None or v is None:
        return
    heads = shape_of(op.result)[1]
    if q.heads != heads:
        return
    if k.heads != v.heads:
        # Shared by different numbers of query heads: both as the finer of the two.
        return
    batch, _, tokens, size = shape_of(op.result)
    attributes: dict[str, Any] = {"heads": heads, "kv_heads": k.heads, "head_dim": q.size, "value_dim": v.size}
    attributes |= op.attributes
    attributes["scale"] = op.attributes["scale"] * q.scale * k.scale
    values = v.value
    if v.scale != 1:
        values = editor.insert(op, "mul", [values], shape_of(values), scalar=v.scale)
    packed = editor.insert(op, "attention", [q.value, k.value, values], (batch, tokens, heads * size), **attributes)
    split = (batch, tokens, heads, size)
    apart = editor.insert(op, "reshape", [packed], split, shape=split)
    editor.replace(op.result, editor.insert(op, "permute", [apart], (batch, heads, tokens, size), dims=(0, 2, 1, 3)))


def _packed(editor: Editor, op: Operation, i: int, operands: HeadOperands, context: PassContext) -> _Packed | None:
    found = operands.view(op.operands[i])
    if found is None or found[1].rotation is not None:
        return None
    leaf, view = found
    rows: torch.Tensor | None = view.features if i == 0 else operands.shared_rows(view)
    if rows is None:
        return None
    value = take_features(editor, op, leaf, rows, "qkv"[i], context)
    return None if value is None else _Packed(value, rows.shape[0], rows.shape[1], view.scale)
