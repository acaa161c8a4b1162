"""What the table of the tile level cannot say: which operands are shards, which weights, and whose layouts agree.

Each rule returns the reason why an operation is not legal, or None.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from meshc.dialects.layout import Block, Cyclic, Heads, Layout
from meshc.dialects.shard import ShardType
from meshc.ir.core import Block as IRBlock
from meshc.ir.core import Operation, TensorType, Value
from meshc.ir.spec import Check

#: Operations that only one phase has.
_PHASES = {
    "tile.gemm": "prefill",
    "tile.gemm_transposed": "prefill",
    "tile.attention": "prefill",
    "tile.keep": "prefill",
    "tile.relayout_cache": "prefill",
    "tile.take_cache": "decode",
    "tile.gemv": "decode",
    "tile.cached_attention": "decode",
    "tile.sample": "decode",
}


def function(op: Operation) -> str | None:
    """Its arguments are the model's inputs, whole: token ids of every sequence.

    All shards are cut for its grid and phase, but for those on either side of a relayout.
    """
    width, height, *ids = (op.attributes[key] for key in ("width", "height", "batch", "sequence"))
    if min(width, height, *ids) < 1:
        return "its extents must be positive"
    for value in op.regions[0].args:
        if not isinstance(value.type, TensorType) or value.type.shape != tuple(ids):
            return f"an argument is not a tensor of {ids[0]} x {ids[1]} token ids"
    phase = op.attributes.get("phase", "prefill")
    if phase == "decode" and ids[1] != 1:
        return f"a step of decode has one token of each sequence, not {ids[1]}"
    fits = ShardType.alike if phase == "decode" else ShardType.plain
    for inner in op.walk():
        if _PHASES.get(inner.name, phase) != phase:
            return f"{inner.name} is for {_PHASES[inner.name]}, and the function's phase is {phase}"
        if inner.name == "tile.relayout":
            continue
        for values, does in ((inner.results, "gives"), (inner.operands, "takes")):
            if not all(fits(v.type, ids[0] * ids[1], width, height) for v in values if isinstance(v.type, ShardType)):
                return f"{inner.name} {does} a shard that is not cut for {width} x {height} PEs and these tokens"
    return _goes_on(op) if op.attributes.get("prefilled") else None


def _goes_on(decode: Operation) -> str | None:
    """The prefill in its module, if there is one, keeps for every cache what decode looks for in a column of PEs."""
    functions = decode.parent.ops if decode.parent is not None else []
    prefill = [func for func in functions if func.attributes.get("phase") == "prefill"]
    if not prefill:
        return None
    sent, taken = (
        _moved(func, name) for func, name in ((prefill[0], "tile.relayout_cache"), (decode, "tile.take_cache"))
    )
    if sent != taken:
        return "it does not take the caches that prefill sends, in their order"
    kept = _cached(prefill[0], "tile.keep", 0)
    for cache, layouts in _cached(decode, "tile.cached_attention", 1).items():
        if kept.get(cache) != layouts:
            return f"keys and values of {cache} lie otherwise over x than prefill keeps them"
    return None


def _moved(func: Operation, name: str) -> list[tuple[object, ...]]:
    """The caches that operations of a name move, for how many tokens these have room, and how tokens lie there."""
    keys = ("context", "kv", "caches")
    return [tuple(op.attributes.get(key) for key in keys) for op in func.walk() if op.name == name]


def _cached(func: Operation, name: str, first: int) -> dict[str, list[Layout]]:
    """How keys and values of each cache lie over x; they are two operands from ``first`` on."""
    return {
        op.attributes["cache"]: [v.type.x for v in op.operands[first : first + 2] if isinstance(v.type, ShardType)]
        for op in func.walk()
        if op.name == name
    }


def weight(op: Operation) -> str | None:
    """A whole tensor."""
    return None if isinstance(op.result.type, TensorType) else "its result is not a tensor"


def shards(count: int | None = None) -> Check:
    """The first ``count`` operands (all of them by default) and the results are shards, the other operands weights."""

    def check(op: Operation) -> str | None:
        first = len(op.operands) if count is None else count
        if not _are_shards(op.results):
            return "its result must be a shard"
        if not _are_shards(op.operands[:first]):
            return "it works on shards"
        return None if _are_weights(op.operands[first:]) else "a parameter of it is not a weight"

    return check


def both(*checks: Check) -> Check:
    """All checks, one after another."""

    def check(op: Operation) -> str | None:
        return next((reason for each in checks if (reason := each(op)) is not None), None)

    return check


def same_cut(op: Operation) -> str | None:
    """Every operand that is a shard is cut as the result."""
    if len({(v.type.y, v.type.x) for v in (*op.operands, op.result) if isinstance(v.type, ShardType)}) > 1:
        return "its operands and its result are cut in different ways"
    return None


def by_heads(op: Operation) -> str | None:
    """Operands and results lie by heads."""
    for value in (*op.operands, *op.results):
        if isinstance(value.type, ShardType) and not isinstance(value.type.x, Heads):
            return "its operands and its result must lie by heads"
    return None


def norm(op: Operation) -> str | None:
    """A norm of single heads works on heads."""
    return by_heads(op) if op.attributes.get("heads") else None


def embedding(op: Operation) -> str | None:
    """A table and the token ids."""
    table, ids = op.operands
    block = ids.owner if ids.op is None else None
    function = block.parent if isinstance(block, IRBlock) else None
    if not _are_weights([table]) or function is None or function.name != "func":
        return "it takes a weight and an argument of the function"
    return None if _are_shards(op.results) else "its result must be a shard"


def elementwise(op: Operation) -> str | None:
    """Shards cut alike, feature vectors or one number."""
    numbers = 1 if "scalar" in op.attributes else 0
    if len(op.operands) + numbers != 2:
        return f"a pair of operands is two, not {len(op.operands) + numbers} (operands and numbers)"
    vectors = [v for v in op.operands if not isinstance(v.type, ShardType)]
    if not _are_shards(op.results) or not _are_weights(vectors) or len(vectors) == len(op.operands):
        return "its result and one operand must be shards, the other one too or a feature vector"
    return same_cut(op)


def gemm(op: Operation) -> str | None:
    """One part for each result, its weight and bias among the operands."""
    parts = op.attributes["parts"]
    if len(parts) != len(op.results):
        return f"it has {len(parts)} parts and {len(op.results)} results"
    keys: dict[str, Callable[[object], bool]] = {
        "weight": lambda v: type(v) is int and 0 < v < len(op.operands),
        "order": lambda v: v in ("nk", "kn"),
        "start": lambda v: type(v) is int,
        "stop": lambda v: type(v) is int,
    }
    for part in parts:
        if not isinstance(part, dict) or not all(key in part and valid(part[key]) for key, valid in keys.items()):
            return "a part names its weight and bias (operands), order, start and stop"
        if "bias" in part and not keys["weight"](part["bias"]):
            return "a part's bias is one of the operands"
    return shards(1)(op)


def gemv(op: Operation) -> str | None:
    """A gemm whose results lie over the axis that its input does not lie over."""
    reason = gemm(op)
    if reason is not None:
        return reason
    axis = op.operands[0].type.axis  # type: ignore[attr-defined]
    if any(result.type.axis == axis for result in op.results):  # type: ignore[attr-defined]
        return f"its input lies over {axis}, so its results must lie over the other axis"
    norm = op.attributes.get("norm")
    if norm is None:
        return None
    weight = norm.get("weight", 1)
    sound = isinstance(norm.get("eps"), float | int) and isinstance(norm.get("unit_offset"), bool)
    if not sound or type(weight) is not int or not 0 < weight < len(op.operands):
        return "its norm names eps, unit_offset and, where it has one, its weight (an operand)"
    return None


def cached_attention(op: Operation) -> str | None:
    """Heads, and a cache that has room."""
    if op.attributes["context"] < 1:
        return "its cache must hold a token"
    return by_heads(op)


def caches(op: Operation) -> str | None:
    """Of each cache its name, the features of keys and values, and the counts of loops around it."""
    if op.attributes["context"] < 1:
        return "a cache must hold a token"
    for cache in op.attributes["caches"]:
        sizes = [cache.get("keys"), cache.get("values"), *cache.get("layers", ())] if isinstance(cache, dict) else []
        if not sizes or not isinstance(cache.get("cache"), str) or not all(type(n) is int and n > 0 for n in sizes):
            return "a cache has its name in cache, keys and values (features in a PE) and layers (a list of counts)"
    return None


def gemm_transposed(op: Operation) -> str | None:
    """Its result lies in blocks, one for each row of the grid."""
    reason = shards(1)(op)
    if reason is None and not isinstance(op.result.type.x, Block | Cyclic):  # type: ignore[attr-defined]
        return "its result must lie in blocks"
    return reason


def relayout(op: Operation) -> str | None:
    """A shard and the same one elsewhere: as many tokens and features, corners in the grid."""
    reason = shards()(op)
    if reason is not None:
        return reason
    source, target = (value.type for value in (*op.operands, *op.results))
    assert isinstance(source, ShardType) and isinstance(target, ShardType)
    if source.shape != target.shape:
        return "its operand has {} tokens of {} features, its result {} of {}".format(*source.shape, *target.shape)
    if min(*source.origin, *target.origin) < 0:
        return "the corner of a shard lies outside the grid"
    return None


def sample(op: Operation) -> str | None:
    """Logits whose vocabulary lies over x, to one token of each sequence."""
    (logits,), (ids,) = op.operands, op.results
    if not isinstance(logits.type, ShardType) or logits.type.axis != "x":
        return "it takes logits that lie over x"
    if not isinstance(ids.type, TensorType) or ids.type.shape != (logits.type.shape[0], 1):
        return f"its result is a tensor of {logits.type.shape[0]} x 1 token ids"
    return None


def output(op: Operation) -> str | None:
    """Shards, each with a name and a shape [batch, sequence, features]."""
    names, shapes = op.attributes["names"], op.attributes["shapes"]
    if not len(names) == len(shapes) == len(op.operands) or not all(isinstance(name, str) for name in names):
        return "each operand has a name and a shape"
    if not all(isinstance(s, tuple) and len(s) == 3 and all(type(n) is int for n in s) for s in shapes):
        return "a shape is [batch, sequence, features]"
    return shards()(op)


def _are_shards(values: Sequence[Value]) -> bool:
    return all(isinstance(v.type, ShardType) for v in values)


def _are_weights(values: Sequence[Value]) -> bool:
    return all(v.op is not None and v.op.name == "tile.weight" for v in values)
