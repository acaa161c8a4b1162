"""``gemm.ring``: the two-hop interleaved ring GEMM (MeshGEMM, WaferLLM section 5).

On P x P PEs C[m, n] = X[m, k] W[k, n]. X lies with m over y and k over x, W with k over y
and n over x, aligned at placement so that the PE at logical (r, c) starts with the W
block r + c. X is first aligned in floor(P/2) ring shifts: odd rows on the forward ring,
even rows on the reverse one; a row that is aligned goes on.
Then P steps: shift X along x and W along y by one ring position into second buffers
while the tile product runs.

Critical path: P steps of the longer of the tile product and the two shifts (2 hops);
floor(P/2) alignment shifts. Memory: two X tiles, two W tiles, the accumulator. Colors:
8 on x (both directions of the ring), 4 on y, of which a router holds 6 and 3.

Grids that are not square take the walk of :mod:`meshc.kernels.systolic` on the same rings.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from meshc.dialects.shard import shard_of
from meshc.ir.core import Operation
from meshc.kernels.builder import MeshBuffer, MeshBuilder
from meshc.kernels.estimate import Estimate, Scaling, Site
from meshc.kernels.kernel import Kernel
from meshc.kernels.linear import TileProduct, finish_parts, loop_orders, part_layouts, placed_parts, start_accumulator
from meshc.kernels.lowering import Lowering
from meshc.kernels.ring import Ring, logical, logical_position, physical, ring
from meshc.kernels.systolic import Topology, emit_systolic, estimate_systolic
from meshrt.program.cost import elements_per_word
from meshrt.program.expr import Expr, ExprLike, Name, as_expr, minimum, select
from meshrt.program.model import View

#: Both axes closed by a ring whose hops are at most two long.
TWO_HOP = Topology(ring, logical, physical, lambda parts: (min(parts - 1, 2), min(parts - 1, 2)))


#: A ring, what is sent on it and where what comes is received.
Move = tuple[Ring, MeshBuffer | View, MeshBuffer | View]


def shift(builder: MeshBuilder, moves: Sequence[Move]) -> list[str]:
    """Launch one ring shift of each (ring, tile, second buffer); gives the handles to wait for."""
    handles = []
    for at, (on, tile, second) in enumerate(moves):
        receiving, sending = f"in{at}", f"out{at}"
        builder.emit("recv", second, color=on.receive, async_=receiving)
        builder.emit("send", tile, color=on.send, async_=sending)
        handles += [receiving, sending]
    return handles


def settle(builder: MeshBuilder, handles: list[str]) -> None:
    """Wait for the moves of :func:`shift`."""
    for handle in handles:
        builder.emit("wait", handle=handle)


@dataclass(frozen=True, slots=True)
class Schedule:
    """Choices that leave the algorithm as it is.

    ``vector`` is the dimension of the tile product's vector operations. ``whole_words``: the
    last element of an odd tile of 16-bit elements does not travel, so that the product is
    right for even tiles only; so do the kernels that were measured on a wafer.
    """

    vector: str
    whole_words: bool = False


@dataclass(frozen=True, slots=True)
class Pair:
    """A tile and its second buffer, [2, rows, columns]: one is worked on and sent while the other receives."""

    buffer: MeshBuffer
    schedule: Schedule

    def tile(self, turn: ExprLike) -> View:
        """The tile that is worked on in a turn (counted from 0)."""
        _, rows, columns = self.buffer.shape
        return self.buffer.at(as_expr(turn) % 2 * (rows * columns), rows, columns)

    def move(self, on: Ring, turn: ExprLike) -> Move:
        """The shift of that tile into the other buffer."""
        elements = self.buffer.elements // 2
        sent = elements
        if self.schedule.whole_words:
            sent -= sent % elements_per_word(self.buffer.dtype)
        turn = as_expr(turn) % 2
        return on, self.buffer.at(turn * elements, sent), self.buffer.at((1 - turn) * elements, sent)


def align_rows(builder: MeshBuilder, x: Pair) -> Expr:
    """Shift row r (logical) by r positions: floor(P/2) ring shifts (see the module's text).

    A row that is aligned goes on sending what its neighbours drop: no row waits for a
    branch, and every step takes the same time. Gives the turn that the tile is left in.
    """
    parts = builder.width
    forward, reverse = ring(builder, "x"), ring(builder, "x", reverse=True)
    y = Name("y")
    on = Ring(
        builder.param("align_send", select(y % 2, forward.send, reverse.send)),
        builder.param("align_receive", select(y % 2, forward.receive, reverse.receive)),
    )
    shifts = builder.param("align_shifts", (y + 1) // 2)
    with builder.loop("a", parts // 2) as step:
        settle(builder, shift(builder, [x.move(on, minimum(step, shifts))]))
    return shifts


def multiply(builder: MeshBuilder, x: Pair, w: Pair, c: MeshBuffer, vector: str, turn: ExprLike) -> None:
    """The P steps on aligned tiles, x in ``turn``, w in turn 0: while c += x w runs, both move on by one position."""
    along_x, along_y = ring(builder, "x"), ring(builder, "y")
    with builder.loop("s", builder.width) as step:
        handles = shift(builder, [x.move(along_x, turn + step), w.move(along_y, step)])
        builder.emit("gemm", c, x.tile(turn + step), w.tile(step), vector=vector)
        settle(builder, handles)


def aligned_block(builder: MeshBuilder) -> Expr:
    """The k block, by its column, that both tiles of this PE belong to when they are aligned."""
    parts = builder.width
    if parts == 1:
        return as_expr(0)
    position = (logical_position(builder, "x") + logical_position(builder, "y")) % parts
    return builder.param("ring_block", physical(position, parts))


def emit(op: Operation, lowering: Lowering) -> None:
    """Append the kernel's buffers and code."""
    builder = lowering.builder
    parts = builder.width
    if parts != builder.height:
        emit_systolic(op, lowering, TWO_HOP)
        return
    x = op.operands[0]
    rows, inner = shard_of(x).tile
    outputs = part_layouts(op)
    columns = sum(layout.tile for layout in outputs)
    block = aligned_block(builder)
    # The k block that belongs to column ``block``.
    weights = placed_parts(op, lowering, lambda i: shard_of(x).x.index(block, i), inner)
    accumulator = start_accumulator(op, lowering, rows, columns)
    vector = TileProduct.of(op).vector
    if parts == 1:
        tile = lowering.temporary("x_tile", lowering.operand, rows, inner)
        builder.emit("copy", tile, lowering.buffer_of(x))
        builder.emit("gemm", accumulator, tile, weights.view(), vector=vector)
    else:
        schedule = Schedule(vector)
        x_pair = Pair(lowering.temporary("x_pair", lowering.operand, 2, rows, inner), schedule)
        w_pair = Pair(lowering.temporary("w_pair", lowering.operand, 2, inner, columns), schedule)
        builder.emit("copy", x_pair.tile(0), lowering.buffer_of(x))
        turn = align_rows(builder, x_pair)
        builder.emit("copy", w_pair.tile(0), weights.view())
        multiply(builder, x_pair, w_pair, accumulator, vector, turn)
    finish_parts(op, lowering, accumulator, rows, columns)


def estimate(op: Operation, site: Site) -> Estimate:
    """The prediction: see :func:`meshc.kernels.systolic.estimate_systolic`."""
    return estimate_systolic(op, site, TWO_HOP, last_shift=True)


KERNEL = Kernel(
    "gemm.ring",
    "tile.gemm",
    "two-hop interleaved ring (MeshGEMM)",
    emit,
    estimate=estimate,
    scaling=Scaling("2 X + 3 W + C", "O(1)", "2", "3N/2", "WaferLLM, OSDI'25, section 5"),
    schedules=loop_orders,
)
