"""Affine layouts against torch: chains of layout operations, their normal form and the operations that rebuild it."""

from __future__ import annotations

import math

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from meshc.ir.core import Block, Operation, TensorType, Value
from meshc.passes.matching.editor import Editor
from meshc.passes.matching.evaluate import evaluate_chain
from meshc.passes.matching.layout import Layouts, emit


def extend(data: st.DataObject, block: Block, value: Value) -> Value:
    """One more layout operation."""
    shape = value.type.shape
    kind = data.draw(st.sampled_from(["reshape", "permute", "expand", "slice"]))
    if kind == "permute":
        dims = tuple(data.draw(st.permutations(range(len(shape)))))
        new, attributes = tuple(shape[d] for d in dims), {"dims": dims}
    elif kind == "reshape":
        new = factors(data, math.prod(shape))
        attributes = {"shape": new}
    elif kind == "expand":
        new = tuple(data.draw(st.integers(1, 3)) if n == 1 else n for n in shape)
        attributes = {"shape": new}
    else:
        dim = data.draw(st.integers(0, len(shape) - 1))
        start = data.draw(st.integers(0, shape[dim] - 1))
        stop = data.draw(st.integers(start + 1, shape[dim]))
        step = data.draw(st.integers(1, 2))
        new = (*shape[:dim], len(range(start, stop, step)), *shape[dim + 1 :])
        attributes = {"dim": dim, "start": start, "stop": stop, "step": step}
    op = Operation(f"graph.{kind}", [value], [TensorType(new, "f32")], attributes)
    return block.append(op).result


def factors(data: st.DataObject, count: int) -> tuple[int, ...]:
    found = []
    while count > 1:
        divisor = data.draw(st.sampled_from([d for d in range(2, count + 1) if count % d == 0]))
        found.append(divisor)
        count //= divisor
    return tuple(found) or (1,)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_a_layout_says_where_every_element_comes_from(data):
    shape = tuple(data.draw(st.lists(st.integers(1, 4), min_size=1, max_size=4)))
    block = Block([TensorType(shape, "f32")])
    value = block.args[0]
    for _ in range(data.draw(st.integers(1, 6))):
        value = extend(data, block, value)
    numbers = torch.arange(math.prod(shape), dtype=torch.float64).reshape(shape)
    wanted = evaluate_chain(block.ops, {block.args[0]: numbers}, value)
    source, layout = Layouts().of(value)
    known = numbers
    if source is not block.args[0]:
        # A rearrangement that no affine layout describes ends the chain.
        known = evaluate_chain(block.ops, {block.args[0]: numbers}, source)
    atoms = [atom for axis in layout.axes for atom in axis]
    index = torch.full((), layout.offset)
    for extent, stride in atoms:
        index = index[..., None] + torch.arange(extent) * stride
    assert layout.shape == value.type.shape
    assert torch.equal(known.reshape(-1)[index.reshape(-1)].reshape(layout.shape), wanted)
    rebuilt(block, source, known, value, wanted)


def rebuilt(block: Block, source: Value, known: torch.Tensor, value: Value, wanted: torch.Tensor) -> None:
    """What emit makes of a layout computes the same; a layout of a part it declines."""
    editor = Editor(block)
    anchor = block.append(Operation("return", [value]))
    _, layout = Layouts().of(value)
    made = emit(editor, anchor, source, layout)
    if made is None:
        return
    before = set(block.ops)
    editor.commit()
    added = [op for op in block.ops if op not in before]
    assert torch.equal(evaluate_chain(added, {source: known}, made), wanted)
