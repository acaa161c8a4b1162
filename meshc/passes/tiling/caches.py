"""What a function says of its caches as a whole: names, how much a PE holds of a token, in how many layers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from meshc.dialects.shard import shard_of
from meshc.ir.core import Block, Operation, Value
from meshc.ir.name_templates import NameTemplate


def describe_cache(op: Operation, keys: Value, values: Value) -> Mapping[str, object]:
    """The cache that an attention of the graph names, whose keys and values are these shards."""
    name = op.attributes["cache"]
    return {
        "cache": name,
        "keys": shard_of(keys).x.tile,
        "values": shard_of(values).x.tile,
        "layers": tuple(_counts(op.parent, NameTemplate.of(name).counters)),
    }


def moved_caches(func: Operation, kv: str, caches: Sequence[Mapping[str, object]]) -> Mapping[str, object]:
    """Attributes of an operation that moves all caches of a function, into which tokens come as ``kv`` says."""
    return {"context": func.attributes["context"], "kv": kv, "caches": tuple(caches)}


def _counts(block: Block | None, counters: frozenset[str]) -> Sequence[int]:
    """How often the loops around a block run whose counters are among these, the outermost first."""
    if block is None or block.parent is None:
        return []
    loop = block.parent
    own = [loop.attributes["count"]] if loop.attributes.get("counter") in counters else []
    return [*_counts(loop.parent, counters), *own]
