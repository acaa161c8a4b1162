"""``relayout.turn``: tokens and features change places on any grid and between any rectangles.

Call A what lies along y before (and along x after), B what lies along x before. The source
tiles ride the x ring, so that each row passes all of its own B by each of its PEs. A
column x must in the end hold its part of A; the rows whose tiles meet that part are its
*pivots*, neighbours because A is blocked: at most K of them, 1 or 2 on a grid of as many
columns as rows or more. In each step every pivot of a column broadcasts the tile that has
come to it along the column, by a software chain, and each PE keeps its part of A and B.

Chains need no route of their own for a root that is another one in each column, and follow
one another as in a pipeline: the next broadcast enters the chain while this one is on its
way down. Where A is not blocked, an exchange along y before (or along x after) makes it so.

Critical path: W steps of K chain broadcasts, H stages in the pipeline. Memory: source,
target, two riding tiles and one for the chain; one more tile and a list of a tile's places
where B is not blocked. Colors: 4 on x (ring), 4 on y (chain). Cycles: about
W K (n + launch, branch and pick) + (2 T_R + hop + 1) H.
"""

from __future__ import annotations

from dataclasses import replace

from meshc.dialects.layout import Block
from meshc.dialects.shard import ShardType, shard_of
from meshc.ir.core import Operation
from meshc.kernels.builder import MeshBuffer
from meshc.kernels.chain import Segment, chain_broadcast
from meshc.kernels.estimate import Estimate, Site
from meshc.kernels.gemm_ring import settle, shift
from meshc.kernels.kernel import Kernel
from meshc.kernels.lowering import Lowering
from meshc.kernels.relayout_cost import exchange_cycles, exchange_paths, relayout_estimate
from meshc.kernels.relayout_exchange import exchange, follow, on_the_wire, wire_types
from meshc.kernels.relayout_limits import (
    check_bytes,
    check_rectangles,
    exchange_bytes,
    listed_bytes,
    turn_bytes,
)
from meshc.kernels.relayout_pick import Ends, Listed, Stretch, Strides, list_places, listed, pick, stretch
from meshc.kernels.relayout_plan import Held, along, exchanges, most_pivots, with_axis
from meshc.kernels.relayout_turn_pace import turn_cycles
from meshc.kernels.ring import logical_position, physical, ring
from meshrt.program.expr import Expr, Name, as_expr, minimum, select
from meshrt.target import Target


def applies(op: Operation, width: int, height: int) -> str | None:
    """Why the kernel cannot run the operation on that grid, or None."""
    source, target = shard_of(op.operands[0]), shard_of(op.result)
    return None if source.transposed != target.transposed else "tokens and features lie the same way round"


def check(op: Operation, width: int, height: int, target: Target | None) -> None:
    """Raise M0409 for a rectangle outside the grid, M0410 for tiles beyond the SRAM."""
    check_rectangles(op, width, height)
    source, result = wire_types(op)
    before, after = turning_point(source, result)
    blocked = along(before, "x").in_stretches and along(after, "y").in_stretches
    needed = {
        "exchange": max(exchange_bytes([source, before]), exchange_bytes(exchanges(after, result))),
        "transposition": turn_bytes(before, 3, after) + listed_bytes(blocked, after, "y"),
    }
    check_bytes(op, target, needed)


def estimate(op: Operation, site: Site) -> Estimate:
    """The prediction: a first exchange along y, the turn, and what is left to exchange."""
    source, result = wire_types(op)
    before, after = turning_point(source, result)
    grid = site.width, site.height
    ways = [[source, before] if before != source else [source], exchanges(after, result)]
    cycles = turn_cycles(before, after, site) + sum(exchange_cycles(way, grid, site.target) for way in ways)
    blocked = along(before, "x").in_stretches and along(after, "y").in_stretches
    held = [turn_bytes(before, 3, after) + listed_bytes(blocked, after, "y"), *map(exchange_bytes, ways)]
    paths = exchange_paths(ways, site, over_ring=("x",), over_chain=("y",))
    return relayout_estimate(op, site, cycles, max(held), paths)


def emit(op: Operation, lowering: Lowering) -> None:
    """Append the kernel's buffers and code."""
    type, buffer = on_the_wire(op, lowering)
    before, after = turning_point(type, shard_of(op.result))
    if before != type:
        blocked = lowering.temporary("blocked", before.dtype, *before.tile)
        exchange(lowering, type, before, buffer, blocked)
        buffer = blocked
    turned = lowering.temporary("turned", after.dtype, *after.tile)
    _Turn(lowering, before, after, buffer, turned).emit()
    follow(lowering, exchanges(after, shard_of(op.result)), turned, op)


def turning_point(source: ShardType, target: ShardType) -> tuple[ShardType, ShardType]:
    """The shards just before and just after the value is turned over: A in consecutive stretches on both sides."""
    before = with_axis(source, "y", _blocked(along(source, "y")))
    after = with_axis(replace(target, dtype=source.dtype), "x", _blocked(along(target, "x")))
    return before, after


