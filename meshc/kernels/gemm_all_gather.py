"""``gemm.all_gather``: GEMM by gathering all of a row's X and a column's W in every PE, then one local product.

C[m, n] = X[m, k] W[k, n] on W x H PEs. Each PE gets the X tiles of its row and the W tiles
of its column (:class:`meshc.kernels.multicast.Gather`), both axes at once, and then
multiplies. No step waits for another; the price is memory that grows with the grid.
"""

from __future__ import annotations

from meshc.dialects.shard import shard_of
from meshc.ir.core import Operation
from meshc.kernels.estimate import Estimate, Scaling, Site
from meshc.kernels.inner_walk import Cut
from meshc.kernels.kernel import Kernel
from meshc.kernels.linear import TileProduct, ends_cycles, finish_parts, part_layouts, placed_parts, start_accumulator
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


def estimate(op: Operation, site: Site) -> Estimate:
    """The prediction: all words come over one RAMP, then the products follow one another."""
    tiles = TileProduct.of(op)
    width, height = site.width, site.height
    depth = block_rows(width * tiles.inner, height, tiles.columns, site.operand)
    x_tile, w_tile = tiles.rows * tiles.inner, depth * tiles.columns
    slot = whole_words(x_tile, site.operand)
    now = site.move(x_tile) + site.move(w_tile) + (site.move(slot - x_tile) if slot > x_tile else 0)
    arrives, gathers = now, [(parts, size) for parts, size in ((width, slot), (height, w_tile)) if parts > 1]
    for parts, size in gathers:
        # In either direction: two or three conditions, the send, the turn of the router, the receive.
        turns = int(parts > 2)
        now += 2 * ((2 + turns) * site.branch + 2 * site.launch + turns * site.turn)
        arrives = (
            max(arrives, now - site.launch) + (parts - 1) * site.words(size) + (parts - 2) * site.target.hop_cycles
        )
    now += ends_cycles(op, site)
    arrives += site.flight(1)
    for parts, _ in gathers:
        turns = int(parts > 2)
        now = site.until(now + site.branch, arrives) + site.waited
        now += 2 * site.waited + (3 + 2 * turns) * site.branch + 2 * turns * site.turn
    now += site.issue + width * (site.round + tiles.cycles(site))
    memory = site.bytes(slot * width + w_tile * (height + 1), tiles.rows * tiles.columns)
    far = max(width, height) - 1
    return Estimate(now, memory, 2 * len(gathers), far, far)


KERNEL = Kernel(
    "gemm.all_gather",
    "tile.gemm",
    "row and column all-gather, then one product",
    emit,
    rank=3,
    estimate=estimate,
    scaling=Scaling("N X + (N + 1) W + C", "O(N)", "N - 1", "1", "WaferLLM, OSDI'25, section 5"),
)
