"""``gemm.ring``: the two-hop interleaved ring GEMM on a square grid (MeshGEMM, WaferLLM section 5).

C[m, n] = X[m, k] W[k, n] on P x P PEs. X lies with m over y and k over x, W with k over y
and n over x, aligned at placement so that the PE at logical (r, c) starts with the W
block r + c. X is first aligned in floor(P/2) ring shifts: odd rows on the forward ring,
even rows on the reverse one; a row that is aligned goes on.
Then P steps: shift X along x and W along y by one ring position into second buffers
while the tile product runs.

Critical path: P steps of the longer of the tile product and the two shifts (2 hops);
floor(P/2) alignment shifts. Memory: two X tiles, two W tiles, the accumulator. Colors:
8 on x (both directions of the ring), 4 on y.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from meshc.dialects.shard import shard_of
from meshc.ir.core import Operation
from meshc.kernels.builder import MeshBuffer, MeshBuilder
from meshc.kernels.kernel import Kernel
from meshc.kernels.linear import finish_parts, part_layouts, placed_parts, start_accumulator
from meshc.kernels.lowering import Lowering
from meshc.kernels.ring import Ring, logical_position, physical, ring
from meshrt.program.cost import elements_per_word
from meshrt.program.expr import Expr, Name, as_expr, select
from meshrt.program.model import View


def applies(op: Operation, width: int, height: int) -> str | None:
    """Why the kernel cannot run the operation on that grid, or None."""
    return None if width == height else "the ring needs as many rows as columns"


def shift(builder: MeshBuilder, moves: Sequence[tuple[Ring, MeshBuffer | View, MeshBuffer | View]]) -> list[str]:
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

    ``vector`` is the dimension of the tile product's vector operations. A row that is
    aligned rests, or goes on sending what its neighbours drop (``aligned_rows_send``).
    ``whole_words``: the last element of an odd tile of 16-bit elements does not travel, so
    that the product is right for even tiles only. The kernels that were measured on a
    wafer (``docs/fidelity.md``) send on, and send whole words.
    """

    vector: str
    aligned_rows_send: bool = False
    whole_words: bool = False

    def travelling(self, tile: MeshBuffer) -> View:
        """The part of a tile that is sent."""
        return whole_words(tile) if self.whole_words else tile.whole


def whole_words(tile: MeshBuffer) -> View:
    """The elements of a tile that fill whole fabric words."""
    return tile.at(0, tile.elements - tile.elements % elements_per_word(tile.dtype))


def align_rows(builder: MeshBuilder, tile: MeshBuffer, second: MeshBuffer, schedule: Schedule) -> None:
    """Shift row r (logical) by r positions: floor(P/2) ring shifts (see the module's text)."""
    parts = builder.width
    if parts == 1:
        return
    forward, reverse = ring(builder, "x"), ring(builder, "x", reverse=True)
    y = Name("y")
    on = Ring(
        builder.param("align_send", select(y % 2, forward.send, reverse.send)),
        builder.param("align_receive", select(y % 2, forward.receive, reverse.receive)),
    )
    shifts = builder.param("align_shifts", (y + 1) // 2)
    moves = [(on, schedule.travelling(tile), schedule.travelling(second))]
    with builder.loop("a", parts // 2) as step:
        if schedule.aligned_rows_send:
            settle(builder, shift(builder, moves))
        with builder.when(step.lt(shifts)):
            if not schedule.aligned_rows_send:
                settle(builder, shift(builder, moves))
            builder.emit("rotate", tile, second)


@dataclass(frozen=True, slots=True)
class RingTiles:
    """The buffers of a ring GEMM in each PE: x [m, k] and w [k, n] with a second buffer each, c [m, n]."""

    x: MeshBuffer
    x_next: MeshBuffer
    w: MeshBuffer
    w_next: MeshBuffer
    c: MeshBuffer


def multiply(builder: MeshBuilder, tiles: RingTiles, schedule: Schedule) -> None:
    """The P steps on aligned tiles: while c += x w runs, both tiles move on by one ring position."""
    pairs = ((ring(builder, "x"), tiles.x, tiles.x_next), (ring(builder, "y"), tiles.w, tiles.w_next))
    moves = [(on, schedule.travelling(tile), schedule.travelling(second)) for on, tile, second in pairs]
    with builder.loop("s", builder.width):
        handles = shift(builder, moves)
        builder.emit("gemm", tiles.c, tiles.x, tiles.w, vector=schedule.vector)
        settle(builder, handles)
        for _, tile, second in pairs:
            builder.emit("rotate", tile, second)


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
    x = op.operands[0]
    rows, inner = shard_of(x).tile
    outputs = part_layouts(op)
    columns = sum(layout.tile for layout in outputs)
    block = aligned_block(builder)
    # The k block that belongs to column ``block``.
    weights = placed_parts(op, lowering, lambda i: shard_of(x).x.index(block, i), inner)
    tile = lowering.temporary("x_tile", lowering.operand, rows, inner)
    builder.emit("copy", tile, lowering.buffer_of(x))
    accumulator = start_accumulator(op, lowering, rows, columns)
    schedule = Schedule(vector="n" if columns >= rows else "m")
    if parts == 1:
        builder.emit("gemm", accumulator, tile, weights.view(), vector=schedule.vector)
    else:
        x_next = lowering.temporary("x_next", lowering.operand, rows, inner)
        align_rows(builder, tile, x_next, schedule)
        w_tile = lowering.temporary("w_tile", lowering.operand, inner, columns)
        w_next = lowering.temporary("w_next", lowering.operand, inner, columns)
        builder.emit("copy", w_tile, weights.view())
        multiply(builder, RingTiles(tile, x_next, w_tile, w_next, accumulator), schedule)
    finish_parts(op, lowering, accumulator, rows, columns)


#: The default on square grids.
KERNEL = Kernel("gemm.ring", "tile.gemm", "two-hop interleaved ring (MeshGEMM)", emit, applies)
