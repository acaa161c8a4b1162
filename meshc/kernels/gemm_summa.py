"""``gemm.summa``: GEMM on any grid by row and column broadcasts (SUMMA, van de Geijn and Watts 1997).

C[m, n] = X[m, k] W[k, n] on W x H PEs: all PEs go through k together. X tile i is broadcast
along its row from column i, W tile j along its column from row j, each as soon as the one
before is in use (:class:`meshc.kernels.multicast.MovingRoot`), into a second buffer while
the tile product runs. Where the grid is not square the tiles of X and W end at different
places, and the products are the stretches between (:mod:`meshc.kernels.inner_walk`).

Critical path on P x P PEs: P steps of the longer of a tile product and two broadcasts, the
next root one hop away; 2 (P - 1) hops to the last PE. Memory: two X tiles, three W tiles,
the accumulator. Colors: 1 on either axis, three configurations each.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from meshc.dialects.shard import shard_of
from meshc.ir.core import Operation
from meshc.kernels.builder import MeshBuffer, MeshBuilder
from meshc.kernels.estimate import Estimate, Scaling, Site
from meshc.kernels.inner_walk import Cut, Operand, Start, emit_walk, pace_walk
from meshc.kernels.kernel import Kernel
from meshc.kernels.linear import TileProduct, ends_cycles, finish_parts, part_layouts, placed_parts, start_accumulator
from meshc.kernels.lowering import Lowering
from meshc.kernels.multicast import MovingRoot
from meshrt.program.expr import Expr, Int, Name, select
from meshrt.program.model import View


@dataclass(frozen=True, slots=True)
class BroadcastFeed:
    """Brings the next tile from its owner in this PE's row or column."""

    builder: MeshBuilder
    roots: MovingRoot | None
    own: MeshBuffer | View
    tile: MeshBuffer
    second: MeshBuffer

    def launch(self, tile: Expr) -> None:
        """Begin the broadcast of the tile from the PE of its number."""
        if self.roots is not None:
            self.roots.launch(tile, self.own, self.second, f"{self.roots.axis}_tile")

    def settle(self) -> None:
        """Wait for its end, and take the tile that came."""
        if self.roots is not None:
            self.builder.emit("wait", handle=f"{self.roots.axis}_tile")
            self.builder.emit("rotate", self.tile, self.second)

    def restore(self) -> None:
        """Leave the routers as they were."""
        if self.roots is not None:
            self.roots.restore()


