"""What all GEMM kernels share: several weights behind one input, biases, and handing out the results.

A ``tile.gemm`` may carry several linear operations on one input (Q, K and V; gate and
up). Their weight tiles lie side by side, so that the input is aligned and shifted once.
"""

from __future__ import annotations

from collections.abc import Callable

from meshc.dialects.layout import Layout
from meshc.dialects.tile import ShardType
from meshc.ir.core import Operation, Value
from meshc.kernels.builder import MeshBuffer
from meshc.kernels.lowering import Lowering, Section, Weight, sliced
from meshrt.program.expr import Expr, ExprLike, Name


def part_layouts(op: Operation) -> list[Layout]:
    """The feature layout of each part's result."""
    layouts = []
    for result in op.results:
        assert isinstance(result.type, ShardType)
        layouts.append(result.type.x)
    return layouts


def placed_parts(
    op: Operation,
    lowering: Lowering,
    k: Callable[[Expr], Expr],
    slots: int = 1,
    slot_k: Callable[[Expr, Expr], Expr] | None = None,
) -> Weight:
    """All parts' weight tiles side by side: [inner, columns], or [slots, inner, columns] with ``slot_k(slot, i)``."""
    x = op.operands[0]
    assert isinstance(x.type, ShardType)
    inner = x.type.tile[1]
    layouts = part_layouts(op)
    columns = sum(layout.tile for layout in layouts)
    sections, start = [], 0
    for part, layout in zip(op.attributes["parts"], layouts, strict=True):
        weight = op.operands[part["weight"]]

        def n(i: Expr, layout: Layout = layout) -> Expr:
            return layout.index(Name("x"), i)

        if slot_k is None:
            indices = lowering.matrix(weight, part["order"], part["start"], part["stop"], k, n, layout)
        else:
            indices = _slotted(lowering, weight, part, slot_k, n, layout)
        sections.append(Section(weight, indices, start, layout.tile))
        start += layout.tile
    shape = (inner, columns) if slot_k is None else (slots, inner, columns)
    names = ("i", "j") if slot_k is None else ("t", "i", "j")
    return lowering.place("w_" + _hint(op), lowering.operand, shape, sections, names)


def _slotted(
    lowering: Lowering,
    weight: Value,
    part: dict,
    slot_k: Callable[[Expr, Expr], Expr],
    n: Callable[[Expr], Expr],
    layout: Layout,
) -> Callable[[list[Expr]], list[ExprLike]]:
    def indices(e: list[Expr]) -> list[ExprLike]:
        slot, row, column = e
        inside = lowering.matrix(
            weight, part["order"], part["start"], part["stop"], lambda i: slot_k(slot, i), n, layout
        )
        return inside([row, column])

    return indices


def _hint(op: Operation) -> str:
    names = [r.name for r in op.results if r.name and not r.name[0].isdigit()]
    return "_".join(names) if names and sum(map(len, names)) < 24 else "linear"


def start_accumulator(op: Operation, lowering: Lowering, rows: int, columns: int) -> MeshBuffer:
    """An accumulator [rows, columns] that holds the biases, or zero."""
    accumulator = lowering.temporary("acc", lowering.other, rows, columns)
    builder = lowering.builder
    sections, start, biased = [], 0, False
    for part, layout in zip(op.attributes["parts"], part_layouts(op), strict=True):
        if "bias" in part:
            biased = True
            bias = op.operands[part["bias"]]
            total = bias.type.shape[0]  # type: ignore[attr-defined]

            def indices(e: list[Expr], layout: Layout = layout, part: dict = part, total: int = total):
                return [sliced(layout.index(Name("x"), e[0]), layout, part["start"], part["stop"], total)]

            sections.append(Section(bias, indices, start, layout.tile))
        start += layout.tile
    if biased:
        bias_row = lowering.place("bias", lowering.operand, (columns,), sections)
        builder.emit("copy", accumulator, bias_row.view((rows, 0), (columns, 1)))
    else:
        builder.emit("fill", accumulator, value=0.0)
    return accumulator


def finish_parts(op: Operation, lowering: Lowering, accumulator: MeshBuffer, rows: int, columns: int) -> None:
    """Hand each part of the accumulator to its result, rounded to the result's dtype."""
    builder = lowering.builder
    if len(op.results) == 1 and op.results[0].type.dtype == accumulator.dtype:  # type: ignore[attr-defined]
        lowering.values[op.results[0]] = accumulator
        return
    start = 0
    for result, layout in zip(op.results, part_layouts(op), strict=True):
        buffer = lowering.result_buffer(result, "linear")
        builder.emit("copy", buffer, accumulator.at(start, (rows, columns), (layout.tile, 1)))
        start += layout.tile
