"""``gemm.all_gather``: GEMM by gathering all of a row's X and a column's W in every PE, then one local product.

C[m, n] = X[m, k] W[k, n] on W x H PEs. Each PE gets the X tiles of its row and the W tiles
of its column (:class:`meshc.kernels.multicast.Gather`), both axes at once, and then
multiplies. No step waits for another; the price is memory that grows with the grid.
"""

from __future__ import annotations

from meshc.dialects.shard import shard_of
from meshc.ir.core import Operation
from meshc.kernels.inner_walk import Cut
from meshc.kernels.kernel import Kernel
from meshc.kernels.linear import finish_parts, part_layouts, placed_parts, start_accumulator
from meshc.kernels.lowering import Lowering
from meshc.kernels.multicast import Gather
from meshrt.program.cost import elements_per_word
from meshrt.program.expr import Expr, Name, select


def emit(op: Operation, lowering: Lowering) -> None:
    """Append the kernel's buffers and code."""
    builder = lowering.builder
    width, height = builder.width, builder.height
    x = op.operands[0]
    rows, inner = shard_of(x).tile
    columns = sum(part.tile for part in part_layouts(op))
    depth = block_rows(width * inner, height, columns, lowering.operand)

    def global_k(e: Expr) -> Expr:
        position = Name("y") * depth + e
        index = shard_of(x).x.index(position // inner, position % inner)
        return index if depth * height == width * inner else select(position.lt(width * inner), index, -1)

    weights = placed_parts(op, lowering, global_k, depth)
    # A tile of an odd number of 16-bit elements is followed by one that fills its last word.
    tile = rows * inner
    slot = whole_words(tile, lowering.operand)
    gathered_x = lowering.temporary("x_row", lowering.operand, width, slot)
    gathered_w = lowering.temporary("w_column", lowering.operand, height, depth * columns)
    builder.emit("copy", gathered_x.at(Name("x") * slot, rows, inner), lowering.buffer_of(x))
    if slot > tile:
        builder.emit("fill", gathered_x.at(Name("x") * slot + tile, slot - tile), value=0.0)
    builder.emit("copy", gathered_w.at(Name("y") * (depth * columns), depth, columns), weights.view())
    gathers = []
    for axis, parts, tiles, size in (("x", width, gathered_x, slot), ("y", height, gathered_w, depth * columns)):
        if parts > 1:
            gather = Gather.over(builder, axis)
            gather.launch(tiles, size)
            gathers.append(gather)
    accumulator = start_accumulator(op, lowering, rows, columns)
    for gather in gathers:
        gather.settle()
    with builder.loop("s", width) as s:
        a = gathered_x.at(s * slot, rows, inner)
        b = gathered_w.at(s * (inner * columns), inner, columns)
        builder.emit("gemm", accumulator, a, b, vector="n" if columns >= rows else "m")
    finish_parts(op, lowering, accumulator, rows, columns)


def whole_words(elements: int, dtype: str) -> int:
    """So many elements or one more, to end with a full fabric word."""
    unit = elements_per_word(dtype)
    return -(-elements // unit) * unit


def block_rows(total: int, height: int, columns: int, dtype: str) -> int:
    """Positions of k in each row of PEs, such that a tile of W ends with a full fabric word."""
    depth = Cut(total, height).size
    return depth if depth * columns % elements_per_word(dtype) == 0 else whole_words(depth, dtype)


KERNEL = Kernel("gemm.all_gather", "tile.gemm", "row and column all-gather, then one product", emit, rank=3)
