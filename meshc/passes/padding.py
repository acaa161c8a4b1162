"""How much of the work is padding: an analysis of the tile level, for reports.

Dimensions that do not divide the grid are padded to equal tiles. What a run counts as
multiply-adds includes them; the counts here say how many the model itself needs.
"""

from __future__ import annotations

from collections.abc import Mapping

from meshc.dialects.shard import ShardType
from meshc.ir.core import Module, Operation


def useful_macs(module: Module) -> int:
    """Multiply-adds of the model's own sizes in a tile-level module, linear operations and attention, all layers."""
    return sum(_macs(op) * _iterations(op) for op in module.walk())


def padding_report(module: Module) -> Mapping[str, object]:
    """Useful multiply-adds (of prefill), and for tokens and each feature extent (own extent, padded extent)."""
    tokens: tuple[int, int] | None = None
    features: set[tuple[int, int]] = set()
    for op in module.walk():
        for result in op.results:
            # A relayout's result may lie any way round; the tensor is one that stands here already.
            if isinstance(result.type, ShardType) and op.name != "tile.relayout":
                tokens = (result.type.tokens.extent, result.type.tokens.padded)
                features.add((result.type.features.extent, result.type.features.padded))
    pairs = {"features": [list(pair) for pair in sorted(features)]}
    if any(func.attributes.get("phase") == "decode" for func in module.body.ops):
        # One token of each sequence; what is useful of its products with keys depends on how many there are.
        return pairs
    return {"useful_macs": useful_macs(module), "tokens": list(tokens or (0, 0)), **pairs}


def _macs(op: Operation) -> int:
    match op.name:
        case "tile.gemm":
            x = op.operands[0].type
            assert isinstance(x, ShardType)
            outputs = sum(r.type.x.extent for r in op.results if isinstance(r.type, ShardType))
            return x.y.extent * x.x.extent * outputs
        case "tile.gemm_transposed":
            x, result = op.operands[0].type, op.result.type
            assert isinstance(x, ShardType) and isinstance(result, ShardType)
            return x.y.extent * x.x.extent * result.x.extent
        case "tile.attention":
            a = op.attributes
            type = op.result.type
            assert isinstance(type, ShardType)
            # Each query meets every key of its sequence; a causal mask still forms the whole square.
            pairs = type.y.extent * a["sequence"]
            return pairs * a["heads"] * (a["head_dim"] + a.get("value_dim", a["head_dim"]))
    return 0


def _iterations(op: Operation) -> int:
    count = 1
    block = op.parent
    while block is not None and block.parent is not None:
        owner = block.parent
        if owner.name == "tile.repeat":
            count *= owner.attributes["count"]
        block = owner.parent
    return count
