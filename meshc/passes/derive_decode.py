"""derive-decode: the program of one token, with a cache of keys and values, from the graph of a whole prompt."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from meshc.ir.core import Module, Operation
from meshc.passes.base import Pass, PassContext
from meshc.passes.cached_attentions import cached_attentions, check_context, keep_tokens, tokens_of


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
                derive_decode(func, tokens_of(func) if wanted is None else wanted)


def derive_decode(func: Operation, context: int) -> None:
    """Turn one function. Raises M0420 and M0421."""
    check_context(context, tokens_of(func))
    caches = cached_attentions(func)
    keep_tokens(func, 1)
    for op, cache in caches:
        op.name = "graph.cached_attention"
        op.attributes |= {"context": context, "cache": cache}
    func.attributes |= {"phase": "decode", "context": context}
