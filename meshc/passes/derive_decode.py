"""derive-decode: the program of one token, with a cache of keys and values, from the graph of a whole prompt."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from meshc.ir.core import Block, Module, Operation, TensorType, Value
from meshc.ir.name_templates import NameTemplate
from meshc.passes.base import Pass, PassContext
from meshc.passes.matching.editor import shape_of
from meshrt.diagnostics import MeshError
from meshrt.program.expr import Expr, Name, as_expr


@dataclass(frozen=True)
class DeriveDecode(Pass):
    """Turn the graph of a prompt into that of one token, which finds the tokens before it in a cache.

    Needs: the graph passes before, ``require-covered`` among them: everything but attention then works on each token
    by itself. The graph's tokens are at least ``context``, so that its masks, frequencies and tables say what holds
    for each position up to there. (An export with a static cache comes as a graph as long as that, see
    :mod:`meshc.frontend.static_cache`.) Raises M0420 for attention that looks ahead and M0421 for a context that is
    longer than the graph.

    Does: every activation keeps one token; ``graph.positions`` becomes the position of that token, known when the
    program runs; ``graph.attention`` becomes ``graph.cached_attention``, which appends the token's key and value to a
    cache of its own (numbered in the order of execution, by the counters of the loops around it) and attends to what
    the mask lets it see of positions 0 to its own. With ``derive-decode{context = 4}`` ::

        func() {name = "forward"} (%ids: tensor<1x5xi64>) {
          %0 = graph.positions() : tensor<5xi64>
          %f = graph.weight() {name = "const.frequencies"} : tensor<2xf32>
          %e = graph.weight() {name = "embed"} : tensor<9x4xf32>
          %x = graph.embedding(%e, %ids) : tensor<1x5x4xf32>
          %q = graph.rope(%x, %0, %f) {heads = 1, head_dim = 4, rotary_dim = 4, pairing = "half"} : tensor<1x5x4xf32>
          %y = graph.attention(%q, %q, %x) {
            heads = 1, kv_heads = 1, head_dim = 4, value_dim = 4, scale = 0.5, mask = "causal"
          } : tensor<1x5x4xf32>
          return(%y)
        }

    becomes ::

        func() {name = "forward", phase = "decode", context = 4} (%ids: tensor<1x1xi64>) {
          %0 = graph.positions() : tensor<1xi64>
          %f = graph.weight() {name = "const.frequencies"} : tensor<2xf32>
          %e = graph.weight() {name = "embed"} : tensor<9x4xf32>
          %x = graph.embedding(%e, %ids) : tensor<1x1x4xf32>
          %q = graph.rope(%x, %0, %f) {heads = 1, head_dim = 4, rotary_dim = 4, pairing = "half"} : tensor<1x1x4xf32>
          %y = graph.cached_attention(%q, %q, %x) {
            heads = 1, kv_heads = 1, head_dim = 4, value_dim = 4, scale = 0.5, mask = "causal", context = 4,
            cache = "cache.0"
          } : tensor<1x1x4xf32>
          return(%y)
        }

    Holds after: one token of each sequence; run for position 0, 1, 2, .. with the caches kept, the function gives
    what the graph before gave at that position. A function that is of the decode phase already stays as it is.
    """

    name: ClassVar[str] = "derive-decode"
    level: ClassVar[str] = "graph"

    #: Tokens that a sequence may come to, prompt and answer together; that of the compilation where it is left out,
    #: and as many as the graph has where that names none.
    context: int | None = None

    def run(self, module: Module, context: PassContext) -> None:
        """Derive every function that is not of the decode phase."""
        wanted = self.context
        if wanted is None and context.options is not None:
            wanted = context.options.context
        for func in module.body.ops:
            if "phase" not in func.attributes:
                tokens = _tokens(func)
                _derive(func, tokens, tokens if wanted is None else wanted)


def _tokens(func: Operation) -> int:
    """Tokens of a sequence in the function's inputs, which are [batch, tokens]."""
    return shape_of(func.regions[0].args[0])[-1]


def _derive(func: Operation, tokens: int, context: int) -> None:
    if not 1 <= context <= tokens:
        raise MeshError(
            "M0421",
            f"a context of {context} tokens was asked for, but the model's graph is of {tokens}",
            notes=["masks and positions beyond the tokens of the graph are not known"],
            helps=[f"choose a --context from 1 to {tokens}, or trace the model for as many tokens as are wanted"],
        )
    block = func.regions[0]
    for argument in block.args:
        _shorten(argument)
    _block(block, context, as_expr(0))
    func.attributes |= {"phase": "decode", "context": context}


def _block(block: Block, context: int, first: Expr) -> int:
    """Rewrite a block whose first cache has the number ``first``; gives how many caches one run of it has."""
    count = 0
    for op in block.ops:
        if op.name == "graph.weight":
            continue
        if op.name == "graph.repeat":
            (body,) = op.regions
            for argument in body.args:
                _shorten(argument)
            each = _caches(body)
            _block(body, context, first + count + as_expr(each) * Name(op.attributes["counter"]))
            count += each * op.attributes["count"]
        if op.name == "graph.attention":
            _cache(op, context, first + count)
            count += 1
        for result in op.results:
            _shorten(result)
    return count


def _caches(block: Block) -> int:
    """How many attentions one run of a block performs."""
    return sum(
        _caches(op.regions[0]) * op.attributes["count"] if op.name == "graph.repeat" else op.name == "graph.attention"
        for op in block.ops
    )


def _cache(op: Operation, context: int, number: Expr) -> None:
    if op.attributes["mask"] == "full":
        raise MeshError(
            "M0420",
            "attention looks at tokens that come later, which a token that is decoded cannot",
            place=op.location.place,
            notes=["its mask is full: no score of a later token is masked"],
            helps=["decode takes models whose attention is causal, perhaps within a window; use --phase prefill"],
        )
    name = NameTemplate(("cache.", number))
    op.name = "graph.cached_attention"
    op.attributes |= {"context": context, "cache": str(name) if name.counters else name.name({})}


def _shorten(value: Value) -> None:
    """One token: the extent before the features is 1, and the only one of positions and token ids."""
    assert isinstance(value.type, TensorType)
    *outer, last = value.type.shape
    if value.type.dtype in ("i64", "i32"):
        last = 1
    else:
        outer[-1] = 1
    value.type = TensorType((*outer, last), value.type.dtype)
