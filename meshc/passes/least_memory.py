"""How much SRAM a PE needs at the least: an analysis of the tile level, which takes about a millisecond.

The weights and the KV caches of a PE follow from how values lie, before there is a program. No kernel
comes below these bytes:

- A product of ``tile.gemv`` has its input's features over one axis and its result's over the other, so each
  PE holds the weight of its features of both, padding included.
- Any other weight lies in one buffer, of the same extents in all PEs, which together hold all of it: in each at
  least its elements over the number of PEs. What several operations read counts once.
- A cache has its slots.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

from meshc.dialects.layout import ceil_div
from meshc.dialects.shard import shard_of
from meshc.dialects.tile import DTYPE_POLICY
from meshc.ir.core import Module, Operation, TensorType, Value
from meshc.ir.name_templates import NameTemplate
from meshc.kernels.cache import slots_of
from meshrt.program.model import DTYPE_BYTES

#: What is held (a weight with the stretch of it that is read, a cache), and its elements in a PE.
_Held = Iterator[tuple[tuple, int]]


def least_bytes(module: Module) -> int:
    """Bytes of weights and KV caches in each PE, at the least, of the function that needs most."""
    return max((_bytes(func, _weights, _cache) for func in module.body.ops), default=0)


def cache_bytes(module: Module) -> int:
    """Bytes of the KV caches of all layers in each PE, of the function that has most."""
    return max((_bytes(func, _cache) for func in module.body.ops), default=0)


def rounds(op: Operation, name: str) -> int:
    """How many tensors the name stands for that an operation carries: one for each round of the loops that it reads."""
    counters, count, block = NameTemplate.of(name).counters, 1, op.parent
    while block is not None and block.parent is not None:
        if block.parent.attributes.get("counter") in counters:
            count *= block.parent.attributes["count"]
        block = block.parent.parent
    return count


def _bytes(func: Operation, *kinds: Callable[[Operation, Operation], _Held]) -> int:
    held: dict[tuple, int] = {}
    for op in func.walk():
        for kind in kinds:
            for what, elements in kind(op, func):
                held[what] = max(held.get(what, 0), elements)
    return sum(held.values()) * DTYPE_BYTES[DTYPE_POLICY[func.attributes["dtype"]][0]]


def _weights(op: Operation, func: Operation) -> _Held:
    pes = func.attributes["width"] * func.attributes["height"]
    match op.name:
        case "tile.gemv":
            inner = shard_of(op.operands[0]).features.tile
            for part, result in zip(op.attributes["parts"], op.results, strict=True):
                yield _weight(
                    op.operands[part["weight"]], part["start"], part["stop"], inner * shard_of(result).features.tile
                )
        case "tile.gemm":
            inner = shard_of(op.operands[0]).features.extent
            for part in op.attributes["parts"]:
                start, stop = part["start"], part["stop"]
                yield _weight(op.operands[part["weight"]], start, stop, ceil_div(inner * (stop - start), pes))
        case "tile.gemm_transposed":
            inner, start, stop = shard_of(op.operands[0]).features.extent, op.attributes["start"], op.attributes["stop"]
            yield _weight(op.operands[1], start, stop, ceil_div(inner * (stop - start), pes))
        case "tile.embedding":
            table = op.operands[0]
            assert isinstance(table.type, TensorType)
            yield _weight(table, 0, table.type.shape[0], ceil_div(math.prod(table.type.shape), pes))


def _weight(value: Value, start: int, stop: int, elements: int) -> tuple[tuple, int]:
    """A stretch of a weight's output features, of which a PE has so many elements in each round."""
    assert value.op is not None
    name = value.op.attributes["name"]
    return (name, start, stop), elements * rounds(value.op, name)


def _cache(op: Operation, func: Operation) -> _Held:
    if op.name == "tile.cached_attention":
        a = op.attributes
        slots = slots_of(a["context"], func.attributes["height"], a.get("kv", "shift"))
        entry = sum(math.prod(shard_of(value).tile) for value in op.operands[1:])
        yield (a["cache"],), slots * entry * rounds(op, a["cache"])