def emit(op: Operation, lowering: Lowering) -> None:
    """Append the kernel's buffers and code."""
    builder = lowering.builder
    width, height = builder.width, builder.height
    x = op.operands[0]
    rows, inner = shard_of(x).tile
    columns = sum(part.tile for part in part_layouts(op))
    x_cut, w_cut = Cut(width * inner, width), Cut(width * inner, height)

    def global_k(e: Expr) -> Expr:
        position = w_cut.boundary(Name("y")) + e
        index = shard_of(x).x.index(position // inner, position % inner)
        return index if w_cut.even else select(position.lt(w_cut.boundary(Name("y") + 1)), index, -1)

    weights = placed_parts(op, lowering, global_k, w_cut.size)
    accumulator = start_accumulator(op, lowering, rows, columns)
    x_own = lowering.buffer_of(x)
    if x_own.dtype != lowering.operand:
        x_own = lowering.temporary("x_own", lowering.operand, rows, inner)
        builder.emit("copy", x_own, lowering.buffer_of(x))
    feeds = []
    for axis, parts, own, shape in (("x", width, x_own, (rows, inner)), ("y", height, weights.view(), ())):
        shape = shape or (w_cut.size, columns)
        tiles = [lowering.temporary(f"{axis}_tile", lowering.operand, *shape) for _ in range(2 if parts > 1 else 1)]
        if parts == 1:
            builder.emit("copy", tiles[0], own)
        roots = MovingRoot.over(builder, axis) if parts > 1 else None
        feeds.append(BroadcastFeed(builder, roots, own, tiles[0], tiles[-1]))
    for feed in feeds:
        feed.launch(Int(0))
    for feed in feeds:
        feed.settle()
    x_feed, w_feed = feeds
    vector = "n" if columns >= rows else "m"

    def product(low: Expr, high: Expr) -> None:
        depth = high - low
        a = x_feed.tile.at(x_cut.within(low), (rows, inner), (depth, 1))
        b = w_feed.tile.at(w_cut.within(low) * columns, depth, columns)
        builder.emit("gemm", accumulator, a, b, vector=vector)

    if width == height:
        with builder.loop("s", width) as s:
            more = (s + 1).lt(width)
            with builder.when(more):
                for feed in feeds:
                    feed.launch(s + 1)
            builder.emit("gemm", accumulator, x_feed.tile, w_feed.tile, vector=vector)
            with builder.when(more):
                for feed in feeds:
                    feed.settle()
    else:
        emit_walk(builder, Int(0), Operand(x_cut, x_feed), Operand(w_cut, w_feed), product)
    for feed in feeds:
        feed.restore()
    finish_parts(op, lowering, accumulator, rows, columns)


@dataclass(slots=True)
class BroadcastPace:
    """The clock of a PE that is no root, beside roots that keep step with it."""

    site: Site
    tiles: TileProduct
    words: Mapping[str, int]
    now: int = 0
    ramp_free: int = 0
    arrivals: dict[str, int] = field(default_factory=dict)

    def spend(self, rounds: int = 0, branches: int = 0) -> None:
        """Rounds of the loop, and conditions."""
        self.now += rounds * self.site.round + branches * self.site.branch

    def launch(self, axis: str) -> None:
        """A broadcast begins: the next root turns its router and sends."""
        if axis not in self.words:
            return
        site = self.site
        self.now += site.branch + site.launch
        turn = 2 * site.branch + site.turn
        sent = max(self.now + turn, self.ramp_free) + self.words[axis]
        self.ramp_free = sent
        self.arrivals[axis] = sent + site.flight(1)

    def settle(self, axis: str) -> None:
        """The tile has come."""
        if axis in self.words:
            self.now = self.site.until(self.now, self.arrivals[axis]) + self.site.issue

    def product(self, depth: int) -> None:
        """A product of so many positions."""
        self.now += self.tiles.cycles(self.site, depth)


def estimate(op: Operation, site: Site) -> Estimate:
    """The prediction for a row's and a column's last PE, which is a root once on either axis."""
    tiles = TileProduct.of(op)
    width, height = site.width, site.height
    x_cut, w_cut = Cut(width * tiles.inner, width), Cut(width * tiles.inner, height)
    x_tile, w_tile = tiles.rows * tiles.inner, w_cut.size * tiles.columns
    sizes = {axis: size for axis, size, parts in (("x", x_tile, width), ("y", w_tile, height)) if parts > 1}
    words = {axis: site.words(size) for axis, size in sizes.items()}
    copies = {axis: site.move(size) for axis, size in sizes.items()}
    pace = BroadcastPace(site, tiles, words, now=ends_cycles(op, site))
    own = shard_of(op.operands[0]).dtype != site.operand
    pace.now += site.move(x_tile) if own else 0
    pace.now += sum(site.move(size) for axis, size in (("x", x_tile), ("y", w_tile)) if axis not in sizes)
    for axis in "xy":
        pace.launch(axis)
    for axis in "xy":
        pace.settle(axis)
    pace.now += site.issue
    if width == height:
        for s in range(width):
            more = s + 1 < width
            pace.spend(rounds=1, branches=2)
            for axis in "xy" if more else "":
                pace.launch(axis)
            pace.product(tiles.inner)
            for axis in "xy" if more else "":
                pace.settle(axis)
    else:
        pace_walk(Start(0, (0, 0), (0, 0)), x_cut, w_cut, pace)
    turns = 2 * site.branch + site.turn
    cycles = pace.now + sum(2 * turns + copies[axis] for axis in sizes) + turns * len(sizes)
    far = (width - 1) + (height - 1)
    cycles += far * site.target.hop_cycles
    memory = x_tile * (int(own) + (2 if width > 1 else 1)) + w_tile * (1 + (2 if height > 1 else 1))
    stages = max(width, height)
    return Estimate(
        cycles, site.bytes(memory, tiles.rows * tiles.columns), len(sizes), far + stages, stages if sizes else 0
    )


KERNEL = Kernel(
    "gemm.summa",
    "tile.gemm",
    "row and column broadcasts (SUMMA)",
    emit,
    rank=1,
    estimate=estimate,
    scaling=Scaling("2 X + 3 W + C", "O(N)", "N - 1", "N", "van de Geijn and Watts 1997"),
)
