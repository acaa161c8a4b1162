"""GEMM on two rings: X along the rows, W along the columns, on any grid.

C[m, n] = X[m, k] W[k, n] on W x H PEs. X lies with m over y and k over x, W with k over y
and n over x. The PE at logical (r, c) goes through k from the position where X tile c and
W tile r, laid one after the other, end: position c K/W + r K/H, modulo K. W is placed so.
X is first shifted by floor(r W / H) positions in row r, forward or the other way around,
whichever is shorter: at most floor(W/2) shifts. Then both tiles ride their rings, into
second buffers while the tile product runs.

Square grids take P steps in lockstep (Cannon 1969); others the walk of
:mod:`meshc.kernels.inner_walk`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from meshc.dialects.shard import shard_of
from meshc.ir.core import Operation
from meshc.kernels.builder import MeshBuffer, MeshBuilder
from meshc.kernels.estimate import Estimate, Site
from meshc.kernels.inner_walk import Cut, Operand, Start, emit_walk, pace_walk
from meshc.kernels.linear import (
    TileProduct,
    ends_cycles,
    finish_parts,
    part_layouts,
    placed_parts,
    start_accumulator,
)
from meshc.kernels.lowering import Lowering
from meshc.kernels.ring import Ring, extent
from meshrt.program.expr import Expr, ExprLike, Name, as_expr, minimum, select


@dataclass(frozen=True, slots=True)
class Topology:
    """A ring over the PEs of an axis: its streams, and logical positions from physical ones and back.

    ``hops(parts)``: how far most tiles go in a shift, and how far the one goes that closes the ring.
    """

    ring: Callable[[MeshBuilder, str, bool], Ring]
    logical: Callable[[ExprLike, int], Expr]
    physical: Callable[[ExprLike, int], Expr]
    hops: Callable[[int], tuple[int, int]]

    def along(self, builder: MeshBuilder, axis: str, reverse: bool = False) -> Ring:
        """This PE's colors on the ring of an axis (none where the axis is one PE)."""
        return self.ring(builder, axis, reverse) if extent(builder, axis) > 1 else Ring(as_expr(0), as_expr(0))

    def position(self, builder: MeshBuilder, axis: str) -> Expr:
        """This PE's logical position on the axis, as a parameter."""
        return builder.param(f"logical_{axis}", self.logical(Name(axis), extent(builder, axis)))


@dataclass(frozen=True, slots=True)
class RingFeed:
    """Brings the next tile from the neighbour on a ring, and sends it the present one."""

    builder: MeshBuilder
    axis: str
    on: Ring
    tile: MeshBuffer
    second: MeshBuffer

    def launch(self, tile: Expr | None = None) -> None:
        """Begin a shift: every PE of the ring takes part."""
        self.builder.emit("recv", self.second, color=self.on.receive, async_=f"{self.axis}_in")
        self.builder.emit("send", self.tile, color=self.on.send, async_=f"{self.axis}_out")

    def settle(self, tile: Expr | None = None) -> None:
        """Wait for its end, and take the tile that came."""
        self.builder.emit("wait", handle=f"{self.axis}_in")
        self.builder.emit("wait", handle=f"{self.axis}_out")
        self.builder.emit("rotate", self.tile, self.second)


