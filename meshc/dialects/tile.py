"""The tile dialect: sharded values on a logical grid, one operation per distributed step.

Every activation is two-dimensional, tokens by features: in prefill tokens (batch folded
in, sequence by sequence) are cut over y, features over x, each by its layout; in decode the
features of one token of each sequence lie over x or over y, alike along the other axis. What a
PE holds of a value is the rectangle ``y.tile`` by ``x.tile``, padding included. ``tile.relayout`` moves a
value to any other layout: see :class:`~meshc.dialects.shard.ShardType`. Weights stay whole
source tensors here; the kernel that consumes one decides where its pieces lie.
"""

from __future__ import annotations

from dataclasses import replace

from meshc.dialects import graph_rules
from meshc.dialects import tile_rules as rules
from meshc.dialects.elementwise import BINARY, UNARY
from meshc.dialects.functions import FUNCTIONS
from meshc.dialects.layout import Block, Cyclic, Heads, Replicated
from meshc.dialects.shard import ShardType
from meshc.ir.spec import ANY, Count, Dialect, OpSpec, exactly, optional, required

#: Dtypes of each ``--dtype``: (operands of multiply-adds and moved tiles, everything else).
DTYPE_POLICY = {"mixed": ("f16", "f32"), "bf16": ("bf16", "f32"), "f16": ("f16", "f16"), "f32": ("f32", "f32")}

#: A function carries its grid, its arithmetic, its batch and the tokens of a sequence.
_GRID = (required("width", "int"), required("height", "int"), required("dtype", words=DTYPE_POLICY))
_TOKENS = (required("batch", "int"), required("sequence", "int"))
#: Prefill unless it says otherwise. How many tokens the caches hold; of decode the longest prompt, whether the caches
#: hold something before the first step, and which trees its all-reduces take (see meshc/kernels/line_trees.py).
_PHASE = (
    optional("phase", words=("prefill", "decode")),
    optional("context", "int"),
    optional("prompt", "int"),
    optional("prefilled", "bool"),
    optional("trees", "dict"),
)
_TILE_FUNCTIONS = tuple(
    replace(row, attributes=(*row.attributes, *_GRID, *_TOKENS, *_PHASE), check=rules.function)
    if row.name == "func"
    else row
    for row in FUNCTIONS
)

#: The kernel that carries it out, and what was chosen besides (see meshc/kernels/schedule.py).
_KERNEL = (optional("algorithm"), optional("schedule", "dict"))
_NUMBER = ("float", "int")
#: How tokens come into a cache; see meshc/kernels/cache.py.
_CACHE_POLICY = optional("kv", words=("shift", "append"))
#: What every attention says of its heads and of what a query may see.
_HEADS = (
    required("heads", "int"),
    required("kv_heads", "int"),
    required("head_dim", "int"),
    required("scale", *_NUMBER),
    required("mask", words=("causal", "full", "window")),
    optional("value_dim", "int"),
    optional("window", "int"),
    optional("softcap", *_NUMBER),
)

