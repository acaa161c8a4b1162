"""``cache.take``: the caches as prefill left them, from the region in the west (:mod:`meshc.kernels.cache_crossing`).

Each PE gets what the PE at its place there holds after ``cache.relayout``: the slots of its row in all layers.
"""

from __future__ import annotations

from meshc.ir.core import Operation
from meshc.kernels.cache import TokenRows
from meshc.kernels.cache_crossing import take_from_west
from meshc.kernels.kernel import Kernel
from meshc.kernels.lowering import Lowering


def emit(op: Operation, lowering: Lowering) -> None:
    """Append the kernel's buffers and code."""
    rows = TokenRows.of(lowering.height, op.attributes["context"], op.attributes.get("kv", "shift"))
    caches = [
        lowering.whole_state(
            cache["cache"],
            "cache",
            lowering.operand,
            cache["layers"],
            (rows.capacity, lowering.batch * (cache["keys"] + cache["values"])),
        )
        for cache in op.attributes["caches"]
    ]
    take_from_west(lowering.builder, caches)


KERNEL = Kernel("cache.take", "tile.take_cache", "row by row from the west", emit)
