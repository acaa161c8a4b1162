"""recognise-positions: tables that are read at every token's position become position embeddings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from meshc.ir.core import Module, Operation, Value
from meshc.passes.base import Pass, PassContext
from meshc.passes.matching.constants import add_constant, constant, positions, weight_name
from meshc.passes.matching.editor import Editor, blocks, made_by, shape_of
from meshc.passes.matching.layout import Layout, Layouts


@dataclass(frozen=True)
class RecognisePositions(Pass):
    """Make positions a value of the graph again.

    Needs: constants computed by the importer as ``const.*`` weights.

    Does: an embedding whose indices are the constant 0, 1, 2, .. (offset by a number that stays the same) reads its
    table at ``graph.positions``; the first rows of a table, sliced and added to activations, are such an embedding
    too, and so is a constant that has a row for every token (sinusoidal positions)::

        func() {name = "forward"} (%ids: tensor<1x4xi64>) {
          %words = graph.weight() {name = "wte"} : tensor<16x8xf32>
          %table = graph.weight() {name = "wpe"} : tensor<32x8xf32>
          %places = graph.weight() {name = "const.positions"} : tensor<1x4xi64>
          %w = graph.embedding(%words, %ids) : tensor<1x4x8xf32>
          %p = graph.embedding(%table, %places) : tensor<1x4x8xf32>
          %y = graph.add(%w, %p) : tensor<1x4x8xf32>
          return(%y)
        }

    becomes ::

        func() {name = "forward"} (%ids: tensor<1x4xi64>) {
          %0 = graph.positions() : tensor<4xi64>
          %words = graph.weight() {name = "wte"} : tensor<16x8xf32>
          %table = graph.weight() {name = "wpe"} : tensor<32x8xf32>
          %w = graph.embedding(%words, %ids) : tensor<1x4x8xf32>
          %1 = graph.embedding(%table, %0) : tensor<4x8xf32>
          %2 = graph.expand(%1) {shape = [1, 4, 8]} : tensor<1x4x8xf32>
          %y = graph.add(%w, %2) : tensor<1x4x8xf32>
          return(%y)
        }

    Holds after: positions are never a constant that something looks up with.
    """

    name: ClassVar[str] = "recognise-positions"

    def run(self, module: Module, context: PassContext) -> None:
        """Look at every embedding and every sum."""
        for block in blocks(module):
            editor = Editor(block)
            tokens = _tokens(block.args)
            layouts = Layouts()
            for op in editor.ops():
                if op.name == "graph.embedding":
                    _lookup(editor, op, context)
                elif op.name == "graph.add" and len(op.operands) == 2 and tokens is not None:
                    _added(editor, op, tokens, layouts, context)
            editor.commit()


def _tokens(arguments: list[Value]) -> int | None:
    """The sequence length: the last extent of the token ids."""
    for argument in arguments:
        shape = shape_of(argument)
        if shape:
            return shape[-1]
    return None


def _lookup(editor: Editor, op: Operation, context: PassContext) -> None:
    table, indices = op.operands
    held = constant(indices, context)
    if held is None or held.dim() == 0:
        return
    count = held.shape[-1]
    rows = held.reshape(-1, count)
    if not torch.equal(rows, rows[:1].expand_as(rows)):
        return
    first = int(rows[0, 0])
    features = shape_of(table)[-1]
    if torch.equal(rows[0] - first, torch.arange(count, dtype=rows.dtype)):
        if first:
            moved = _slice_of_table(editor, table, first, count, context)
            if moved is None:
                return
            table = moved
        found = editor.insert(op, "embedding", [table, positions(editor, count)], (count, features))
    elif torch.equal(rows[0], rows[0, :1].expand(count)):
        row = _slice_of_table(editor, table, first, 1, context)
        if row is None:
            return
        found = editor.insert(op, "reshape", [row], (features,), shape=(features,))
    else:
        return
    wide = shape_of(op.result)
    if shape_of(found) != wide:
        found = editor.insert(op, "expand", [found], wide, shape=wide)
    editor.replace(op.result, found)


def _slice_of_table(editor: Editor, table: Value, first: int, count: int, context: PassContext) -> Value | None:
    """Rows of a table as a table of its own."""
    name = weight_name(table)
    held = context.weights.get(name) if name is not None else None
    if held is None:
        return None
    stem = f"{name}.rows_{first}_{first + count}".removeprefix("const.")
    return add_constant(editor, context, stem, held[first : first + count].float())


def _added(editor: Editor, op: Operation, tokens: int, layouts: Layouts, context: PassContext) -> None:
    """activation + rows of a table, one for each token."""
    for i, operand in enumerate(op.operands):
        shape = shape_of(operand)
        if len(shape) < 2 or shape[-2] != tokens or made_by(operand, "embedding") or len(shape_of(op.result)) != 3:
            continue
        if tokens == 1 or any(n != 1 for n in shape[:-2]):
            continue
        found = _rows_of_weight(editor, op, operand, layouts, context)
        if found is not None:
            operands = list(op.operands)
            operands[i] = found
            editor.set_operands(op, operands)


def _rows_of_weight(
    editor: Editor, op: Operation, operand: Value, layouts: Layouts, context: PassContext
) -> Value | None:
    source, layout = layouts.of(operand)
    name = weight_name(source)
    if name is None:
        return None
    count, features = shape_of(operand)[-2:]
    wanted = Layout.whole((count, features))
    table: Value | None = source if len(shape_of(source)) == 2 and shape_of(source)[-1] == features else None
    if layout.offset or layout.axes[-2:] != wanted.axes or table is None:
        held = context.weights.get(name)
        if held is None or held.device.type == "meta" or any(layout.axes[:-2]):
            return None
        strides = [axis[0][1] if axis else 0 for axis in layout.axes[-2:]]
        if any(len(axis) > 1 for axis in layout.axes[-2:]):
            return None
        rows = torch.as_strided(held.contiguous(), (count, features), strides, layout.offset).float()
        table = add_constant(editor, context, f"{name}.rows".removeprefix("const."), rows)
    return editor.insert(op, "embedding", [table, positions(editor, count)], (count, features))
