"""fuse-rope: rotary embeddings, recognised by what they compute."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from meshc.ir.core import Module, Operation, Value
from meshc.passes.base import Pass, PassContext
from meshc.passes.matching.constants import add_constant, positions
from meshc.passes.matching.editor import Editor, blocks, shape_of
from meshc.passes.matching.head_operands import HeadOperands, apart, take_features
from meshc.passes.matching.probe import HeadsView, Rotation


@dataclass(frozen=True)
class FuseRope(Pass):
    """Turn rotary embeddings of queries and keys into ``graph.rope``.

    Needs: ``fuse-attention`` before: what an attention reads as queries and keys is looked at.

    Does: the expression from a [batch, tokens, features] activation to the heads of an attention is run on chosen
    inputs; where that shows pairs of features turned by position * frequency, in whatever way that is written,
    it becomes a rope of packed heads and a plain splitting into heads::

        func() {name = "forward"} (%x: tensor<1x4x8xf32>, %k: tensor<1x2x4x4xf32>) {
          %cos = graph.weight() {name = "const.cos"} : tensor<1x1x4x4xf32>
          %sin = graph.weight() {name = "const.sin"} : tensor<1x1x4x4xf32>
          %qh = graph.reshape(%x) {shape = [1, 4, 2, 4]} : tensor<1x4x2x4xf32>
          %qt = graph.permute(%qh) {dims = [0, 2, 1, 3]} : tensor<1x2x4x4xf32>
          %c = graph.mul(%qt, %cos) : tensor<1x2x4x4xf32>
          %a = graph.slice(%qt) {dim = 3, start = 0, stop = 2} : tensor<1x2x4x2xf32>
          %b = graph.slice(%qt) {dim = 3, start = 2, stop = 4} : tensor<1x2x4x2xf32>
          %n = graph.neg(%b) : tensor<1x2x4x2xf32>
          %r = graph.concat(%n, %a) {dim = 3} : tensor<1x2x4x4xf32>
          %s = graph.mul(%r, %sin) : tensor<1x2x4x4xf32>
          %qr = graph.add(%c, %s) : tensor<1x2x4x4xf32>
          %y = graph.heads_attention(%qr, %k, %k) {scale = 0.5, mask = "causal"} : tensor<1x2x4x4xf32>
          return(%y)
        }

    becomes ::

        func() {name = "forward"} (%x: tensor<1x4x8xf32>, %k: tensor<1x2x4x4xf32>) {
          %0 = graph.positions() : tensor<4xi64>
          %1 = graph.weight() {name = "const.inv_freq"} : tensor<2xf32>
          %2 = graph.rope(%x, %0, %1) {heads = 2, head_dim = 4, rotary_dim = 4, pairing = "half",
              scale = 1.0} : tensor<1x4x8xf32>
          %3 = graph.reshape(%2) {shape = [1, 4, 2, 4]} : tensor<1x4x2x4xf32>
          %4 = graph.permute(%3) {dims = [0, 2, 1, 3]} : tensor<1x2x4x4xf32>
          %y = graph.heads_attention(%4, %k, %k) {scale = 0.5, mask = "causal"} : tensor<1x2x4x4xf32>
          return(%y)
        }

    Holds after: no position table is left on queries and keys.
    """

    name: ClassVar[str] = "fuse-rope"

    def run(self, module: Module, context: PassContext) -> None:
        """Look at the queries and keys of every attention."""
        for block in blocks(module):
            editor, operands = Editor(block), HeadOperands(context)
            for op in editor.ops():
                if op.name == "graph.heads_attention":
                    for i in (0, 1):
                        _rotate(editor, op, i, operands, context)
            editor.commit()


def _rotate(editor: Editor, op: Operation, i: int, operands: HeadOperands, context: PassContext) -> None:
    found = operands.view(op.operands[i])
    if found is None or found[1].rotation is None:
        return
    leaf, view = found
    rows = operands.shared_rows(view)
    if rows is None:
        return
    packed = take_features(editor, op, leaf, rows, "qk"[i], context)
    if packed is None:
        return
    rotated = _rope(editor, op, packed, view, len(rows), context)
    heads = apart(editor, op, rotated, len(rows), view.features.shape[0])
    changed = list(op.operands)
    changed[i] = heads
    editor.set_operands(op, changed)
    op.attributes["scale"] = op.attributes["scale"] * view.scale


def _rope(editor: Editor, op: Operation, packed: Value, view: HeadsView, heads: int, context: PassContext) -> Value:
    rotation = view.rotation
    assert rotation is not None
    shape = shape_of(packed)
    frequencies = add_constant(editor, context, "inv_freq", exact_frequencies(rotation, context))
    return editor.insert(
        op,
        "rope",
        [packed, positions(editor, shape[1]), frequencies],
        shape,
        heads=heads,
        head_dim=shape[-1] // heads,
        rotary_dim=rotation.rotary_dim,
        pairing=rotation.pairing,
        scale=rotation.scale,
    )


def exact_frequencies(rotation: Rotation, context: PassContext) -> torch.Tensor:
    """The model's own frequencies, where it holds a vector of them; else those read from its tables."""
    count = len(rotation.frequencies)
    for name, held in context.weights.items():
        if not name.startswith("const.") or held.device.type == "meta" or tuple(held.shape) != (count,):
            continue
        if held.is_floating_point() and torch.allclose(held.double(), rotation.frequencies, rtol=1e-4, atol=1e-9):
            return held.float()
    return rotation.frequencies.float()
