"""fuse-linear: products with a weight, and biases added to them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from meshc.ir.core import Module, Operation, Value
from meshc.passes.base import Pass, PassContext
from meshc.passes.matching.constants import weight_name
from meshc.passes.matching.editor import Editor, blocks, made_by, shape_of
from meshc.passes.matching.layout import Layout, Layouts


@dataclass(frozen=True)
class FuseLinear(Pass):
    """Turn matrix products with a weight into ``graph.linear``.

    Needs: ``canonicalize`` before.

    Does: a product of an activation with a weight of two dimensions, or its transpose, is a linear; a bias that is
    added to it, and to nothing else, belongs to it::

        func() {name = "forward"} (%x: tensor<1x4x8xf32>) {
          %w = graph.weight() {name = "fc.weight"} : tensor<8x6xf32>
          %b = graph.weight() {name = "fc.bias"} : tensor<6xf32>
          %p = graph.matmul(%x, %w) : tensor<1x4x6xf32>
          %y = graph.add(%b, %p) : tensor<1x4x6xf32>
          return(%y)
        }

    becomes ::

        func() {name = "forward"} (%x: tensor<1x4x8xf32>) {
          %w = graph.weight() {name = "fc.weight"} : tensor<8x6xf32>
          %b = graph.weight() {name = "fc.bias"} : tensor<6xf32>
          %0 = graph.linear(%x, %w, %b) {weight = "kn"} : tensor<1x4x6xf32>
          return(%0)
        }

    Holds after: a ``graph.matmul`` multiplies two activations.
    """

    name: ClassVar[str] = "fuse-linear"

    def run(self, module: Module, context: PassContext) -> None:
        """Products first, then biases."""
        for block in blocks(module):
            editor, layouts = Editor(block), Layouts()
            for op in editor.ops():
                if op.name == "graph.matmul":
                    _product(editor, op, layouts)
            editor.commit()
            editor = Editor(block)
            for op in editor.ops():
                if op.name == "graph.add" and len(op.operands) == 2:
                    _bias(editor, op, layouts)
            editor.commit()


def _product(editor: Editor, op: Operation, layouts: Layouts) -> None:
    x, w = op.operands
    source, layout = layouts.of(w)
    if weight_name(source) is None or len(shape_of(source)) != 2:
        return
    lead, matrix = layout.axes[:-2], layout.axes[-2:]
    # A weight that is repeated for every row of the batch is still one weight.
    if layout.offset or any(stride for axis in lead for _, stride in axis):
        return
    if lead and shape_of(x)[:-2] != shape_of(op.result)[:-2]:
        return
    rows, columns = shape_of(source)
    if matrix == Layout.whole((rows, columns)).axes and shape_of(x)[-1] == rows:
        kind = "kn"
    elif matrix == tuple(reversed(Layout.whole((rows, columns)).axes)) and shape_of(x)[-1] == columns:
        kind = "nk"
    else:
        return
    editor.replace(op.result, editor.insert(op, "linear", [x, source], shape_of(op.result), weight=kind))


def _bias(editor: Editor, op: Operation, layouts: Layouts) -> None:
    for i, operand in enumerate(op.operands):
        linear = made_by(operand, "linear")
        if linear is None or len(linear.operands) != 2 or editor.only_user(operand) is not op:
            continue
        if shape_of(operand) != shape_of(op.result):
            continue
        bias = vector(op.operands[1 - i], shape_of(operand)[-1], layouts)
        if bias is None or "rows" in linear.attributes:
            continue
        fused = editor.insert(
            op, "linear", [*linear.operands, bias], shape_of(operand), location=linear.location, **linear.attributes
        )
        editor.replace(op.result, fused)
        return


def vector(value: Value, features: int, layouts: Layouts) -> Value | None:
    """The weight [features] that a value shows along its last axis (its other axes broadcast), or None."""
    source, layout = layouts.of(value)
    if weight_name(source) is None or shape_of(source) != (features,) or layout.offset:
        return None
    if layout.axes[-1] != Layout.whole((features,)).axes[0]:
        return None
    return source if not any(stride for axis in layout.axes[:-1] for _, stride in axis) else None
