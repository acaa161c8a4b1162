"""recognise-softmax: exponentials over their sum."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from meshc.ir.core import Module, Operation, Value
from meshc.passes.base import Pass, PassContext
from meshc.passes.matching.editor import Editor, blocks, made_by, shape_of


@dataclass(frozen=True)
class RecogniseSoftmax(Pass):
    """Turn a softmax that is written out into ``graph.softmax``.

    Needs: ``canonicalize`` before.

    Does: exp(x) / sum(exp(x)), where x may first be reduced by its largest element::

        func() {name = "forward"} (%x: tensor<1x2x4x4xf32>) {
          %m = graph.max(%x) {dims = [3]} : tensor<1x2x4x1xf32>
          %d = graph.sub(%x, %m) : tensor<1x2x4x4xf32>
          %e = graph.exp(%d) : tensor<1x2x4x4xf32>
          %s = graph.sum(%e) {dims = [3]} : tensor<1x2x4x1xf32>
          %y = graph.div(%e, %s) : tensor<1x2x4x4xf32>
          return(%y)
        }

    becomes ::

        func() {name = "forward"} (%x: tensor<1x2x4x4xf32>) {
          %0 = graph.softmax(%x) {dim = 3} : tensor<1x2x4x4xf32>
          return(%0)
        }

    Holds after: no quotient of exponentials and their sum is left.
    """

    name: ClassVar[str] = "recognise-softmax"

    def run(self, module: Module, context: PassContext) -> None:
        """Look at every quotient."""
        for block in blocks(module):
            editor = Editor(block)
            for op in editor.ops():
                if op.name == "graph.div" and len(op.operands) == 2:
                    _match(editor, op)
            editor.commit()


def _match(editor: Editor, op: Operation) -> None:
    above, total = made_by(op.operands[0], "exp"), made_by(op.operands[1], "sum")
    if above is None or total is None or total.operands[0] is not above.result:
        return
    dims = total.attributes["dims"]
    if len(dims) != 1:
        return
    value = _without_largest(above.operands[0], dims)
    editor.replace(op.result, editor.insert(op, "softmax", [value], shape_of(op.result), dim=dims[0]))


def _without_largest(value: Value, dims: tuple[int, ...]) -> Value:
    less = made_by(value, "sub")
    if less is None or len(less.operands) != 2:
        return value
    largest = made_by(less.operands[1], "max")
    if largest is None or largest.operands[0] is not less.operands[0] or tuple(largest.attributes["dims"]) != dims:
        return value
    return less.operands[0]
