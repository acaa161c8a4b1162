"""What the table of the graph level cannot say: how shapes and attributes of one operation fit together.

Each rule returns the reason why an operation is not legal, or None. Dtypes of elementwise
operations are free: the importer keeps torch's promotions.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from meshc.ir.core import Block, Operation, TensorType
from meshc.ir.spec import Check
from meshrt.diagnostics import MeshError
from meshrt.program.expr import names_in
from meshrt.program.parser import parse_expr

Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Shapes:
    """What a rule looks at: the shapes of an operation's operands and of its (first) result, and its attributes."""

    operands: tuple[Shape, ...]
    result: Shape
    attributes: Mapping[str, Any]


_BRACES = re.compile(r"\{([^{}]*)\}")


def on_shapes(rule: Callable[[Shapes], str | None]) -> Check:
    """A check that first asks for tensors everywhere and then gives the rule their shapes."""

    def check(op: Operation) -> str | None:
        types = [value.type for value in (*op.operands, *op.results)]
        shapes = [type.shape for type in types if isinstance(type, TensorType)]
        if len(shapes) != len(types):
            return "operands and results are tensors at this level"
        count = len(op.operands)
        return rule(Shapes(tuple(shapes[:count]), shapes[count], op.attributes))

    return check


def text(shape: Sequence[int]) -> str:
    """``[1, 64, 576]``."""
    return f"[{', '.join(map(str, shape))}]"


def broadcast(*shapes: Sequence[int]) -> tuple[int, ...] | None:
    """The shape that these broadcast to (aligned at the last dimension), or None where they do not."""
    rank = max(map(len, shapes), default=0)
    result: list[int] = []
    for i in range(-rank, 0):
        extents = [shape[i] for shape in shapes if len(shape) >= -i]
        wide = [extent for extent in extents if extent != 1]
        if any(extent != wide[0] for extent in wide):
            return None
        result.append(wide[0] if wide else 1)
    return tuple(result)


def _expect(op: Shapes, expected: Sequence[int]) -> str | None:
    if op.result == tuple(expected):
        return None
    return f"it gives {text(expected)}, but its result is declared as {text(op.result)}"


@on_shapes
def same_shape(op: Shapes) -> str | None:
    """The result has the shape of the first operand."""
    return _expect(op, op.operands[0])


@on_shapes
def same_operands(op: Shapes) -> str | None:
    """All operands and the result have one shape."""
    if any(shape != op.operands[0] for shape in op.operands):
        return f"its operands have the shapes {' and '.join(map(text, op.operands))}"
    return _expect(op, op.operands[0])


@on_shapes
def elementwise(op: Shapes) -> str | None:
    """Operands broadcast to the result; one operand comes with a number, two without."""
    if "scalar" in op.attributes and len(op.operands) == 2:
        return "it has two operands and a scalar; one of them must go"
    if "scalar" not in op.attributes and len(op.operands) == 1:
        return "it has one operand; give a second or the attribute 'scalar'"
    if "reversed" in op.attributes and "scalar" not in op.attributes:
        return "'reversed' puts the scalar first; without a scalar, exchange the operands"
    return _broadcasts(op)


@on_shapes
def selection(op: Shapes) -> str | None:
    """Condition and the two sides, of which numbers are attributes."""
    numbers = ("then" in op.attributes) + ("otherwise" in op.attributes)
    if len(op.operands) + numbers != 3:
        return f"a condition and two sides are three, not {len(op.operands) + numbers} (operands and numbers)"
    return _broadcasts(op)


def _broadcasts(op: Shapes) -> str | None:
    common = broadcast(*op.operands)
    if common is None:
        return f"operands {' and '.join(map(text, op.operands))} do not broadcast"
    return _expect(op, common)


