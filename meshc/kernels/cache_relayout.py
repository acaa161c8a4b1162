"""``cache.relayout``: what prefill kept, to where decode looks for it.

Prefill has tokens in blocks over y, those of all sequences one after the other. Decode has token j of every sequence
in one row, balanced for as many tokens as there are (:mod:`meshc.kernels.cache`): n, the runtime scalar ``first``.
Over x both lie alike. So what is kept rides the y ring, all layers at once, and each row copies what will be its
own: row r takes token j where n r / H <= j < n (r + 1) / H. Then rows go to the region of decode in the east, column
by column (:mod:`meshc.kernels.cache_crossing`).

Critical path: H shifts of what a PE keeps, then W times what a row holds. Memory: two tiles of what is kept, and the
slots of a row. Colors: 4 on y, shared with other rings, and one to the east.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from meshc.ir.core import Operation
from meshc.kernels.builder import MeshBuffer
from meshc.kernels.cache import TokenRows
from meshc.kernels.cache_crossing import send_east
from meshc.kernels.kernel import Kernel
from meshc.kernels.lowering import Lowering
from meshc.kernels.ring_ride import ride
from meshc.kernels.token_loop import first_position
from meshrt.program.expr import Expr, Name, minimum


def emit(op: Operation, lowering: Lowering) -> None:
    """Append the kernel's buffers and code."""
    rows = TokenRows.of(lowering.height, op.attributes["context"], op.attributes.get("kv", "shift"))
    send_east(lowering.builder, [balanced(cache, rows, lowering) for cache in op.attributes["caches"]])


def balanced(cache: Mapping[str, Any], rows: TokenRows, lowering: Lowering) -> MeshBuffer:
    """A buffer with what this row will hold of a cache in all layers, [layers, slots, entry]; empty slots are zero."""
    builder, batch, sequence, tokens = lowering.builder, lowering.batch, lowering.sequence, lowering.tokens
    keys, values, layers = cache["keys"], cache["values"], math.prod(cache["layers"])
    part, entry = keys + values, batch * (keys + values)
    kept = lowering.whole_state(cache["cache"], "kept", lowering.operand, cache["layers"], (tokens.tile, part))
    slots = lowering.temporary("slots", lowering.operand, layers, rows.capacity, entry)
    builder.emit("fill", slots, value=0.0)
    count = first_position(builder, sequence)
    first, stop = (rows.start(Name("y") + below, count) for below in (0, 1))
    # (first element in what is kept of a token, first element in an entry, elements of each sequence)
    pieces = [(0, 0, keys), (keys, batch * keys, values)] if batch > 1 else [(0, 0, part)]

    def take(tile: MeshBuffer, row: Expr) -> None:
        with builder.loop("token", tokens.tile) as local:
            number = tokens.index(row, local)
            token = number % sequence
            here = minimum(token.ge(first), token.lt(stop))
            if tokens.padded != tokens.extent:
                here = minimum(here, number.lt(tokens.extent))
            with builder.when(here):
                for source, target, size in pieces:
                    at = rows.slot(token) * entry + number // sequence * size + target
                    builder.emit(
                        "copy",
                        slots.at(at, (layers, rows.capacity * entry), (size, 1)),
                        tile.at(local * part + source, (layers, tokens.tile * part), (size, 1)),
                    )

    ride(lowering, kept, "kept", take)
    return slots


KERNEL = Kernel("cache.relayout", "tile.relayout_cache", "along y on the ring, then row by row to the east", emit)
