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

from collections.abc import Callable
from dataclasses import dataclass

from meshc.dialects.shard import shard_of
from meshc.ir.core import Operation
from meshc.kernels.builder import MeshBuffer, MeshBuilder
from meshc.kernels.inner_walk import Cut, Operand, emit_walk
from meshc.kernels.linear import finish_parts, part_layouts, placed_parts, start_accumulator
from meshc.kernels.lowering import Lowering
from meshc.kernels.ring import Ring, extent
from meshrt.program.expr import Expr, ExprLike, Name, as_expr, minimum, select


@dataclass(frozen=True, slots=True)
class Topology:
    """A ring over the PEs of an axis: its streams, and logical positions from physical ones and back."""

    ring: Callable[[MeshBuilder, str, bool], Ring]
    logical: Callable[[ExprLike, int], Expr]
    physical: Callable[[ExprLike, int], Expr]

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

    def settle(self) -> None:
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
    most = max(min(r * width // height, width - r * width // height) for r in range(height))
    feed = RingFeed(builder, "x", on, tile, second)
    with builder.loop("a", most) as step, builder.when(step.lt(shifts)):
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
    vector = "n" if columns >= rows else "m"
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
