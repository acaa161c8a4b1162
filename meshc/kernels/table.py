"""The token table: vocabulary over y, features over x, one copy for the lookup and for the output head."""

from __future__ import annotations

from meshc.dialects.layout import Block, Layout, ceil_div
from meshc.ir.core import Value
from meshc.kernels.lowering import Lowering, Section, Weight
from meshrt.program.expr import Expr, Name, select

#: Elements of a chunk that rides the ring: enough to cover a vector set-up, small beside the SRAM.
CHUNK_ELEMENTS = 1024


def chunking(block: int, inner: int) -> tuple[int, int]:
    """(chunks, rows per chunk) that a block of ``block`` rows of ``inner`` elements goes round in."""
    count = min(block, max(1, ceil_div(block * inner, CHUNK_ELEMENTS)))
    chunk = ceil_div(block, count)
    return ceil_div(block, chunk), chunk


def place_table(
    lowering: Lowering, weight: Value, features: Layout, order: str = "nk", start: int = 0, stop: int | None = None
) -> Weight:
    """Place a [vocabulary, features] tensor; the same tensor placed twice is one buffer."""
    shape = weight.type.shape  # type: ignore[attr-defined]
    total = shape[0] if order == "nk" else shape[1]
    stop = total if stop is None else stop
    over_y = Block(stop - start, lowering.height)
    inner = features.tile
    count, chunk = chunking(over_y.tile, inner)

    def row(i: Expr) -> Expr:
        index = over_y.index(Name("y"), i)
        # Rows that only fill up the last chunk must not alias the next row's block.
        return index if count * chunk == over_y.tile else select(i.lt(over_y.tile), index, -1)

    indices = lowering.matrix(
        weight, order, start, stop, lambda k: features.index(Name("x"), k), row, over_y, n_first=True
    )
    return lowering.place("table", lowering.operand, (count * chunk, inner), [Section(weight, indices)])
