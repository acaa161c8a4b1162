"""``gemm.all_gather``: GEMM by gathering all of a row's X and a column's W in every PE, then one local product.

C[m, n] = X[m, k] W[k, n] on W x H PEs. Each PE gets the X tiles of its row and then the W
tiles of its column, one PE's after another as multicasts
(:meth:`meshc.kernels.multicast.MovingRoot.gather`), and multiplies when it has them all.
Every word comes over the one RAMP of the PE, so the axes take turns.

Critical path: W, then H broadcasts, each root waiting for the tile of the one before, one
hop away; then all products. Memory: W X tiles, H + 1 W tiles, the accumulator. Colors: 1
on either axis.
"""

from __future__ import annotations

from meshc.dialects.shard import shard_of
from meshc.ir.core import Operation
from meshc.kernels.estimate import Estimate, Scaling, Site
from meshc.kernels.inner_walk import Cut
from meshc.kernels.kernel import Kernel
from meshc.kernels.linear import (
    TileProduct,
    ends_cycles,
    finish_parts,
    loop_orders,
    part_layouts,
    placed_parts,
    start_accumulator,
)
from meshc.kernels.lowering import Lowering
from meshc.kernels.multicast import MovingRoot
from meshrt.program.cost import elements_per_word, launch_cycles
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
    for axis, parts, tiles, size in (("x", width, gathered_x, slot), ("y", height, gathered_w, depth * columns)):
        if parts > 1:
            MovingRoot.over(builder, axis).gather(tiles, size)
    accumulator = start_accumulator(op, lowering, rows, columns)
    with builder.loop("s", width) as s:
        a = gathered_x.at(s * slot, rows, inner)
        b = gathered_w.at(s * (inner * columns), inner, columns)
        builder.emit("gemm", accumulator, a, b, vector=TileProduct.of(op).vector)
    finish_parts(op, lowering, accumulator, rows, columns)


def whole_words(elements: int, dtype: str) -> int:
    """So many elements or one more, to end with a full fabric word."""
    unit = elements_per_word(dtype)
    return -(-elements // unit) * unit


def block_rows(total: int, height: int, columns: int, dtype: str) -> int:
    """Positions of k in each row of PEs, such that a tile of W ends with a full fabric word."""
    depth = Cut(total, height).size
    return depth if depth * columns % elements_per_word(dtype) == 0 else whole_words(depth, dtype)


def estimate(op: Operation, site: Site) -> Estimate:
    """The prediction: the roots of a row, then those of a column, then the products follow one another."""
    tiles = TileProduct.of(op)
    width, height = site.width, site.height
    depth = block_rows(width * tiles.inner, height, tiles.columns, site.operand)
    x_tile, w_tile = tiles.rows * tiles.inner, depth * tiles.columns
    slot = whole_words(x_tile, site.operand)
    now = site.move(x_tile) + site.move(w_tile) + (site.move(slot - x_tile) if slot > x_tile else 0)
    gathers = [(parts, site.words(size)) for parts, size in ((width, slot), (height, w_tile)) if parts > 1]
    for parts, words in gathers:
        # From the end of one root's tile to the end of the next one's; the first has not to turn, the last is far.
        sent = launch_cycles(site.target, False) + words + site.flight(1)
        now += 2 * site.branch + sent + (parts - 1) * (2 * site.branch + site.turn + sent)
        now += (parts - 2) * site.target.hop_cycles + site.branch + site.turn
    now += ends_cycles(op, site)
    now += site.issue + width * (site.round + tiles.cycles(site))
    memory = site.bytes(slot * width + w_tile * (height + 1), tiles.rows * tiles.columns)
    far = sum(2 * (parts - 1) for parts, _ in gathers)
    return Estimate(now, memory, len(gathers), far, sum(parts for parts, _ in gathers))


KERNEL = Kernel(
    "gemm.all_gather",
    "tile.gemm",
    "row and column all-gather, then one product",
    emit,
    rank=3,
    estimate=estimate,
    scaling=Scaling("N X + (N + 1) W + C", "O(N)", "N - 1", "2N", "WaferLLM, OSDI'25, section 5"),
    schedules=loop_orders,
)