def function(op: Operation) -> str | None:
    """One of a phase says its context; one of the decode phase works on one token and caches that many."""
    phase, context = op.attributes.get("phase"), op.attributes.get("context")
    if (phase is None) != (context is None):
        return "a phase comes with the attribute 'context', no other function has it"
    if context is not None and context < 1:
        return f"its context is {context} tokens"
    if "prefilled" in op.attributes and phase != "decode":
        return "only the phase decode goes on from caches"
    caches = set()
    for inner in op.walk():
        cache = inner.attributes.get("cache")
        if inner.name in ("graph.attention", "graph.cached_attention") and cache is not None:
            if phase != ("prefill" if inner.name == "graph.attention" else "decode"):
                return f"{cache} does not belong to a function of this phase"
            if inner.attributes.get("context", context) != context:
                return f"{cache} is of another context than the function"
            if cache in caches:
                return f"{cache} is the cache of two attentions"
            caches.add(cache)
    tokens = {value.type.shape[-1] for value in op.regions[0].args if isinstance(value.type, TensorType)}
    if phase == "decode" and tokens != {1}:
        return "it is of the decode phase, but its inputs are not of one token"
    return None


def weight(op: Operation) -> str | None:
    """Index expressions in the name use the counters of the loops around it."""
    return name_template(op, op.attributes["name"])


def name_template(op: Operation, name: str) -> str | None:
    """Index expressions in a name that an operation uses read the counters of the loops around it."""
    counters: set[str] = set()
    block: Block | None = op.parent
    while block is not None and block.parent is not None:
        if block.parent.name == "graph.repeat":
            counters.add(str(block.parent.attributes.get("counter")))
        block = block.parent.parent
    if not set("{}").isdisjoint(_BRACES.sub("", name)):
        return f"the braces in {name!r} do not match"
    for inside in _BRACES.findall(name):
        try:
            unknown = sorted(names_in(parse_expr(inside)) - counters)
        except MeshError as error:
            return f"{{{inside}}} is no index expression: {error.diagnostic.message}"
        if unknown:
            return f"{{{inside}}} reads {', '.join(unknown)}, which counts no loop around it"
    return None


@on_shapes
def positions(op: Shapes) -> str | None:
    """One number for each token."""
    return None if len(op.result) == 1 else f"the result has one dimension, not {text(op.result)}"


@on_shapes
def embedding(op: Shapes) -> str | None:
    """Rows of a table, one for each index."""
    table, indices = op.operands
    if len(table) != 2:
        return f"the table is [entries, features], not {text(table)}"
    return _expect(op, (*indices, table[1]))


@on_shapes
def linear(op: Shapes) -> str | None:
    """An input [.., K] times a weight, [N, K] ("nk") or [K, N] ("kn"), rows start to stop of N, plus a bias [N]."""
    x, w = op.operands[:2]
    if len(x) < 1 or len(w) != 2:
        return f"it takes x [.., features] and a weight of two dimensions, not {text(x)} and {text(w)}"
    outputs, inputs = w if op.attributes["weight"] == "nk" else (w[1], w[0])
    if x[-1] != inputs:
        return f"x has {x[-1]} features but the weight {text(w)} ({op.attributes['weight']}) takes {inputs}"
    if len(op.operands) == 3 and op.operands[2] != (outputs,):
        return f"the bias is {text((outputs,))}, not {text(op.operands[2])}"
    rows = op.attributes.get("rows", (0, outputs))
    if len(rows) != 2 or not all(type(row) is int for row in rows) or not 0 <= rows[0] < rows[1] <= outputs:
        return f"rows are [start, stop] within 0 to {outputs}, not {text(rows)}"
    return _expect(op, (*x[:-1], rows[1] - rows[0]))