def _blocked(held: Held) -> Held:
    return held if held.in_stretches else Held(Block(held.layout.extent, held.layout.parts), held.start)


class _Turn:
    """The sizes and buffers of the turning stage while its code is appended."""

    def __init__(self, lowering: Lowering, before: ShardType, after: ShardType, buffer: MeshBuffer, turned: MeshBuffer):
        self.lowering, self.builder = lowering, lowering.builder
        self.before, self.after = before, after
        self.buffer, self.turned = buffer, turned
        # A from y to x, B from x to y.
        self.a = along(before, "y").once(), along(after, "x")
        self.b = along(before, "x").once(), along(after, "y")
        self._lists: tuple[MeshBuffer, MeshBuffer] | None = None

    def emit(self) -> None:
        """Let the source tiles ride the x ring; at each step, broadcast them down the columns."""
        builder, lowering, width = self.builder, self.lowering, self.builder.width
        builder.emit("fill", self.turned, value=0.0)
        block = lowering.temporary("block", self.buffer.dtype, *self.buffer.shape)
        self._list(block)
        if width == 1:
            self._step(self.buffer, block, as_expr(0))
            return
        tile = lowering.temporary("tile", self.buffer.dtype, *self.buffer.shape)
        following = lowering.temporary("following", self.buffer.dtype, *self.buffer.shape)
        builder.emit("copy", tile, self.buffer)
        on, position = ring(builder, "x"), logical_position(builder, "x")
        with builder.loop("s", width) as step:
            handles = shift(builder, [(on, tile, following)])
            owner = physical((position + step) % width, width)
            with builder.when(self.b[0].covers(owner, width)):
                self._step(tile, block, owner)
            settle(builder, handles)
            builder.emit("rotate", tile, following)

    def _step(self, tile: MeshBuffer, block: MeshBuffer, owner: Expr) -> None:
        """Broadcast the pivots' tiles, which came from column ``owner``, one pivot after another."""
        builder = self.builder
        first, last = (
            builder.param(name, value) for name, value in zip(("pivot", "last_pivot"), self._pivots(), strict=True)
        )
        most = most_pivots(*self.a)
        if most == 1:
            self._broadcast(tile, block, owner, first, first.le(last))
            return
        with builder.loop("k", most) as k:
            self._broadcast(tile, block, owner, first + k, (first + k).le(last))

    def _broadcast(self, tile: MeshBuffer, block: MeshBuffer, owner: Expr, pivot: Expr, condition: Expr) -> None:
        builder, height = self.builder, self.builder.height
        with builder.when(condition):
            with builder.when(Name("y").eq(pivot)):
                builder.emit("copy", block, tile)
            chain_broadcast(builder, Segment("y", Name("y"), height, as_expr(1)), pivot, block)
            columns, out = self.before.x.tile, self.after.x.tile
            # A lies in rows of the source tile and in columns of the target tile, B the other way round.
            a = stretch(self._ends_of_a(pivot), Strides(columns, 1))
            ends = self._ends_of_b(owner)
            b: Stretch | Listed
            if ends.in_stretches:
                b = stretch(ends, Strides(1, out))
            else:
                assert self._lists is not None
                b = listed(ends, Strides(1, out), *self._lists)
            pick(builder, block, self.turned, a, b)

    def _list(self, block: MeshBuffer) -> None:
        ends = self._ends_of_b(as_expr(0))
        if not ends.in_stretches:
            count = self.b[1].layout.tile
            places = self.lowering.temporary("places", "i32", count)
            found = self.lowering.temporary("found", block.dtype, count, self.before.tile[0])
            list_places(self.builder, places, ends)
            self._lists = places, found

    def _ends_of_a(self, pivot: Expr) -> Ends:
        return Ends(self.a[0], pivot, self.a[1], Name("x"), self.builder.width)

    def _ends_of_b(self, owner: Expr) -> Ends:
        return Ends(self.b[0], owner, self.b[1], Name("y"), self.builder.height)

    def _pivots(self) -> tuple[Expr, Expr]:
        """The first and the last row whose A meets that of this column; none (first after last) where it holds none."""
        source, target = self.a
        tile = source.layout.tile
        low, high = target.layout.bounds(target.part(Name("x")))
        high = minimum(high, source.layout.extent)
        holds = minimum(target.covers(Name("x"), self.builder.width), low.lt(high))
        first, last = low // tile + source.start, (high - 1) // tile + source.start
        return select(holds, first, 1), select(holds, last, 0)


#: For what the diagonal does not reach: grids that are not square, parts of a grid.
KERNEL = Kernel(
    "relayout.turn",
    "tile.relayout",
    "transposition on any grid: x ring, column broadcasts",
    emit,
    applies,
    rank=1,
    check=check,
    estimate=estimate,
)
