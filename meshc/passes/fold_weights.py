"""fold-weights: arithmetic on weights alone is done now."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from meshc.ir.core import Module, Operation
from meshc.passes.base import Pass, PassContext
from meshc.passes.matching.constants import add_constant, weight_name
from meshc.passes.matching.editor import Editor, blocks, drop_unused
from meshc.passes.matching.evaluate import evaluable, evaluate


@dataclass(frozen=True)
class FoldWeights(Pass):
    """Compute what depends on weights alone.

    Needs: the fusing passes before, which keep weights under their own names where they can.

    Does: an operation all of whose operands are weights becomes a constant, named after the first of them::

        func() {name = "forward"} (%x: tensor<1x4x8xf32>) {
          %w = graph.weight() {name = "scale"} : tensor<8xf32>
          %e = graph.exp(%w) : tensor<8xf32>
          %n = graph.neg(%e) : tensor<8xf32>
          %y = graph.mul(%x, %n) : tensor<1x4x8xf32>
          return(%y)
        }

    becomes ::

        func() {name = "forward"} (%x: tensor<1x4x8xf32>) {
          %0 = graph.weight() {name = "const.scale.exp.neg"} : tensor<8xf32>
          %y = graph.mul(%x, %0) : tensor<1x4x8xf32>
          return(%y)
        }

    Holds after: every operation depends on the model's inputs, or on positions.
    """

    name: ClassVar[str] = "fold-weights"

    def run(self, module: Module, context: PassContext) -> None:
        """Fold in order, so that chains fold whole."""
        for block in blocks(module):
            editor = Editor(block)
            for op in editor.ops():
                if len(op.results) == 1 and op.operands and evaluable(op):
                    _fold(editor, op, context)
            drop_unused(editor)
            editor.commit()


def _fold(editor: Editor, op: Operation, context: PassContext) -> None:
    names = [weight_name(v) for v in op.operands]
    held = [context.weights.get(n) if n is not None else None for n in names]
    tensors = [t for t in held if t is not None]
    if len(tensors) != len(held):
        return
    if len({t.device.type for t in tensors}) > 1:
        tensors = [t.to("meta") for t in tensors]
    with torch.no_grad():
        folded = evaluate(op, [t.float() if t.is_floating_point() else t for t in tensors])
    stem = f"{names[0]}.{op.name.removeprefix('graph.')}".removeprefix("const.")
    editor.replace(op.result, add_constant(editor, context, stem, folded))
