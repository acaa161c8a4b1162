"""fuse-layer-norm: centring, division by the standard deviation, and the weight and bias after it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from meshc.ir.core import Module, Operation
from meshc.passes.base import Pass, PassContext
from meshc.passes.fuse_linear import vector
from meshc.passes.matching.editor import Editor, blocks, shape_of
from meshc.passes.matching.layout import Layouts
from meshc.passes.matching.norm_weights import following
from meshc.passes.matching.normalisation import Norms


@dataclass(frozen=True)
class FuseLayerNorm(Pass):
    """Turn layer norms that are written out into ``graph.layer_norm``.

    Needs: ``canonicalize`` before.

    Does: finds products and quotients that compute (x - mean(x)) / sqrt(var(x) + eps), however that is written (it
    runs them on chosen inputs), and takes in the weight and then the bias that follow::

        func() {name = "forward"} (%x: tensor<1x4x8xf32>) {
          %w = graph.weight() {name = "ln.weight"} : tensor<8xf32>
          %b = graph.weight() {name = "ln.bias"} : tensor<8xf32>
          %m = graph.mean(%x) {dims = [2]} : tensor<1x4x1xf32>
          %c = graph.sub(%x, %m) : tensor<1x4x8xf32>
          %v = graph.var(%x) {dims = [2], correction = 0} : tensor<1x4x1xf32>
          %e = graph.add(%v) {scalar = 1e-05} : tensor<1x4x1xf32>
          %r = graph.rsqrt(%e) : tensor<1x4x1xf32>
          %n = graph.mul(%c, %r) : tensor<1x4x8xf32>
          %s = graph.mul(%n, %w) : tensor<1x4x8xf32>
          %y = graph.add(%s, %b) : tensor<1x4x8xf32>
          return(%y)
        }

    becomes ::

        func() {name = "forward"} (%x: tensor<1x4x8xf32>) {
          %w = graph.weight() {name = "ln.weight"} : tensor<8xf32>
          %b = graph.weight() {name = "ln.bias"} : tensor<8xf32>
          %0 = graph.layer_norm(%x, %w, %b) {eps = 1e-05} : tensor<1x4x8xf32>
          return(%0)
        }

    Holds after: no such norm is left in primitives.
    """

    name: ClassVar[str] = "fuse-layer-norm"

    def run(self, module: Module, context: PassContext) -> None:
        """Norms first, then their weights, then their biases."""
        for block in blocks(module):
            editor, norms = Editor(block), Norms()
            for op in editor.ops():
                norm = norms.match(op)
                if norm is not None and norm.kind == "layer":
                    value = editor.insert(op, "layer_norm", [norm.source], shape_of(op.result), eps=norm.eps)
                    editor.replace(op.result, value)
            editor.commit()
            for operands, name in ((1, "mul"), (2, "add")):
                editor, layouts = Editor(block), Layouts()
                for op in editor.ops():
                    if op.name == "graph.layer_norm" and len(op.operands) == operands:
                        _take(editor, op, name, layouts)
                editor.commit()


def _take(editor: Editor, op: Operation, name: str, layouts: Layouts) -> None:
    after = following(editor, op.result, name)
    if after is None:
        return
    user, other = after
    parameter = vector(other, shape_of(op.result)[-1], layouts)
    if parameter is not None:
        value = editor.insert(
            user,
            "layer_norm",
            [*op.operands, parameter],
            shape_of(op.result),
            location=op.location,
            eps=op.attributes["eps"],
        )
        editor.replace(user.result, value)
