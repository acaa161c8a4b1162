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

        %1 = graph.mean(%x) {dims = [2]} : tensor<1x12x1xf32>
        %2 = graph.sub(%x, %1) : tensor<1x12x32xf32>
        %3 = graph.var(%x) {dims = [2], correction = 0} : tensor<1x12x1xf32>
        %4 = graph.add(%3) {scalar = 1e-05} : tensor<1x12x1xf32>
        %5 = graph.rsqrt(%4) : tensor<1x12x1xf32>
        %6 = graph.mul(%2, %5) : tensor<1x12x32xf32>
        %7 = graph.mul(%6, %w) : tensor<1x12x32xf32>
        %8 = graph.add(%7, %b) : tensor<1x12x32xf32>

    becomes ::

        %1 = graph.layer_norm(%x, %w, %b) {eps = 1e-05} : tensor<1x12x32xf32>

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
