"""``gemm.summa``: GEMM on any grid by row and column broadcasts (SUMMA, van de Geijn and Watts 1997).

C[m, n] = X[m, k] W[k, n] on W x H PEs: all PEs go through k together. X tile i is broadcast
along its row from column i, W tile j along its column from row j, each as soon as the one
before is in use (:class:`meshc.kernels.multicast.MovingRoot`), into a second buffer while
the tile product runs. Where the grid is not square the tiles of X and W end at different
places, and the products are the stretches between (:mod:`meshc.kernels.inner_walk`).

With ``overlap = false`` a tile comes when the one before is used up, into the same buffer.

Critical path on P x P PEs: P steps of the longer of a tile product and two broadcasts (of their
sum without overlap), the next root one hop away; 2 (P - 1) hops to the last PE. Memory: two X
tiles, three W tiles, the accumulator; one X tile and two W tiles without overlap. Colors: 1 on
either axis, three configurations each.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
from meshc.kernels.schedule import Schedule, schedule_of, vectors
from meshrt.program.expr import Expr, Int, Name, select
from meshrt.program.model import View


@dataclass(frozen=True, slots=True)
class BroadcastFeed:
    """Brings the next tile from its owner in this PE's row or column.

    ``second`` is where it comes in; where that is ``tile`` itself, only when the present one is used up.
    """

    builder: MeshBuilder
    roots: MovingRoot | None
    own: MeshBuffer | View
    tile: MeshBuffer
    second: MeshBuffer

    @property
    def overlaps(self) -> bool:
        """Whether a tile may come in while the one before is in use."""
        return self.tile != self.second

    def launch(self, tile: Expr) -> None:
        """Fetch the next tile while the present one is in use, where there is room for both."""
        if self.overlaps:
            self.begin(tile)

    def settle(self, tile: Expr) -> None:
        """Have the next tile in the place of the present one."""
        if not self.overlaps:
            self.begin(tile)
        self.end()

    def begin(self, tile: Expr) -> None:
        """Begin the broadcast of a tile from the PE of its number."""
        if self.roots is not None:
            self.roots.launch(tile, self.own, self.second, f"{self.roots.axis}_tile")

    def end(self) -> None:
        """Wait for the end of the broadcast, and take the tile that came."""
        if self.roots is not None:
            self.builder.emit("wait", handle=f"{self.roots.axis}_tile")
            if self.overlaps:
                self.builder.emit("rotate", self.tile, self.second)

    def restore(self) -> None:
        """Leave the routers as they were."""
        if self.roots is not None:
            self.roots.restore()


def schedules(op: Operation, width: int, height: int) -> Sequence[Schedule]:
    """Loop orders of the tile product, and whether tiles come while it runs: nothing comes on one PE."""
    orders = vectors(TileProduct.of(op).vector)
    if width == height == 1:
        return orders
    return [{**order, "overlap": overlap} for overlap in (True, False) for order in orders]


def overlaps(op: Operation) -> bool:
    """Whether tiles come in while the ones before are multiplied."""
    return schedule_of(op).get("overlap", True)


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
        buffers = 2 if parts > 1 and overlaps(op) else 1
        tiles = [lowering.temporary(f"{axis}_tile", lowering.operand, *shape) for _ in range(buffers)]
        if parts == 1:
            builder.emit("copy", tiles[0], own)
        roots = MovingRoot.over(builder, axis) if parts > 1 else None
        feeds.append(BroadcastFeed(builder, roots, own, tiles[0], tiles[-1]))
    for feed in feeds:
        feed.begin(Int(0))
    for feed in feeds:
        feed.end()
    x_feed, w_feed = feeds
    vector = TileProduct.of(op).vector

    def product(low: Expr, high: Expr) -> None:
        depth = high - low
        a = x_feed.tile.at(x_cut.within(low), (rows, inner), (depth, 1))
        b = w_feed.tile.at(w_cut.within(low) * columns, depth, columns)
        builder.emit("gemm", accumulator, a, b, vector=vector)

    if width == height:
        with builder.loop("s", width) as s:
            more = (s + 1).lt(width)
            if overlaps(op):
                with builder.when(more):
                    for feed in feeds:
                        feed.begin(s + 1)
            builder.emit("gemm", accumulator, x_feed.tile, w_feed.tile, vector=vector)
            with builder.when(more):
                if not overlaps(op):
                    for feed in feeds:
                        feed.begin(s + 1)
                for feed in feeds:
                    feed.end()
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
    overlap: bool
    now: int = 0
    ramp_free: int = 0
    arrivals: dict[str, int] = field(default_factory=dict)

    def spend(self, rounds: int = 0, branches: int = 0) -> None:
        """Rounds of the loop, and conditions."""
        self.now += rounds * self.site.round + branches * self.site.branch

    def launch(self, axis: str) -> None:
        """A broadcast begins, where there is room for its tile."""
        if self.overlap:
            self.begin(axis)

    def begin(self, axis: str) -> None:
        """The next root turns its router and sends."""
        if axis not in self.words:
            return
        site = self.site
        self.now += site.branch + site.launch
        turn = 2 * site.branch + site.turn
        sent = max(self.now + turn, self.ramp_free) + self.words[axis]
        self.ramp_free = sent
        self.arrivals[axis] = sent + site.flight(1)

    def settle(self, axis: str) -> None:
        """The tile is in place."""
        if not self.overlap:
            self.begin(axis)
        self.end(axis)

    def end(self, axis: str) -> None:
        """The tile has come."""
        if axis in self.words:
            self.now = self.site.until(self.now, self.arrivals[axis]) + self.overlap * self.site.issue

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
    overlap = overlaps(op)
    pace = BroadcastPace(site, tiles, words, overlap, now=ends_cycles(op, site))
    own = shard_of(op.operands[0]).dtype != site.operand
    pace.now += site.move(x_tile) if own else 0
    pace.now += sum(site.move(size) for axis, size in (("x", x_tile), ("y", w_tile)) if axis not in sizes)
    for axis in "xy":
        pace.begin(axis)
    for axis in "xy":
        pace.end(axis)
    pace.now += site.issue
    if width == height:
        # All steps but the first and the last are alike.
        ends = []
        for s in range(min(width, 4)):
            ends.append(pace.now)
            coming = "xy" if s + 1 < min(width, 4) else ""
            pace.spend(rounds=1, branches=1 + overlap)
            for axis in coming if overlap else "":
                pace.begin(axis)
            pace.product(tiles.inner)
            for axis in "" if overlap else coming:
                pace.begin(axis)
            for axis in coming:
                pace.end(axis)
        pace.now += (width - 4) * (ends[-1] - ends[-2]) if width > 4 else 0
    else:
        pace_walk(Start(0, (0, 0), (0, 0)), x_cut, w_cut, pace)
    turns = 2 * site.branch + site.turn
    cycles = pace.now + sum(2 * turns + copies[axis] for axis in sizes) + turns * len(sizes)
    far = (width - 1) + (height - 1)
    cycles += far * site.target.hop_cycles
    buffers = {parts: 2 if parts > 1 and overlap else 1 for parts in (width, height)}
    memory = x_tile * (int(own) + buffers[width]) + w_tile * (1 + buffers[height])
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
    schedules=schedules,
)
