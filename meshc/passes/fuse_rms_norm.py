"""fuse-rms-norm: division by the root of the mean square, and the weight after it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from meshc.ir.core import Module, Operation, Value
from meshc.passes.base import Pass, PassContext
from meshc.passes.matching.editor import Editor, blocks, made_by, shape_of
from meshc.passes.matching.layout import Layouts
from meshc.passes.matching.norm_weights import following, norm_weight
from meshc.passes.matching.normalisation import Norms


@dataclass(frozen=True)
class FuseRmsNorm(Pass):
    """Turn root-mean-square norms into ``graph.rms_norm``.

    Needs: ``canonicalize`` before.

    Does: finds products and quotients that compute x / sqrt(mean(x^2) + eps), however that is written (it runs
    them on chosen inputs), and takes in the weight that follows, also as 1 + weight::

        func() {name = "forward"} (%x: tensor<1x4x8xf32>) {
          %w = graph.weight() {name = "norm.weight"} : tensor<8xf32>
          %q = graph.square(%x) : tensor<1x4x8xf32>
          %m = graph.mean(%q) {dims = [2]} : tensor<1x4x1xf32>
          %e = graph.add(%m) {scalar = 1e-06} : tensor<1x4x1xf32>
          %r = graph.rsqrt(%e) : tensor<1x4x1xf32>
          %n = graph.mul(%x, %r) : tensor<1x4x8xf32>
          %y = graph.mul(%w, %n) : tensor<1x4x8xf32>
          return(%y)
        }

    becomes ::

        func() {name = "forward"} (%x: tensor<1x4x8xf32>) {
          %w = graph.weight() {name = "norm.weight"} : tensor<8xf32>
          %0 = graph.rms_norm(%x, %w) {eps = 1e-06, unit_offset = false} : tensor<1x4x8xf32>
          return(%0)
        }

    Holds after: no such norm is left in primitives.
    """

    name: ClassVar[str] = "fuse-rms-norm"

    def run(self, module: Module, context: PassContext) -> None:
        """Norms first, then the weights of all norms, those imported as such included."""
        for block in blocks(module):
            editor, layouts, norms = Editor(block), Layouts(), Norms()
            for op in editor.ops():
                norm = norms.match(op)
                if norm is not None and norm.kind == "rms":
                    value = editor.insert(
                        op, "rms_norm", [norm.source], shape_of(op.result), eps=norm.eps, unit_offset=False
                    )
                    editor.replace(op.result, value)
            editor.commit()
            editor = Editor(block)
            for op in editor.ops():
                if op.name == "graph.rms_norm" and "heads" not in op.attributes:
                    _take_weight(editor, op, layouts)
            editor.commit()


def _take_weight(editor: Editor, op: Operation, layouts: Layouts) -> None:
    features = shape_of(op.result)[-1]
    if len(op.operands) == 2:
        offset = made_by(op.operands[1], "add")
        found = norm_weight(op.operands[1], features, layouts)
        if offset is not None and found is not None:
            _rebuild(editor, op, op, *found)
        return
    after = following(editor, op.result, "mul")
    if after is None:
        return
    user, factor = after
    found = norm_weight(factor, features, layouts)
    if found is not None:
        _rebuild(editor, op, user, *found)


def _rebuild(editor: Editor, op: Operation, last: Operation, weight: Value, unit_offset: bool) -> None:
    value = editor.insert(
        last,
        "rms_norm",
        [op.operands[0], weight],
        shape_of(op.result),
        location=op.location,
        **{**op.attributes, "unit_offset": unit_offset},
    )
    editor.replace(last.result, value)
