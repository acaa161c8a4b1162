"""Where the heads that an attention reads come from, and their packed form."""

from __future__ import annotations

import torch

from meshc.ir.core import Operation, Value
from meshc.passes.base import PassContext
from meshc.passes.matching.constants import add_constant, weight_name
from meshc.passes.matching.editor import Editor, made_by, shape_of
from meshc.passes.matching.probe import HeadsView, heads_view, linear_expression


class HeadOperands:
    """Views of attention operands; equal expressions (one per layer) are run once."""

    def __init__(self, context: PassContext):
        self.context = context
        self._known: dict[tuple[object, ...], HeadsView | None] = {}

    def view(self, value: Value) -> tuple[Value, HeadsView] | None:
        """The [batch, tokens, features] value that heads are made of, and how."""
        expression = linear_expression(value, self.context)
        if expression is None:
            return None
        signature = expression.signature()
        if signature not in self._known:
            self._known[signature] = heads_view(expression)
        found = self._known[signature]
        return None if found is None else (expression.leaf, found)

    def shared_rows(self, view: HeadsView) -> torch.Tensor | None:
        """The features of each different head, [kv_heads, head_dim]; None where sharing has no regular groups."""
        heads = view.features.shape[0]
        different = 1 + sum(not torch.equal(view.features[h], view.features[h - 1]) for h in range(1, heads))
        if heads % different:
            return None
        rows = view.features[:: heads // different]
        repeated = rows.repeat_interleave(heads // different, dim=0)
        return rows if torch.equal(repeated, view.features) else None


def take_features(
    editor: Editor, anchor: Operation, leaf: Value, rows: torch.Tensor, part: str, context: PassContext
) -> Value | None:
    """[batch, tokens, features] with the features ``rows`` (flattened, in order) of what an attention reads.

    They are the leaf itself, a slice of it, or a linear with its weight reordered.
    """
    taken = _take(editor, anchor, leaf, rows, part, context)
    if taken is None or len(shape_of(taken)) == 3:
        return taken
    batch, _, tokens, _ = shape_of(anchor.result)
    shape = (batch, tokens, shape_of(taken)[-1])
    return editor.insert(anchor, "reshape", [taken], shape, shape=shape)


def _take(
    editor: Editor, anchor: Operation, leaf: Value, rows: torch.Tensor, part: str, context: PassContext
) -> Value | None:
    index = rows.reshape(-1)
    shape = shape_of(leaf)
    count, first = len(index), int(index[0])
    if torch.equal(index, torch.arange(first, first + count)):
        if count == shape[-1]:
            return leaf
        taken = (*shape[:-1], count)
        return editor.insert(anchor, "slice", [leaf], taken, dim=len(shape) - 1, start=first, stop=first + count)
    linear = made_by(leaf, "linear")
    if linear is None:
        return None
    gathered = _gather(editor, linear, index, part, context)
    if gathered is None:
        return None
    return editor.insert(
        anchor,
        "linear",
        [linear.operands[0], *gathered],
        (*shape[:-1], count),
        location=linear.location,
        weight=linear.attributes["weight"],
    )


def _gather(
    editor: Editor, linear: Operation, index: torch.Tensor, part: str, context: PassContext
) -> list[Value] | None:
    """Weight and bias of a linear with its outputs picked by index, as constants."""
    start = linear.attributes.get("rows", (0, 0))[0]
    gathered = []
    for i, operand in enumerate(linear.operands[1:]):
        name = weight_name(operand)
        held = context.weights.get(name) if name is not None else None
        if name is None or held is None:
            return None
        dim = 1 if i == 0 and linear.attributes["weight"] == "kn" else 0
        picked = torch.index_select(held, dim, (index + start).to(held.device))
        gathered.append(add_constant(editor, context, f"{name.removeprefix('const.')}.{part}", picked))
    return gathered


def apart(editor: Editor, anchor: Operation, packed: Value, own: int, heads: int) -> Value:
    """[batch, heads, tokens, size] of packed heads, each of the ``own`` heads repeated for its group."""
    batch, tokens, features = shape_of(packed)
    size = features // own
    value = packed
    steps: list[tuple[str, tuple[int, ...], tuple[int, ...] | None]] = [
        ("reshape", (batch, tokens, own, size), None),
        ("permute", (batch, own, tokens, size), (0, 2, 1, 3)),
    ]
    if own != heads:
        steps += [
            ("reshape", (batch, own, 1, tokens, size), None),
            ("expand", (batch, own, heads // own, tokens, size), None),
            ("reshape", (batch, heads, tokens, size), None),
        ]
    for name, shape, dims in steps:
        value = editor.move(anchor, name, value, shape, dims)
    return value
