"""recognise-activations: activation functions that are written out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from meshc.ir.core import Module, Operation, Value
from meshc.passes.base import Pass, PassContext
from meshc.passes.matching.editor import Editor, blocks, shape_of
from meshc.passes.matching.evaluate import BINARY, UNARY, evaluate_chain
from meshc.passes.matching.expression import expression_of

#: What is looked for; what is at the core of each.
_ACTIVATIONS = ("silu", "gelu_tanh", "gelu", "gelu_quick", "relu_squared", "mish")
_CORES = ("tanh", "sigmoid", "erf", "exp", "relu")
#: Operations of the longest formula.
_LIMIT = 14


@dataclass(frozen=True)
class RecogniseActivations(Pass):
    """Turn formulas of activation functions into the one operation that they are.

    Needs: ``canonicalize`` before.

    Does: runs elementwise formulas of one value that contain a tanh, sigmoid, erf, exp or relu on a range of numbers
    and compares them with silu, gelu (by erf, by tanh, quick), squared relu and mish::

        func() {name = "forward"} (%x: tensor<1x4x8xf32>) {
          %s = graph.sigmoid(%x) : tensor<1x4x8xf32>
          %y = graph.mul(%x, %s) : tensor<1x4x8xf32>
          return(%y)
        }

    becomes ::

        func() {name = "forward"} (%x: tensor<1x4x8xf32>) {
          %0 = graph.silu(%x) : tensor<1x4x8xf32>
          return(%0)
        }

    Holds after: these activations are single operations.
    """

    name: ClassVar[str] = "recognise-activations"

    def run(self, module: Module, context: PassContext) -> None:
        """Look at every product and quotient."""
        for block in blocks(module):
            editor = Editor(block)
            for op in editor.ops():
                if op.name in ("graph.mul", "graph.div", "graph.square"):
                    _match(editor, op)
            editor.commit()


def _match(editor: Editor, root: Operation) -> None:
    ancestors = _ancestors(root)
    if not any(_short(op) in _CORES for op in ancestors):
        return
    candidates: dict[Value, None] = {}
    for op in (root, *ancestors):
        candidates.update(dict.fromkeys(op.operands))
    grid = torch.linspace(-8, 8, 257, dtype=torch.float64)
    for source in candidates:
        if shape_of(source) != shape_of(root.result):
            continue
        ops = expression_of(source, root, _elementwise, _LIMIT)
        if ops is None or not any(_short(op) in _CORES for op in ops):
            continue
        given = evaluate_chain(ops, {source: grid}, root.result)
        for name in _ACTIVATIONS:
            if torch.allclose(given, UNARY[name](grid), rtol=1e-6, atol=2e-7):
                editor.replace(root.result, editor.insert(root, name, [source], shape_of(root.result)))
                return


def _short(op: Operation) -> str:
    return op.name.removeprefix("graph.")


def _elementwise(op: Operation) -> bool:
    return _short(op) in UNARY or _short(op) in BINARY


def _ancestors(root: Operation) -> list[Operation]:
    """Elementwise operations behind a value, nearest first."""
    found: dict[Operation, None] = {}
    front = [root]
    while front and len(found) < _LIMIT:
        op = front.pop(0)
        for operand in op.operands:
            if operand.op is not None and _elementwise(operand.op) and operand.op not in found:
                found[operand.op] = None
                front.append(operand.op)
    return list(found)
