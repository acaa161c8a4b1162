"""The graph level: whole tensors, and the operations of a language model on them.

After the fusing passes heads are packed: queries, keys, values and attention's result are
[batch, tokens, heads * head_dim], and no reshape or permutation is left around them.
"""

from __future__ import annotations

from dataclasses import replace

from meshc.dialects import graph_rules as rules
from meshc.dialects.functions import FUNCTIONS
from meshc.ir.spec import ANY, Count, Dialect, OpSpec, exactly, optional, required

#: Elementwise functions of one operand.
UNARY = (
    "abs", "cos", "erf", "exp", "expm1", "gelu", "gelu_quick", "gelu_tanh", "hardsigmoid", "hardswish", "identity",
    "log", "log1p", "logical_not", "mish", "neg", "reciprocal", "relu", "relu_squared", "rsqrt", "sigmoid", "silu",
    "sin", "sqrt", "square", "tanh",
)  # fmt: skip

#: Elementwise functions of two operands, or of one and a number.
BINARY = ("add", "sub", "mul", "div", "pow", "maximum", "minimum", "logical_and", "logical_or")

#: Reductions along dimensions.
REDUCTIONS = ("sum", "mean", "max", "min")

#: What ``graph.compare`` may ask.
RELATIONS = ("eq", "ne", "lt", "le", "gt", "ge")

_NUMBER = ("float", "int", "bool")

#: A function of the decode phase works on one token, of at most ``context`` tokens, and goes on from caches that are
#: not empty where it is ``prefilled``; one of the phase prefill fills them.
_PHASE = (
    optional("phase", words=("prefill", "decode")), optional("context", "int"), optional("prefilled", "bool")
)  # fmt: skip
_GRAPH_FUNCTIONS = tuple(
    replace(row, attributes=(*row.attributes, *_PHASE), check=rules.function) if row.name == "func" else row
    for row in FUNCTIONS
)

#: What every attention on packed heads says, but for its mask.
_ATTENTION = (
    required("heads", "int"),
    required("kv_heads", "int"),
    required("head_dim", "int"),
    required("value_dim", "int"),
    required("scale", "float", "int"),
    optional("window", "int"),
    optional("softcap", "float", "int"),
)

_ENTRIES = (
    OpSpec(
        "graph.weight",
        "a source tensor by its name, in which {braces} hold index expressions over loop counters",
        attributes=(required("name"),),
        check=rules.weight,
    ),
    OpSpec("graph.positions", "the position of every token, from 0 on", check=rules.positions),
    OpSpec(
        "graph.embedding",
        "rows of a table (first operand), one for each index (second operand)",
        operands=exactly(2),
        check=rules.embedding,
    ),
)

_FUSED = (
    OpSpec(
        "graph.linear",
        'x times a weight, [out, in] ("nk") or [in, out] ("kn"), plus a bias; rows [start, stop] take part of out',
        operands=Count(2, 3),
        attributes=(required("weight", words=("nk", "kn")), optional("rows", "list")),
        check=rules.linear,
    ),
    OpSpec(
        "graph.rms_norm",
        "x over the root of its mean square plus eps, times the weight (1 + weight with unit_offset)",
        operands=Count(1, 2),
        attributes=(required("eps", "float"), optional("unit_offset", "bool"), optional("heads", "int")),
        check=rules.norm,
    ),
    OpSpec(
        "graph.layer_norm",
        "x less its mean over its standard deviation (eps under the root), times weight, plus bias",
        operands=Count(1, 3),
        attributes=(required("eps", "float"),),
        check=rules.norm,
    ),
    OpSpec(
        "graph.rope",
        "rotary embedding: pairs of each head turned by position * frequency",
        operands=exactly(3),
        attributes=(
            required("heads", "int"),
            required("head_dim", "int"),
            required("rotary_dim", "int"),
            required("pairing", words=("half", "interleaved")),
            optional("scale", "float", "int"),
        ),
        check=rules.rope,
    ),
    OpSpec(
        "graph.attention",
        "softmax(scale * q k^T under the mask) v, heads / kv_heads query heads to each KV head; keys and values are "
        "kept for the cache that it names",
        operands=exactly(3),
        attributes=(*_ATTENTION, required("mask", words=("causal", "full", "window")), optional("cache")),
        check=rules.attention,
    ),
    OpSpec(
        "graph.cached_attention",
        "one token's attention: appends its key and value to a cache, and attends to what the mask allows of it",
        operands=exactly(3),
        attributes=(
            *_ATTENTION,
            required("mask", words=("causal", "window")),
            required("context", "int"),
            required("cache"),
        ),
        check=rules.cached_attention,
    ),
    OpSpec(
        "graph.glu",
        "activation(first operand) * second operand",
        operands=exactly(2),
        attributes=(required("activation", words=UNARY),),
        check=rules.same_operands,
    ),
)

