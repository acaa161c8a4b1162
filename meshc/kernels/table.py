"""The token table: one copy for the lookup and for the output head.

In prefill its entries lie over y in chunks that ride the ring, and features over x; in decode
either way round, its entries one after the other.
"""

from __future__ import annotations

from collections.abc import Sequence

from meshc.dialects.layout import Block, Layout, ceil_div
from meshc.ir.core import Value
from meshc.kernels.lowering import Lowering, Section, Weight, tensor_shape
from meshrt.program.expr import Expr, ExprLike, Name, select


def chunking(chunk_elements: int, block: int, inner: int) -> tuple[int, int]:
    """(chunks, rows per chunk) in which a block of ``block`` rows of ``inner`` elements rides the ring.

    Of about ``chunk_elements`` at most: long enough to cover a vector set-up many times, and small
    beside the SRAM. Equal chunks without padding are preferred to fewer ones.
    """
    wanted = min(block, max(1, ceil_div(block * inner, chunk_elements)))
    count = next((c for c in range(wanted, min(2 * wanted, block) + 1) if block % c == 0), wanted)
    chunk = ceil_div(block, count)
    return ceil_div(block, chunk), chunk


def place_table(
    lowering: Lowering, weight: Value, features: Layout, order: str = "nk", start: int = 0, stop: int | None = None
) -> Weight:
    """Place a [vocabulary, features] tensor; the same tensor placed twice is one buffer."""
    shape = tensor_shape(weight)
    total = shape[0] if order == "nk" else shape[1]
    stop = total if stop is None else stop
    over_y = Block(stop - start, lowering.height)
    inner = features.tile
    count, chunk = chunking(lowering.chunk_elements, over_y.tile, inner)
    matrix = lowering.matrix(weight, order, over_y, start, stop)

    def indices(e: list[Expr]) -> Sequence[ExprLike]:
        i, k = e
        row = over_y.index(Name("y"), i)
        if count * chunk != over_y.tile:
            # Rows that only fill up the last chunk must not alias the next row's block.
            row = select(i.lt(over_y.tile), row, -1)
        return matrix(features.index(Name("x"), k), row)

    return lowering.place("table", lowering.operand, (count * chunk, inner), [Section(weight, indices)])


def place_columns(
    lowering: Lowering,
    weight: Value,
    features: Layout,
    axis: str,
    outputs: Layout,
    order: str = "nk",
    start: int = 0,
    stop: int | None = None,
    hint: str = "table",
) -> Weight:
    """Place a linear's weight [outputs, inputs]: inputs as ``features`` over ``axis``, outputs over the other axis.

    Of the weight's outputs the linear takes ``start`` to ``stop``. A token table is such a weight,
    its entries the outputs; the same tensor placed alike twice is one buffer.
    """
    total = tensor_shape(weight)[0 if order == "nk" else 1]
    matrix = lowering.matrix(weight, order, outputs, start, total if stop is None else stop)
    other = "y" if axis == "x" else "x"

    def indices(e: list[Expr]) -> Sequence[ExprLike]:
        return matrix(features.index(Name(axis), e[1]), outputs.index(Name(other), e[0]))

    return lowering.place(hint, lowering.operand, (outputs.tile, features.tile), [Section(weight, indices)])