_ROWS = (
    OpSpec("tile.weight", "a whole source tensor by its name", attributes=(required("name"),), check=rules.weight),
    OpSpec(
        "tile.embedding",
        "rows of a table (first operand) for the token ids (second operand)",
        operands=exactly(2),
        attributes=(required("sequence", "int"), *_KERNEL),
        check=rules.embedding,
    ),
    OpSpec(
        "tile.position_embedding",
        "rows of a table by the position of each token",
        operands=exactly(1),
        attributes=(required("sequence", "int"), *_KERNEL),
        check=rules.shards(0),
    ),
    OpSpec(
        "tile.gemm",
        "one input (first operand) times several weights; each part names its weight and bias operands, the order of "
        "its tensor, and the stretch of output features that it takes",
        operands=Count(2, None),
        results=Count(1, None),
        attributes=(required("parts", "list"), *_KERNEL),
        check=rules.gemm,
    ),
    OpSpec(
        "tile.gemm_transposed",
        "an input times a weight whose output features lie over y before, over x after",
        operands=Count(2, 3),
        attributes=(
            required("order", words=("nk", "kn")),
            required("start", "int"),
            required("stop", "int"),
            *_KERNEL,
        ),
        check=rules.gemm_transposed,
    ),
    OpSpec(
        "tile.gemv",
        "tile.gemm for one token of each sequence: features over y before and over x after, or the other way round; "
        "with norm of the input's RMSNorm: its eps, unit_offset and weight (an operand)",
        operands=Count(2, None),
        results=Count(1, None),
        attributes=(required("parts", "list"), optional("norm", "dict"), *_KERNEL),
        check=rules.gemv,
    ),
    OpSpec(
        "tile.rms_norm",
        "x over the root of its mean square, times a weight",
        operands=Count(1, 2),
        attributes=(required("eps", *_NUMBER), optional("unit_offset", "bool"), optional("heads", "int"), *_KERNEL),
        check=rules.both(rules.shards(1), rules.same_cut, rules.norm),
    ),
    OpSpec(
        "tile.layer_norm",
        "x less its mean over its standard deviation, times a weight, plus a bias",
        operands=Count(1, 3),
        attributes=(required("eps", *_NUMBER), *_KERNEL),
        check=rules.both(rules.shards(1), rules.same_cut),
    ),
    OpSpec(
        "tile.phases",
        "cosines and sines of position times frequency",
        operands=exactly(1),
        attributes=(optional("scale", *_NUMBER), required("sequence", "int"), *_KERNEL),
        check=rules.both(rules.shards(0), rules.by_heads),
    ),
    OpSpec(
        "tile.rope",
        "pairs of the first operand turned by the phases",
        operands=exactly(2),
        attributes=_KERNEL,
        check=rules.both(rules.shards(), rules.by_heads),
    ),
    OpSpec(
        "tile.attention",
        "softmax(q kᵀ scale, masked) v, by heads",
        operands=exactly(3),
        attributes=(*_HEADS, required("sequence", "int"), *_KERNEL),
        check=rules.both(rules.shards(), rules.by_heads),
    ),
    OpSpec(
        "tile.cached_attention",
        "attention of one token of each sequence to what was cached of those before and to itself",
        operands=exactly(3),
        attributes=(
            *_HEADS,
            required("context", "int"),
            required("cache"),
            _CACHE_POLICY,
            *_KERNEL,
        ),
        check=rules.both(rules.shards(), rules.cached_attention),
    ),
    OpSpec(
        "tile.keep",
        "keys and values of all tokens, kept in their PEs for a cache",
        operands=exactly(2),
        results=exactly(0),
        attributes=(required("cache"), *_KERNEL),
        effects=True,
        check=rules.by_heads,
    ),
    OpSpec(
        "tile.relayout_cache",
        "what was kept, of the first tokens of every sequence: to the rows of PEs where decode looks for it, and on "
        "to the region of decode in the east; of each cache its name, the features of keys and of values in a PE, and "
        "how often the loops around it run",
        results=exactly(0),
        attributes=(required("context", "int"), required("caches", "list"), _CACHE_POLICY, *_KERNEL),
        effects=True,
        check=rules.caches,
    ),
    OpSpec(
        "tile.take_cache",
        "caches as ``tile.relayout_cache`` sends them from the region in the west",
        results=exactly(0),
        attributes=(required("context", "int"), required("caches", "list"), _CACHE_POLICY, *_KERNEL),
        effects=True,
        check=rules.caches,
    ),
    OpSpec(
        "tile.glu",
        "activation(gate) * up",
        operands=exactly(2),
        attributes=(required("activation", words=UNARY), *_KERNEL),
        check=rules.both(rules.shards(), rules.same_cut),
    ),
    OpSpec(
        "tile.unary",
        "a function of each element",
        operands=exactly(1),
        attributes=(required("function", words=UNARY), *_KERNEL),
        check=rules.both(rules.shards(), rules.same_cut),
    ),
    OpSpec(
        "tile.binary",
        "a function of pairs of elements, or of elements and a number",
        operands=Count(1, 2),
        attributes=(
            required("function", words=BINARY),
            optional("scalar", *_NUMBER),
            optional("reversed", "bool"),
            *_KERNEL,
        ),
        check=rules.elementwise,
    ),
    OpSpec(
        "tile.relayout",
        "the same tensor in another layout, the other way round, replicated, or in another rectangle of the grid",
        operands=exactly(1),
        attributes=_KERNEL,
        check=rules.relayout,
    ),
    OpSpec(
        "tile.repeat",
        "its region, count times; the operands start the carried values",
        operands=ANY,
        results=ANY,
        attributes=(required("count", "int"), required("counter")),
        regions=exactly(1),
        ends_with="tile.yield",
        check=rules.both(rules.shards(), graph_rules.repeat),
    ),
    OpSpec("tile.yield", "the carried values after one iteration", operands=ANY, results=exactly(0), terminator=True),
    OpSpec(
        "tile.sample",
        "the next token of each sequence by its logits, in every PE: the likeliest or one of ``top_k`` by chance",
        operands=exactly(1),
        attributes=(optional("top_k", "int"), *_KERNEL),
        effects=True,
        check=rules.sample,
    ),
    OpSpec(
        "tile.output",
        "the results that leave the wafer, by name and with the shape that the user sees",
        operands=ANY,
        results=exactly(0),
        attributes=(required("names", "list"), required("shapes", "list")),
        effects=True,
        check=rules.output,
    ),
)

#: The classes that the text of a tile-level value type may name.
TILE_TYPES = (ShardType, Block, Cyclic, Heads, Replicated)

#: The tile level.
TILE = Dialect.of("tile", (*_TILE_FUNCTIONS, *_ROWS), TILE_TYPES)