_CONTROL = (
    OpSpec(
        "graph.repeat",
        "the region count times, its arguments first the operands and then what it yields",
        operands=ANY,
        results=ANY,
        attributes=(required("count", "int"), required("counter")),
        regions=exactly(1),
        ends_with="graph.yield",
        check=rules.repeat,
    ),
    OpSpec("graph.yield", "the end of a repeated region", operands=ANY, results=exactly(0), terminator=True),
)

_PRIMITIVES = (
    OpSpec("graph.matmul", "matrix product of the last two dimensions", operands=exactly(2), check=rules.matmul),
    OpSpec(
        "graph.scaled_dot_product",
        "attention as torch has it: heads a dimension of their own, the mask a fourth operand",
        operands=Count(3, 4),
        attributes=(required("scale", "float", "int"), optional("causal", "bool")),
        check=rules.scaled_dot_product,
    ),
    OpSpec(
        "graph.heads_attention",
        "attention with heads a dimension of their own, [batch, heads, tokens, head_dim], its mask recognised",
        operands=exactly(3),
        attributes=(
            required("scale", "float", "int"),
            required("mask", words=("causal", "full", "window")),
            optional("window", "int"),
            optional("softcap", "float", "int"),
        ),
        check=rules.scaled_dot_product,
    ),
    OpSpec(
        "graph.softmax",
        "softmax along dim",
        operands=exactly(1),
        attributes=(required("dim", "int"),),
        check=rules.softmax,
    ),
    OpSpec(
        "graph.var",
        "variance along dims, which stay with extent 1; the divisor is their size less the correction",
        operands=exactly(1),
        attributes=(required("dims", "list"), optional("correction", "float", "int")),
        check=rules.reduction,
    ),
    OpSpec(
        "graph.reshape",
        "the same elements in another shape",
        operands=exactly(1),
        attributes=(required("shape", "list"),),
        check=rules.reshape,
    ),
    OpSpec(
        "graph.permute",
        "dimensions in another order",
        operands=exactly(1),
        attributes=(required("dims", "list"),),
        check=rules.permute,
    ),
    OpSpec(
        "graph.expand",
        "broadcast to a shape",
        operands=exactly(1),
        attributes=(required("shape", "list"),),
        check=rules.expand,
    ),
    OpSpec(
        "graph.slice",
        "elements start:stop:step of dimension dim",
        operands=exactly(1),
        attributes=(
            required("dim", "int"),
            required("start", "int"),
            required("stop", "int"),
            optional("step", "int"),
        ),
        check=rules.slice_of,
    ),
    OpSpec(
        "graph.concat",
        "the operands one after another along dim",
        operands=Count(1, None),
        attributes=(required("dim", "int"),),
        check=rules.concat,
    ),
    OpSpec(
        "graph.cast",
        "the same numbers in another dtype",
        operands=exactly(1),
        attributes=(required("dtype"),),
        check=rules.cast,
    ),
    OpSpec(
        "graph.compare",
        "elementwise relation, of two operands or of one and a scalar",
        operands=Count(1, 2),
        attributes=(required("relation", words=RELATIONS), optional("scalar", *_NUMBER)),
        check=rules.elementwise,
    ),
    OpSpec(
        "graph.where",
        "second operand where the first is true, else the third; numbers are attributes in their place",
        operands=Count(1, 3),
        attributes=(optional("then", *_NUMBER), optional("otherwise", *_NUMBER)),
        check=rules.selection,
    ),
    OpSpec(
        "graph.aten",
        'an ATen call that nothing represents, kept for the error; "%n" in args is operand n',
        operands=ANY,
        results=ANY,
        attributes=(required("target"), optional("args", "list"), optional("kwargs", "dict")),
        more_attributes=True,
    ),
)

_ELEMENTWISE = (
    *(OpSpec(f"graph.{name}", f"elementwise {name}", operands=exactly(1), check=rules.same_shape) for name in UNARY),
    *(
        OpSpec(
            f"graph.{name}",
            f"elementwise {name}, of two operands or of one and a scalar (reversed: the scalar comes first)",
            operands=Count(1, 2),
            attributes=(optional("scalar", *_NUMBER), optional("reversed", "bool")),
            check=rules.elementwise,
        )
        for name in BINARY
    ),
    *(
        OpSpec(
            f"graph.{name}",
            f"{name} along dims, which stay with extent 1",
            operands=exactly(1),
            attributes=(required("dims", "list"),),
            check=rules.reduction,
        )
        for name in REDUCTIONS
    ),
)

#: The table of the graph level.
GRAPH = Dialect.of("graph", (*_GRAPH_FUNCTIONS, *_ENTRIES, *_FUSED, *_CONTROL, *_PRIMITIVES, *_ELEMENTWISE))