def align(builder: MeshBuilder, topology: Topology, tile: MeshBuffer, second: MeshBuffer) -> None:
    """Shift the row at logical position r by floor(r W / H) positions."""
    width, height = builder.width, builder.height
    if width == 1 or height == 1:
        return
    turn = builder.param("align_turn", topology.position(builder, "y") * width // height)
    backward = (turn * 2).gt(width)
    forward_ring, reverse_ring = topology.along(builder, "x"), topology.along(builder, "x", reverse=True)
    on = Ring(
        builder.param("align_send", select(backward, reverse_ring.send, forward_ring.send)),
        builder.param("align_receive", select(backward, reverse_ring.receive, forward_ring.receive)),
    )
    shifts = builder.param("align_shifts", minimum(turn, width - turn))
    feed = RingFeed(builder, "x", on, tile, second)
    with builder.loop("a", align_shifts(width, height)) as step, builder.when(step.lt(shifts)):
        feed.launch()
        feed.settle()


def emit_systolic(op: Operation, lowering: Lowering, topology: Topology) -> None:
    """Append the buffers and code of a ``tile.gemm`` on the rings of a topology."""
    builder = lowering.builder
    width, height = builder.width, builder.height
    x = op.operands[0]
    rows, inner = shard_of(x).tile
    columns = sum(layout.tile for layout in part_layouts(op))
    x_cut, w_cut = Cut(width * inner, width), Cut(width * inner, height)
    r, c = topology.position(builder, "y"), topology.position(builder, "x")
    # The tiles that a PE starts with when X is aligned.
    x_first = builder.param("x_first", c + r * width // height)
    w_first = builder.param("w_first", r + c * height // width)

    def global_k(e: Expr) -> Expr:
        own = w_first % height
        position = w_cut.boundary(own) + e
        index = shard_of(x).x.index(topology.physical(position // inner, width), position % inner)
        return index if w_cut.even else select(position.lt(w_cut.boundary(own + 1)), index, -1)

    weights = placed_parts(op, lowering, global_k, w_cut.size)
    tile = lowering.temporary("x_tile", lowering.operand, rows, inner)
    builder.emit("copy", tile, lowering.buffer_of(x))
    accumulator = start_accumulator(op, lowering, rows, columns)
    vector = TileProduct.of(op).vector
    if width == height == 1:
        builder.emit("gemm", accumulator, tile, weights.view(), vector=vector)
        finish_parts(op, lowering, accumulator, rows, columns)
        return
    x_next = lowering.temporary("x_next", lowering.operand, rows, inner) if width > 1 else tile
    align(builder, topology, tile, x_next)
    w_tile = lowering.temporary("w_tile", lowering.operand, w_cut.size, columns)
    w_next = lowering.temporary("w_next", lowering.operand, w_cut.size, columns) if height > 1 else w_tile
    builder.emit("copy", w_tile, weights.view())
    x_feed = RingFeed(builder, "x", topology.along(builder, "x"), tile, x_next)
    w_feed = RingFeed(builder, "y", topology.along(builder, "y"), w_tile, w_next)
    if width == height:
        with builder.loop("s", width - 1):
            x_feed.launch()
            w_feed.launch()
            builder.emit("gemm", accumulator, tile, w_tile, vector=vector)
            x_feed.settle()
            w_feed.settle()
        builder.emit("gemm", accumulator, tile, w_tile, vector=vector)
    else:

        def product(low: Expr, high: Expr) -> None:
            depth = high - low
            a = tile.at(x_cut.within(low), (rows, inner), (depth, 1))
            b = w_tile.at(w_cut.within(low) * columns, depth, columns)
            builder.emit("gemm", accumulator, a, b, vector=vector)

        # Boundaries of W are rounded down to whole positions, so in one column some PEs may start at one and some
        # not. They must shift alike: what counts is whether a boundary would lie there unrounded.
        start = builder.param("walk_start", x_cut.boundary(c) + w_cut.boundary(r))
        emit_walk(
            builder,
            start,
            Operand(x_cut, x_feed, x_first, builder.param("x_midst", x_cut.within(w_cut.boundary(r)).ne(0))),
            Operand(w_cut, w_feed, w_first, builder.param("w_midst", (c * height % width).ne(0))),
            product,
        )
    finish_parts(op, lowering, accumulator, rows, columns)


def align_shifts(width: int, height: int) -> int:
    """Ring shifts until the last row of X is aligned."""
    turns = [r * width // height for r in range(height)]
    return max(min(turn, width - turn) for turn in turns)


def estimate_systolic(op: Operation, site: Site, topology: Topology, last_shift: bool = False) -> Estimate:
    """The prediction of :func:`emit_systolic`; ``last_shift``: a square grid shifts after the last product too."""
    tiles = TileProduct.of(op)
    width, height = site.width, site.height
    x_tile, w_tile = tiles.rows * tiles.inner, Cut(width * tiles.inner, height).size * tiles.columns
    words = site.words(x_tile), site.words(w_tile)
    hops, closing = zip(topology.hops(width), topology.hops(height), strict=True)
    shifts = align_shifts(width, height)
    # The tile that closes a ring comes later; on the longest chain of tiles that wait for one another it does so once.
    detour = [site.flight(far) - site.flight(near) for far, near in zip(closing, hops, strict=True)]
    cycles = site.move(x_tile) + ends_cycles(op, site)
    memory = site.bytes(x_tile + w_tile, tiles.rows * tiles.columns)
    if max(width, height) == 1:
        return Estimate(cycles + tiles.cycles(site), memory, 0, 0, 0)
    memory += site.bytes((x_tile if width > 1 else 0) + w_tile * (2 if height > 1 else 1))
    cycles += site.move(w_tile)
    if shifts:
        cycles += site.issue + shifts * (site.round + site.branch + site.shift(words[0], hops[0])) + detour[0]
    if width == height:
        steps = width - (not last_shift)
        product = tiles.cycles(site)
        step = site.ring_step(*words, product, hops)
        late = [site.ring_step(*words, product, far) - step for far in ((closing[0], hops[1]), (hops[0], closing[1]))]
        cycles += site.issue + steps * step + sum(late) + (0 if last_shift else product)
    else:
        steps = width + height
        cycles += site.issue + _walk_cycles(site, tiles, words, hops) + sum(detour)
    ways = min(width, 3) * (2 if min(width, height) > 1 else 1) if width > 1 else 0
    colors = ways + (min(height, 3) if height > 1 else 0)
    shifted = shifts + max(width, height)
    return Estimate(cycles, memory, colors, shifted * max(hops) + sum(closing) - sum(hops), shifted)


def _walk_cycles(site: Site, tiles: TileProduct, words: tuple[int, int], hops: tuple[int, ...]) -> int:
    """The longest walk: that of a PE that starts in the midst of a tile where there is one."""
    width, height = site.width, site.height
    x_cut, w_cut = Cut(width * tiles.inner, width), Cut(width * tiles.inner, height)
    longest = 0
    for r in sorted({0, 1, height // 2, height - 1} & set(range(height))):
        for c in sorted({0, 1, width // 2, width - 1} & set(range(width))):
            first = c + r * width // height, r + c * height // width
            midst = int(x_cut.within(w_cut.boundary(r)) != 0), int(c * height % width != 0)
            pace = RingPace(site, tiles, dict(zip("xy", words, strict=True)), dict(zip("xy", hops, strict=True)))
            pace_walk(Start(x_cut.boundary(c) + w_cut.boundary(r), first, midst), x_cut, w_cut, pace)
            longest = max(longest, pace.now)
    return longest


@dataclass(slots=True)
class RingPace:
    """The clock of a PE whose neighbours on both rings keep step with it."""

    site: Site
    tiles: TileProduct
    words: Mapping[str, int]
    hops: Mapping[str, int]
    now: int = 0
    ramp_free: int = 0
    arrivals: dict[str, int] = field(default_factory=dict)

    def spend(self, rounds: int = 0, branches: int = 0) -> None:
        """Rounds of the loop, and conditions."""
        self.now += rounds * self.site.round + branches * self.site.branch

    def launch(self, axis: str) -> None:
        """A shift begins; the words of both rings come over one RAMP."""
        self.now += 2 * self.site.launch
        self.ramp_free = max(self.now, self.ramp_free) + self.words[axis]
        self.arrivals[axis] = self.ramp_free + self.site.flight(self.hops[axis])

    def settle(self, axis: str) -> None:
        """Its end."""
        self.now = self.site.until(self.now, self.arrivals[axis]) + self.site.settled

    def product(self, depth: int) -> None:
        """A product of so many positions."""
        self.now += self.tiles.cycles(self.site, depth)
