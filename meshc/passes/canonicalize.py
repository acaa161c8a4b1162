"""canonicalize: one spelling for what is written in many."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from meshc.ir.core import Module, Operation, Value
from meshc.passes.base import Pass, PassContext
from meshc.passes.matching.editor import Editor, blocks, drop_unused, dtype_of, made_by, shape_of
from meshc.passes.matching.evaluate import BINARY, UNARY
from meshc.passes.matching.layout import (
    LAYOUT_OPS,
    Layout,
    Layouts,
    emit,
    leading,
    plan,
    with_last,
)

#: Operations on rows of features: whatever rearranges the rows may come after them.
_ROW_OPS = ("graph.linear", "graph.rms_norm", "graph.layer_norm")

#: Reductions that keep the reduced dimensions.
_REDUCTIONS = ("sum", "mean", "max", "min", "var")

#: Operations that must stay even if their results are equal to another's.
_NOT_SHARED = ("graph.repeat", "graph.yield", "return", "func", "graph.aten")


@dataclass(frozen=True)
class Canonicalize(Pass):
    """Remove what does nothing, join what is the same, and move rearrangements behind arithmetic.

    Needs: any module at the graph level.

    Does: drops ``* 1``, ``+ 0``, casts and expansions to the same type and operations nobody uses; merges equal
    operations; shortens chains of reshape, permute, expand and slice; moves permutations and reshapes of rows
    behind elementwise operations, norms and linears, so that these see [batch, tokens, features]::

        func() {name = "forward"} (%x: tensor<2x3x8xf32>) {
          %flat = graph.reshape(%x) {shape = [6, 8]} : tensor<6x8xf32>
          %scaled = graph.mul(%flat) {scalar = 1.0} : tensor<6x8xf32>
          %act = graph.silu(%scaled) : tensor<6x8xf32>
          %y = graph.reshape(%act) {shape = [2, 3, 8]} : tensor<2x3x8xf32>
          return(%y)
        }

    becomes ::

        func() {name = "forward"} (%x: tensor<2x3x8xf32>) {
          %0 = graph.silu(%x) : tensor<2x3x8xf32>
          return(%0)
        }

    Holds after: no chain of rearrangements gives back its own source.
    """

    name: ClassVar[str] = "canonicalize"

    def run(self, module: Module, context: PassContext) -> None:
        """Repeat the rules until none applies."""
        for block in list(blocks(module)):
            for _ in range(8):
                editor = Editor(block)
                drop_unused(editor)
                rules = _Rules(editor)
                for op in editor.ops():
                    rules.apply(op)
                drop_unused(editor)
                editor.commit()
                if not rules.changed:
                    break


class _Rules:
    """One sweep over a block."""

    def __init__(self, editor: Editor):
        self.editor = editor
        self.layouts = Layouts()
        self.changed = False
        self._seen: dict[tuple[object, ...], Operation] = {}

    def apply(self, op: Operation) -> None:
        """Try every rule on one operation."""
        rules: tuple[Callable[[Operation], bool], ...] = (
            self._does_nothing,
            self._repeats,
            self._narrow_operands,
            self._sink,
            self._shorten,
        )
        for rule in rules:
            if rule(op):
                self.changed = True
                return

    def _does_nothing(self, op: Operation) -> bool:
        name = op.name.removeprefix("graph.")
        if len(op.operands) != 1 or len(op.results) != 1 or op.operands[0].type != op.results[0].type:
            return False
        number = op.attributes.get("scalar")
        idle = name in ("cast", "expand", "reshape", "identity")
        idle |= name in ("mul", "div") and number == 1 and not (name == "div" and op.attributes.get("reversed"))
        idle |= name in ("add", "sub") and number == 0 and not (name == "sub" and op.attributes.get("reversed"))
        if not idle:
            return False
        self.editor.replace(op.result, op.operands[0])
        return True

    def _repeats(self, op: Operation) -> bool:
        if op.regions or op.name in _NOT_SHARED or len(op.results) != 1:
            return False
        attributes = tuple(sorted((k, repr(v)) for k, v in op.attributes.items()))
        key = (op.name, tuple(op.operands), attributes, op.result.type)
        first = self._seen.setdefault(key, op)
        if first is op:
            return False
        self.editor.replace(op.result, first.result)
        return True

    def _narrow_operands(self, op: Operation) -> bool:
        """An elementwise operand that is only broadcast to the result's shape is broadcast by the operation itself."""
        if len(op.operands) != 2 or op.name.removeprefix("graph.") not in BINARY:
            return False
        for i, operand in enumerate(op.operands):
            source = self._unbroadcast(operand)
            if source is operand or _broadcast(shape_of(source), shape_of(op.operands[1 - i])) != shape_of(op.result):
                continue
            operands = list(op.operands)
            operands[i] = source
            self.editor.set_operands(op, operands)
            return True
        return False

    def _unbroadcast(self, value: Value) -> Value:
        while True:
            op = made_by(value, "expand", "reshape")
            if op is None:
                return value
            source = op.operands[0]
            inner, outer = shape_of(source), shape_of(value)
            added = len(outer) - len(inner)
            if op.name == "graph.reshape":
                # Only of weights: an activation keeps its batch dimension, also where that is 1.
                origin = self.layouts.of(source)[0].op
                if added <= 0 or outer != (1,) * added + inner or origin is None or origin.name != "graph.weight":
                    return value
            value = source

    def _sink(self, op: Operation) -> bool:
        """Rearranged rows: the operation on the rows as they were, then the rearrangement."""
        name = op.name.removeprefix("graph.")
        if op.name in _ROW_OPS:
            return self._sink_rows(op, 0)
        if name in UNARY or name == "cast" or (name in BINARY and "scalar" in op.attributes):
            return self._sink_rows(op, 0)
        if name in _REDUCTIONS:
            return tuple(op.attributes["dims"]) == (len(shape_of(op.result)) - 1,) and self._sink_rows(op, 0)
        return name in BINARY and self._sink_pair(op)

    def _sink_pair(self, op: Operation) -> bool:
        """Both operands rearranged alike, or one of them and a vector of features."""
        (a, la), (b, lb) = (self.layouts.of(v) for v in op.operands)
        if a is op.operands[0] and b is op.operands[1]:
            return False
        rows = leading(la, shape_of(a))
        if rows is not None and rows == leading(lb, shape_of(b)) and shape_of(a)[:-1] == shape_of(b)[:-1]:
            return self._rebuild(op, [a, b], rows, shape_of(a)[:-1])
        for i, other in ((0, op.operands[1]), (1, op.operands[0])):
            if len(shape_of(other)) == 1 and shape_of(op.result)[-1] == shape_of(op.operands[i])[-1]:
                return self._sink_rows(op, i)
        return False

    def _sink_rows(self, op: Operation, i: int) -> bool:
        source, layout = self.layouts.of(op.operands[i])
        if source is op.operands[i]:
            return False
        rows = leading(layout, shape_of(source))
        if rows is None:
            return False
        operands = list(op.operands)
        operands[i] = source
        return self._rebuild(op, operands, rows, shape_of(source)[:-1])

    def _rebuild(self, op: Operation, operands: list[Value], rows: Layout, lead: tuple[int, ...]) -> bool:
        """The operation on the sources, whose rows are ``lead``, then the layout of its rows."""
        name, features = op.name.removeprefix("graph."), shape_of(op.result)[-1]
        attributes = dict(op.attributes)
        if name in _REDUCTIONS:
            attributes["dims"] = (len(lead),)
        value = self.editor.insert(op, name, operands, (*lead, features), dtype_of(op.result), **attributes)
        moved = emit(self.editor, op, value, with_last(rows, features))
        assert moved is not None
        self.editor.replace(op.result, moved)
        return True

    def _shorten(self, op: Operation) -> bool:
        """A chain of layout operations in its shortest form."""
        if op.name not in LAYOUT_OPS:
            return False
        source, layout = self.layouts.of(op.result)
        if source is op.result:
            return False
        length, current = 0, op.result
        while current is not source:
            assert current.op is not None
            length, current = length + 1, current.op.operands[0]
        steps = plan(shape_of(source), layout)
        if steps is None or len(steps) >= length:
            return False
        shorter = emit(self.editor, op, source, layout)
        assert shorter is not None
        self.editor.replace(op.result, shorter)
        return True


def _broadcast(a: tuple[int, ...], b: tuple[int, ...]) -> tuple[int, ...]:
    rank = max(len(a), len(b))
    pairs = zip((1,) * (rank - len(a)) + a, (1,) * (rank - len(b)) + b, strict=True)
    return tuple(max(m, n) for m, n in pairs)
