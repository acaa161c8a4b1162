"""pack-norm-heads: norms of single heads work on packed heads."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from meshc.ir.core import Module, Operation
from meshc.passes.base import Pass, PassContext
from meshc.passes.matching.editor import Editor, blocks, shape_of
from meshc.passes.matching.layout import Layouts, emit, is_permutation


@dataclass(frozen=True)
class PackNormHeads(Pass):
    """Move the splitting into heads behind norms of single heads.

    Needs: ``fuse-rms-norm`` before.

    Does: a root-mean-square norm along the last dimension of heads, which are a rearranged [batch, tokens,
    heads * head_dim], becomes a norm of that with the attribute ``heads``::

        func() {name = "forward"} (%x: tensor<1x4x8xf32>) {
          %w = graph.weight() {name = "q_norm.weight"} : tensor<4xf32>
          %h = graph.reshape(%x) {shape = [1, 4, 2, 4]} : tensor<1x4x2x4xf32>
          %y = graph.rms_norm(%h, %w) {eps = 1e-06, unit_offset = false} : tensor<1x4x2x4xf32>
          return(%y)
        }

    becomes ::

        func() {name = "forward"} (%x: tensor<1x4x8xf32>) {
          %w = graph.weight() {name = "q_norm.weight"} : tensor<4xf32>
          %0 = graph.rms_norm(%x, %w) {eps = 1e-06, unit_offset = false, heads = 2} : tensor<1x4x8xf32>
          %1 = graph.reshape(%0) {shape = [1, 4, 2, 4]} : tensor<1x4x2x4xf32>
          return(%1)
        }

    Holds after: norms have operands of three dimensions, where heads were split from such.
    """

    name: ClassVar[str] = "pack-norm-heads"

    def run(self, module: Module, context: PassContext) -> None:
        """Look at every norm."""
        for block in blocks(module):
            editor, layouts = Editor(block), Layouts()
            for op in editor.ops():
                if op.name == "graph.rms_norm" and "heads" not in op.attributes:
                    _pack(editor, op, layouts)
            editor.commit()


def _pack(editor: Editor, op: Operation, layouts: Layouts) -> None:
    source, layout = layouts.of(op.operands[0])
    shape, size = shape_of(source), shape_of(op.result)[-1]
    if source is op.operands[0] or len(shape) not in (2, 3) or shape[-1] % size or shape[-1] == size:
        return
    # The norm's elements must be neighbours in the source, and nothing may be left out or repeated.
    if layout.axes[-1] != ((size, 1),) or not is_permutation(layout, math.prod(shape)):
        return
    attributes = {**op.attributes, "heads": shape[-1] // size}
    packed = editor.insert(op, "rms_norm", [source, *op.operands[1:]], shape, **attributes)
    moved = emit(editor, op, packed, layout)
    assert moved is not None
    editor.replace(op.result, moved)
