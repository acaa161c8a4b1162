"""fuse-glu: gated activations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from meshc.ir.core import Module, Operation
from meshc.passes.base import Pass, PassContext
from meshc.passes.matching.editor import Editor, blocks, made_by, shape_of

#: Activations that gate.
_GATES = ("silu", "gelu", "gelu_tanh", "gelu_quick", "relu", "relu_squared", "sigmoid", "tanh", "mish")


@dataclass(frozen=True)
class FuseGlu(Pass):
    """Turn the product of an activation and another value into ``graph.glu``.

    Needs: ``recognise-activations`` before.

    Does: act(gate) * up, where the activation has no other use and both have one shape::

        func() {name = "forward"} (%gate: tensor<1x4x8xf32>, %up: tensor<1x4x8xf32>) {
          %a = graph.silu(%gate) : tensor<1x4x8xf32>
          %y = graph.mul(%a, %up) : tensor<1x4x8xf32>
          return(%y)
        }

    becomes ::

        func() {name = "forward"} (%gate: tensor<1x4x8xf32>, %up: tensor<1x4x8xf32>) {
          %0 = graph.glu(%gate, %up) {activation = "silu"} : tensor<1x4x8xf32>
          return(%0)
        }

    Holds after: no activation is left that only gates.
    """

    name: ClassVar[str] = "fuse-glu"

    def run(self, module: Module, context: PassContext) -> None:
        """Look at every product."""
        for block in blocks(module):
            editor = Editor(block)
            for op in editor.ops():
                if op.name == "graph.mul" and len(op.operands) == 2:
                    _match(editor, op)
            editor.commit()


def _match(editor: Editor, op: Operation) -> None:
    if shape_of(op.operands[0]) != shape_of(op.operands[1]) or op.operands[0] is op.operands[1]:
        return
    for gate, up in (op.operands, reversed(op.operands)):
        activation = made_by(gate, *_GATES)
        if activation is not None and editor.only_user(gate) is op:
            name = activation.name.removeprefix("graph.")
            fused = editor.insert(op, "glu", [activation.operands[0], up], shape_of(op.result), activation=name)
            editor.replace(op.result, fused)
            return
