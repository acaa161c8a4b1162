"""``gemm.summa``: GEMM on any grid by row and column broadcasts (SUMMA, van de Geijn and Watts 1997).

C[m, n] = X[m, k] W[k, n] on W x H PEs, in one step per column: the X tile of column s is
broadcast along its row, and the block of W with the same k along its column. Block s of W
lies in row s mod H, so a row keeps ceil(W / H) blocks and no dimension needs a common
multiple. Broadcasts are software chains from a moving root, so routes stay static.

Critical path: W steps of two chain broadcasts and a tile product. Memory: an X tile, a W
tile, the accumulator. Colors: 4 on x, 4 on y.
"""

from __future__ import annotations

from meshc.dialects.layout import ceil_div
from meshc.dialects.shard import shard_of
from meshc.ir.core import Operation
from meshc.kernels.chain import chain_broadcast, whole_axis
from meshc.kernels.kernel import Kernel
from meshc.kernels.linear import finish_parts, part_layouts, placed_parts, start_accumulator
from meshc.kernels.lowering import Lowering
from meshrt.program.expr import Expr, Name, select


def emit(op: Operation, lowering: Lowering) -> None:
    """Append the kernel's buffers and code."""
    builder = lowering.builder
    width, height = builder.width, builder.height
    x = op.operands[0]
    rows, inner = shard_of(x).tile
    layout = shard_of(x).x
    columns = sum(part.tile for part in part_layouts(op))
    slots = ceil_div(width, height)

    def global_k(slot: Expr, i: Expr) -> Expr:
        column = slot * height + Name("y")
        index = layout.index(column, i)
        # A slot past the last column holds nothing.
        return index if slots * height == width else select(column.lt(width), index, -1)

    weights = placed_parts(op, lowering, global_k, slots, inner)
    x_tile = lowering.temporary("x_tile", lowering.operand, rows, inner)
    w_tile = lowering.temporary("w_tile", lowering.operand, inner, columns)
    accumulator = start_accumulator(op, lowering, rows, columns)
    along_x, along_y = whole_axis(builder, "x"), whole_axis(builder, "y")
    with builder.loop("s", width) as step:
        with builder.when(Name("x").eq(step)):
            builder.emit("copy", x_tile, lowering.buffer_of(x))
        chain_broadcast(builder, along_x, step, x_tile)
        root = step % height
        with builder.when(Name("y").eq(root)):
            builder.emit("copy", w_tile, weights.view(inner, columns, offset=step // height * (inner * columns)))
        chain_broadcast(builder, along_y, root, w_tile)
        builder.emit("gemm", accumulator, x_tile, w_tile, vector="n" if columns >= rows else "m")
    finish_parts(op, lowering, accumulator, rows, columns)


#: The default where the grid is not square.
KERNEL = Kernel("gemm.summa", "tile.gemm", "row and column broadcasts (SUMMA)", emit, rank=1)