@on_shapes
def norm(op: Shapes) -> str | None:
    """A norm over the last dimension, or over each of its heads; weight and bias are as long as what is normed."""
    x = op.operands[0]
    heads = op.attributes.get("heads", 1)
    if heads < 1 or x[-1] % heads:
        return f"{heads} heads do not divide {x[-1]} features"
    for parameter in op.operands[1:]:
        if parameter != (x[-1] // heads,):
            return f"it norms {x[-1] // heads} features, but a parameter is {text(parameter)}"
    return _expect(op, x)


@on_shapes
def rope(op: Shapes) -> str | None:
    """An input [.., S, heads * head_dim], positions [S], frequencies [rotary_dim / 2]."""
    x, places, frequencies = op.operands
    heads, head_dim, rotary = (op.attributes[name] for name in ("heads", "head_dim", "rotary_dim"))
    if x[-1] != heads * head_dim:
        return f"{heads} heads of {head_dim} are not {x[-1]} features"
    if rotary % 2 or not 0 < rotary <= head_dim:
        return f"rotary_dim is even and at most head_dim ({head_dim}), not {rotary}"
    if frequencies != (rotary // 2,):
        return f"the frequencies are {text((rotary // 2,))}, not {text(frequencies)}"
    if len(places) != 1 or (len(x) > 1 and places[0] != x[-2]):
        return f"there is one position per token, not {text(places)} for {text(x)}"
    return _expect(op, x)


def attention(op: Operation) -> str | None:
    """Shapes that fit; a cache's name may hold the counters of the loops around it."""
    reason = _attention(op)
    if reason is None and "cache" in op.attributes:
        reason = name_template(op, op.attributes["cache"])
    return reason


@on_shapes
def _attention(op: Shapes) -> str | None:
    """Queries [B, S, heads * head_dim], keys [B, T, kv_heads * head_dim], values [B, T, kv_heads * value_dim]."""
    q, k, v = op.operands
    names = ("heads", "kv_heads", "head_dim", "value_dim")
    heads, kv_heads, head_dim, value_dim = (op.attributes[name] for name in names)
    if min(heads, kv_heads) < 1 or heads % kv_heads:
        return f"{kv_heads} KV heads do not divide {heads} heads"
    for what, shape, count, size in (
        ("q", q, heads, head_dim),
        ("k", k, kv_heads, head_dim),
        ("v", v, kv_heads, value_dim),
    ):
        if len(shape) != 3 or shape[-1] != count * size:
            return f"{what} is [batch, tokens, {count} * {size}], not {text(shape)}"
    if k[:2] != v[:2] or q[0] != k[0]:
        return f"q {text(q)}, k {text(k)} and v {text(v)} differ in batch or tokens"
    if (op.attributes["mask"] == "window") != ("window" in op.attributes):
        return "a window mask comes with the attribute 'window', no other mask does"
    return _expect(op, (*q[:2], heads * value_dim))


def cached_attention(op: Operation) -> str | None:
    """Attention of one token, [B, 1, ..]."""
    reason = attention(op)
    if reason is None:
        shapes = [value.type.shape for value in op.operands if isinstance(value.type, TensorType)]
        if any(shape[1] != 1 for shape in shapes):
            return f"it takes one token, not {text(shapes[0])}"
    return reason


@on_shapes
def scaled_dot_product(op: Shapes) -> str | None:
    """Queries [.., S, D], keys [.., T, D], values [.., T, E], all with as many leading dimensions."""
    q, k, v = op.operands[:3]
    if not len(q) == len(k) == len(v) >= 2 or q[-1] != k[-1] or k[-2] != v[-2]:
        return f"q {text(q)}, k {text(k)} and v {text(v)} do not fit"
    return _expect(op, (*q[:-1], v[-1]))


@on_shapes
def matmul(op: Shapes) -> str | None:
    """[.., M, K] times [.., K, N]; leading dimensions broadcast."""
    a, b = op.operands
    batch = broadcast(a[:-2], b[:-2])
    if min(len(a), len(b)) < 2 or a[-1] != b[-2] or batch is None:
        return f"{text(a)} and {text(b)} cannot be multiplied"
    return _expect(op, (*batch, a[-2], b[-1]))


def _dims_of(op: Shapes, rank: int) -> tuple[int, ...] | None:
    dims = op.attributes["dims"]
    return dims if all(type(d) is int and 0 <= d < rank for d in dims) and len(set(dims)) == len(dims) else None


@on_shapes
def reduction(op: Shapes) -> str | None:
    """The reduced dimensions stay, with extent 1."""
    dims = _dims_of(op, len(op.operands[0]))
    if dims is None:
        return f"dims {text(op.attributes['dims'])} are no dimensions of {text(op.operands[0])}"
    return _expect(op, [1 if i in dims else extent for i, extent in enumerate(op.operands[0])])


@on_shapes
def softmax(op: Shapes) -> str | None:
    """Along one dimension."""
    if not 0 <= op.attributes["dim"] < len(op.operands[0]):
        return f"dim {op.attributes['dim']} is no dimension of {text(op.operands[0])}"
    return _expect(op, op.operands[0])


@on_shapes
def reshape(op: Shapes) -> str | None:
    """The same elements in the same order."""
    if math.prod(op.operands[0]) != math.prod(op.result):
        return f"{text(op.operands[0])} and {text(op.result)} hold different numbers of elements"
    return _expect(op, op.attributes["shape"])


@on_shapes
def permute(op: Shapes) -> str | None:
    """Dimension i of the result is dimension dims[i] of the operand."""
    dims = _dims_of(op, len(op.operands[0]))
    if dims is None or len(dims) != len(op.operands[0]):
        return f"dims {text(op.attributes['dims'])} are no order of the dimensions of {text(op.operands[0])}"
    return _expect(op, [op.operands[0][d] for d in dims])


@on_shapes
def expand(op: Shapes) -> str | None:
    """Broadcast to a shape."""
    shape = op.attributes["shape"]
    if broadcast(op.operands[0], shape) != tuple(shape):
        return f"{text(op.operands[0])} does not broadcast to {text(shape)}"
    return _expect(op, shape)


@on_shapes
def slice_of(op: Shapes) -> str | None:
    """Elements start:stop:step of one dimension."""
    shape = list(op.operands[0])
    dim, start, stop = (op.attributes[name] for name in ("dim", "start", "stop"))
    step = op.attributes.get("step", 1)
    if not 0 <= dim < len(shape):
        return f"dim {dim} is no dimension of {text(shape)}"
    if not 0 <= start <= stop <= shape[dim] or step < 1:
        return f"{start}:{stop}:{step} is not within 0 to {shape[dim]}"
    shape[dim] = len(range(start, stop, step))
    return _expect(op, shape)


@on_shapes
def concat(op: Shapes) -> str | None:
    """One after another along one dimension."""
    dim, shape = op.attributes["dim"], list(op.operands[0])
    if not 0 <= dim < len(shape):
        return f"dim {dim} is no dimension of {text(shape)}"
    for other in op.operands[1:]:
        if len(other) != len(shape) or [*other[:dim], *other[dim + 1 :]] != [*shape[:dim], *shape[dim + 1 :]]:
            return f"{text(op.operands[0])} and {text(other)} differ beside dim {dim}"
    shape[dim] = sum(operand[dim] for operand in op.operands)
    return _expect(op, shape)


def cast(op: Operation) -> str | None:
    """The result has the dtype of the attribute and the operand's shape."""
    operand, result = op.operands[0].type, op.result.type
    if not isinstance(operand, TensorType) or result != TensorType(operand.shape, op.attributes["dtype"]):
        return f"the result is the operand as {op.attributes['dtype']}"
    return None


def repeat(op: Operation) -> str | None:
    """What is carried keeps its types: operands, arguments, yielded values and results."""
    if op.attributes["count"] < 1:
        return f"count is {op.attributes['count']}; a loop runs at least once"
    body = op.regions[0]
    carried = [v.type for v in op.operands]
    for what, values in (
        ("arguments", body.args),
        ("yielded values", body.ops[-1].operands),
        ("results", op.results),
    ):
        if [v.type for v in values] != carried:
            return f"its {what} do not have the types of its operands"
    return None
