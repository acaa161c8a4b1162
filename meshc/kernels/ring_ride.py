"""A tile of every row rides the y ring, and every row sees each of them once."""

from __future__ import annotations

from collections.abc import Callable

from meshc.kernels.builder import MeshBuffer
from meshc.kernels.gemm_ring import settle, shift
from meshc.kernels.lowering import Lowering
from meshc.kernels.ring import logical_position, physical, ring
from meshrt.program.expr import Expr, as_expr


def ride(lowering: Lowering, source: MeshBuffer, name: str, step: Callable[[MeshBuffer, Expr], None]) -> None:
    """Let ``source`` ride the y ring; ``step(tile, row it came from)`` runs for every row, under the next shift.

    Cost: as many shifts as there are rows, two tiles.
    """
    builder, height = lowering.builder, lowering.height
    if height == 1:
        step(source, as_expr(0))
        return
    tile = lowering.temporary(f"{name}_tile", source.dtype, *source.shape)
    following = lowering.temporary(f"{name}_next", source.dtype, *source.shape)
    builder.emit("copy", tile, source)
    along_y = ring(builder, "y")
    at = logical_position(builder, "y")
    with builder.loop("s", height) as s:
        handles = shift(builder, [(along_y, tile, following)])
        step(tile, physical((at + s) % height, height))
        settle(builder, handles)
        builder.emit("rotate", tile, following)
