"""Which operations of the graph level the tile level takes, and for the rest the nearest form that it does.

The fusing passes end in these forms; what is left in another one stops the compilation with the user's line.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from meshc.dialects.elementwise import BINARY, UNARY
from meshc.ir.core import Block, Location, Module, Operation, TensorType, Value

_LEAVES = ("graph.weight", "graph.positions")

#: What a user looks for first when a pattern did not match; what is not named comes after these and before the rest.
_TELLING = (
    ("graph.softmax", "graph.scaled_dot_product"),
    ("graph.heads_attention",),
    ("graph.layer_norm", "graph.rms_norm", "graph.embedding", "graph.linear"),
    ("graph.mean", "graph.var", "graph.sum", "graph.matmul", "graph.where", "graph.pow"),
    (),
    ("graph.reshape", "graph.permute", "graph.expand", "graph.slice", "graph.concat", "graph.cast"),
)
#: Where operations that the table does not name stand in it.
_UNNAMED = 5
_INTEGERS = ("i64", "i32")
#: What a user knows under another name.
_SPOKEN: Mapping[str, str] = MappingProxyType({"func": "the model's inputs", "return": "the model's result"})


@dataclass(frozen=True, slots=True)
class Uncovered:
    """An operation that stops here: the name the user knows it by, its line, the reason and the nearest form."""

    op: str
    location: Location
    reason: str
    nearest: str


def unsupported(module: Module) -> list[Uncovered]:
    """Every operation of a graph module, after the fusing passes, that the tile level does not take, in order."""
    found = []
    for op in module.walk():
        reason = why_uncovered(op)
        if reason is not None:
            name = op.attributes.get("target") or _SPOKEN.get(op.name, op.name)
            found.append(Uncovered(name, op.location, reason, nearest_form(op)))
    return found


def telling(found: list[Uncovered]) -> Uncovered:
    """Of several the one to name first: calls that nothing represents, then arithmetic, then mere rearrangements."""

    def rank(one: Uncovered) -> int:
        if one.op.startswith("aten."):
            return 0
        return next((i for i, names in enumerate(_TELLING, start=1) if one.op in names), _UNNAMED)

    return min(found, key=rank)


def why_uncovered(op: Operation) -> str | None:
    """The reason why the tile level does not take an operation; None where it does."""
    if op.name in _LEAVES:
        return None
    rule = _RULES.get(op.name)
    if rule is None:
        name = op.name.removeprefix("graph.")
        if name in UNARY:
            rule = _activations
        elif name in BINARY:
            rule = _binary
        else:
            return "nothing on the mesh computes it"
    return rule(op)


def nearest_form(op: Operation) -> str:
    """What the user could write instead."""
    if op.name == "graph.aten":
        target = ".".join(op.attributes["target"].split(".")[:2])
        close = difflib.get_close_matches(target.rstrip("_"), _NEAREST_ATEN, n=1, cutoff=0.5)
        return _NEAREST_ATEN[close[0]] if close else _LAYERS
    return _NEAREST.get(op.name, _LAYERS)


def _is_weight(value: Value) -> bool:
    return value.op is not None and value.op.name == "graph.weight"


def _shape(value: Value) -> tuple[int, ...]:
    return value.type.shape if isinstance(value.type, TensorType) else ()


def _activation(value: Value) -> bool:
    """[batch, tokens, features]."""
    return len(_shape(value)) == 3 and not _is_weight(value)


def _is_token_ids(value: Value) -> bool:
    """An input of the model: integers, [batch, tokens]."""
    block = value.owner if value.op is None else None
    is_input = isinstance(block, Block) and block.parent is not None and block.parent.name == "func"
    return is_input and isinstance(value.type, TensorType) and value.type.rank == 2 and value.type.dtype in _INTEGERS


def _activations(op: Operation) -> str | None:
    """All operands are activations."""
    if all(map(_activation, op.operands)):
        return None
    return "it works on a tensor that is not [batch, tokens, features]"


def _rope(op: Operation) -> str | None:
    x, positions, frequencies = op.operands
    if positions.op is None or positions.op.name != "graph.positions" or not _is_weight(frequencies):
        return "its positions or frequencies are computed; they must be the tokens' positions and a weight"
    return None if _activation(x) else "it works on a tensor that is not [batch, tokens, features]"


def _binary(op: Operation) -> str | None:
    wide = _shape(op.result)
    if len(wide) != 3 or not any(_activation(v) and _shape(v) == wide for v in op.operands):
        return "neither operand is an activation [batch, tokens, features] of the result's size"
    for value in op.operands:
        alike = _activation(value) and _shape(value) == wide
        vector = _is_weight(value) and _shape(value) == wide[-1:]
        if not (alike or vector or _is_position_embedding(value)):
            return f"one operand is {'x'.join(map(str, _shape(value)))}, which repeats in a way that nothing computes"
    return None


def _is_position_embedding(value: Value) -> bool:
    made = value.op
    return (
        made is not None
        and made.name == "graph.embedding"
        and made.operands[1].op is not None
        and made.operands[1].op.name == "graph.positions"
    )


def _function(op: Operation) -> str | None:
    shapes = {_shape(value) for value in op.regions[0].args}
    if len(shapes) == 1 and all(map(_is_token_ids, op.regions[0].args)):
        return None
    return "its inputs are not token ids, integers [batch, tokens]"


def _embedding(op: Operation) -> str | None:
    table, indices = op.operands
    if not _is_weight(table):
        return "its table is computed, not a weight"
    if _is_token_ids(indices) or (indices.op is not None and indices.op.name == "graph.positions"):
        return None
    return "its indices are computed; they must be the model's token ids or the tokens' positions"


def _parameters(first: int) -> Callable[[Operation], str | None]:
    def rule(op: Operation) -> str | None:
        if not all(_is_weight(v) for v in op.operands[first:]):
            return "a parameter of it is computed, not a weight"
        if not _activation(op.operands[0]):
            return "it works on a tensor that is not [batch, tokens, features]"
        return None

    return rule


_RULES: Mapping[str, Callable[[Operation], str | None]] = MappingProxyType(
    {
        "graph.embedding": _embedding,
        "graph.linear": _parameters(1),
        "graph.rms_norm": _parameters(1),
        "graph.layer_norm": _parameters(1),
        "graph.rope": _rope,
        "graph.attention": _activations,
        "graph.cached_attention": _activations,
        "graph.glu": _activations,
        "graph.repeat": _activations,
        "graph.yield": _activations,
        "return": _activations,
        "func": _function,
    }
)

_LAYERS = (
    "embeddings, nn.Linear, RMSNorm, LayerNorm, rotary embeddings, attention with a causal, full or sliding-window "
    "mask, gated and plain activations, and elementwise arithmetic are supported"
)
_ATTENTION = (
    "softmax(scale * q @ k.T + mask) @ v over the keys, or F.scaled_dot_product_attention, with a mask that is "
    "causal, full or a sliding window, and q, k and v rearranged from one projection each"
)
_NORM = "RMSNorm or LayerNorm over the last dimension"
_ROWS = "activations [batch, tokens, features]; heads are split with view and transpose right before attention only"
_PRODUCT = "nn.Linear (a product with a weight), or attention"
_SELECTION = "a mask that is added to attention's scores, or torch.where with one, causal or a sliding window"
_ACTIVATION = f"one of the activations {', '.join(name for name in UNARY if name not in ('identity', 'neg'))}"

_NEAREST: Mapping[str, str] = MappingProxyType(
    {
        "graph.softmax": _ATTENTION,
        "graph.heads_attention": _ATTENTION,
        "graph.scaled_dot_product": _ATTENTION,
        "graph.matmul": _PRODUCT,
        **{f"graph.{name}": _NORM for name in ("mean", "sum", "var", "max", "min")},
        **{f"graph.{name}": _ROWS for name in ("reshape", "permute", "expand", "slice", "concat")},
        "graph.where": _SELECTION,
        "graph.compare": _SELECTION,
        "graph.cast": "activations of one floating-point dtype",
        "graph.pow": "a product, a square or a square root",
        "graph.embedding": "nn.Embedding of the token ids, or of positions 0, 1, 2, ..",
        "graph.linear": "nn.Linear whose weight is a parameter",
        "func": "a forward that takes token ids, int64 [batch, tokens], and nothing else",
        "return": "logits or hidden states, [batch, tokens, features]",
    }
)

_NEAREST_ATEN: Mapping[str, str] = MappingProxyType(
    {
        **{f"aten.{n}": _ATTENTION for n in ("scaled_dot_product_attention", "softmax", "log_softmax", "softmax_one")},
        **{
            f"aten.{n}": _PRODUCT
            for n in ("conv1d", "convolution", "conv2d", "bilinear", "einsum", "outer", "tensordot")
        },
        **{f"aten.{n}": _NORM for n in ("group_norm", "batch_norm", "instance_norm")},
        **{
            f"aten.{n}": _SELECTION for n in ("masked_select", "masked_scatter", "scatter", "index_put", "triu", "tril")
        },
        **{
            f"aten.{n}": _ACTIVATION
            for n in (
                "elu",
                "selu",
                "celu",
                "leaky_relu",
                "prelu",
                "softplus",
                "softsign",
                "hardtanh",
                "logsigmoid",
                "glu",
            )
        },
        **{
            f"aten.{n}": _ROWS
            for n in ("roll", "flip", "gather", "index_select", "index", "unfold", "pad", "topk", "sort")
        },
    }
)
