"""split-projections: parts of a fused projection are projections of their own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from meshc.ir.core import Module, Operation
from meshc.passes.base import Pass, PassContext
from meshc.passes.matching.editor import Editor, blocks, made_by, shape_of


@dataclass(frozen=True)
class SplitProjections(Pass):
    """Take slices of a linear's output features from its weight.

    Needs: ``fuse-linear`` before.

    Does: a slice along the last dimension of a linear becomes a linear with the attribute ``rows``::

        func() {name = "forward"} (%x: tensor<1x4x8xf32>) {
          %w = graph.weight() {name = "gate_up.weight"} : tensor<12x8xf32>
          %b = graph.weight() {name = "gate_up.bias"} : tensor<12xf32>
          %both = graph.linear(%x, %w, %b) {weight = "nk"} : tensor<1x4x12xf32>
          %g = graph.slice(%both) {dim = 2, start = 0, stop = 6} : tensor<1x4x6xf32>
          %u = graph.slice(%both) {dim = 2, start = 6, stop = 12} : tensor<1x4x6xf32>
          %y = graph.mul(%g, %u) : tensor<1x4x6xf32>
          return(%y)
        }

    becomes ::

        func() {name = "forward"} (%x: tensor<1x4x8xf32>) {
          %w = graph.weight() {name = "gate_up.weight"} : tensor<12x8xf32>
          %b = graph.weight() {name = "gate_up.bias"} : tensor<12xf32>
          %0 = graph.linear(%x, %w, %b) {weight = "nk", rows = [0, 6]} : tensor<1x4x6xf32>
          %1 = graph.linear(%x, %w, %b) {weight = "nk", rows = [6, 12]} : tensor<1x4x6xf32>
          %y = graph.mul(%0, %1) : tensor<1x4x6xf32>
          return(%y)
        }

    Holds after: no linear is sliced along its features.
    """

    name: ClassVar[str] = "split-projections"

    def run(self, module: Module, context: PassContext) -> None:
        """Look at every slice."""
        for block in blocks(module):
            editor = Editor(block)
            for op in editor.ops():
                if op.name == "graph.slice" and op.attributes.get("step", 1) == 1:
                    _split(editor, op)
            editor.commit()


def _split(editor: Editor, op: Operation) -> None:
    linear = made_by(op.operands[0], "linear")
    if linear is None or op.attributes["dim"] != len(shape_of(op.result)) - 1:
        return
    first = linear.attributes.get("rows", (0, 0))[0]
    rows = (first + op.attributes["start"], first + op.attributes["stop"])
    attributes = {**linear.attributes, "rows": rows}
    part = editor.insert(op, "linear", linear.operands, shape_of(op.result), location=linear.location, **attributes)
    editor.replace(op.result, part)
