"""``cache.keep``: the keys and values of a layer's tokens stay in the PEs that have them.

A PE holds the keys and values of its tokens anyway; they are copied to where they live on when the layer is over:
[layers, tokens, features of keys and then of values]. No words move. Memory: what is kept.
"""

from __future__ import annotations

from meshc.dialects.shard import shard_of
from meshc.ir.core import Operation
from meshc.kernels.kernel import Kernel
from meshc.kernels.lowering import Lowering


def emit(op: Operation, lowering: Lowering) -> None:
    """Append the kernel's buffers and code."""
    keys, values = (shard_of(value).x.tile for value in op.operands)
    rows, part = lowering.tokens.tile, keys + values
    kept = lowering.state(op.attributes["cache"], "kept", lowering.operand, (rows, part))
    for value, start, size in zip(op.operands, (0, keys), (keys, values), strict=True):
        lowering.builder.emit("copy", kept.view((rows, part), (size, 1), offset=start), lowering.buffer_of(value))


KERNEL = Kernel("cache.keep", "tile.keep", "a copy within each PE", emit)
