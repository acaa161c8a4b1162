"""``relayout.diagonal``: tokens and features change places on a square grid, over the diagonal.

Tile T(i, j) of row i and column j (logical positions on the ring) must come to row j of
column i. Rows pass their tiles round the x ring, so in step s the PE on the diagonal of
row i has T(i, i + s). It sends that tile along the y ring of column i at once. The ring
moves tiles to lower positions, and i + s lies P - s below i: after the P - s steps that
are left, every tile that any step put in is where it belongs. So P steps of one shift on x
and one on y transpose the grid, with two riding tiles each way; then each PE turns its own
tile over. A PE d positions below the diagonal passes its first tile on in step d. What
remains between the swapped layouts and those asked for is an exchange along each axis
(:mod:`~meshc.kernels.relayout_exchange`).

The lower bound is n P / 4 words over each link at the middle of the grid. Here no link
carries more than n P, each for one color at a time; but the RAMP of a PE on the diagonal
gives out n P words to its row and as many to its column, which is what sets the pace.

Critical path: P steps of a shift (2 hops), and the turn of one tile (n moves). Memory:
source, target and four riding tiles. Colors: 4 on x, 4 on y, those of the ring GEMM.
Cycles: about P (2 n + a launch of four moves and their waits) + n / move rate.
"""

from __future__ import annotations

from dataclasses import replace

from meshc.dialects.shard import ShardType, shard_of
from meshc.ir.core import Operation
from meshc.kernels.builder import MeshBuffer
from meshc.kernels.estimate import Estimate, Site
from meshc.kernels.gemm_ring import settle, shift
from meshc.kernels.kernel import Kernel
from meshc.kernels.lowering import Lowering
from meshc.kernels.relayout_cost import diagonal_cycles, exchange_cycles, exchange_paths, relayout_estimate
from meshc.kernels.relayout_exchange import follow, on_the_wire, wire_types
from meshc.kernels.relayout_limits import check_bytes, check_rectangles, exchange_bytes, turn_bytes
from meshc.kernels.relayout_plan import exchanges
from meshc.kernels.ring import logical_position, ring
from meshrt.target import Target


def applies(op: Operation, width: int, height: int) -> str | None:
    """Why the kernel cannot run the operation on that grid, or None."""
    source, target = shard_of(op.operands[0]), shard_of(op.result)
    if source.transposed == target.transposed:
        return "tokens and features lie the same way round"
    if width != height:
        return "the diagonal needs as many rows as columns"
    if (source.y.parts, source.x.parts) != (height, width):
        return "the operand must lie on the whole grid"
    return None


def check(op: Operation, width: int, height: int, target: Target | None) -> None:
    """Raise M0409 for a rectangle outside the grid, M0410 for tiles beyond the SRAM."""
    source, result = wire_types(op)
    swapped = _swapped(source)
    check_rectangles(op, width, height)
    needed = {"transposition": turn_bytes(source, 4, swapped), "exchange": exchange_bytes(exchanges(swapped, result))}
    check_bytes(op, target, needed)


def estimate(op: Operation, site: Site) -> Estimate:
    """The prediction: the transposition, and what is left to exchange."""
    source, result = wire_types(op)
    swapped = _swapped(source)
    way = exchanges(swapped, result)
    cycles = diagonal_cycles(source, site)
    cycles += exchange_cycles(way, (site.width, site.height), site.target)
    held = max(turn_bytes(source, 4, swapped), exchange_bytes(way))
    paths = exchange_paths([way], site, over_ring=("x", "y"))
    return relayout_estimate(op, site, cycles, held, paths)


def emit(op: Operation, lowering: Lowering) -> None:
    """Append the kernel's buffers and code."""
    type, buffer = on_the_wire(op, lowering)
    swapped = _swapped(type)
    turned = lowering.temporary("turned", type.dtype, *swapped.tile)
    _swap(lowering, type, buffer, turned)
    follow(lowering, exchanges(swapped, shard_of(op.result)), turned, op)


def _swapped(type: ShardType) -> ShardType:
    """What lay over y over x, and the other way round."""
    return replace(type, y=type.x, x=type.y, transposed=not type.transposed)


def _swap(lowering: Lowering, type: ShardType, buffer: MeshBuffer, turned: MeshBuffer) -> None:
    """Tile (i, j) comes to (j, i), and its elements likewise."""
    builder = lowering.builder
    rows, columns = type.tile
    over = buffer
    if builder.width > 1:
        along, over, along_next, over_next = (
            lowering.temporary(hint, type.dtype, rows, columns)
            for hint in ("along_row", "along_column", "along_row_next", "along_column_next")
        )
        builder.emit("copy", along, buffer)
        on_x, on_y = ring(builder, "x"), ring(builder, "y")
        behind = (logical_position(builder, "x") - logical_position(builder, "y")) % builder.width
        sender = builder.param("behind_diagonal", behind)
        receiver = builder.param("behind_sender", (sender - 1) % builder.width)
        with builder.loop("s", builder.width) as step:
            handles = shift(builder, [(on_x, along, along_next)])
            with builder.when(receiver.le(step)):
                builder.emit("recv", over_next, color=on_y.receive, async_="arriving")
            with builder.when(sender.le(step)):
                with builder.when(sender.eq(0)):
                    builder.emit("send", along, color=on_y.send, async_="leaving")
                with builder.otherwise():
                    builder.emit("send", over, color=on_y.send, async_="leaving")
                settle(builder, ["leaving"])
            with builder.when(receiver.le(step)):
                settle(builder, ["arriving"])
            settle(builder, handles)
            builder.emit("rotate", along, along_next)
            builder.emit("rotate", over, over_next)
    builder.emit("copy", turned.at(0, columns, rows), over.at(0, (columns, 1), (rows, columns)))


#: The default where the grid is square and the operand lies on all of it.
KERNEL = Kernel(
    "relayout.diagonal",
    "tile.relayout",
    "transposition over the diagonal: x ring, then y ring",
    emit,
    applies,
    check=check,
    estimate=estimate,
)
