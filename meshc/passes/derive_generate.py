"""derive-generate: prefill and decode as two functions of one module, from the graph of a whole prompt."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from meshc.ir.clone import clone
from meshc.ir.core import Module, Operation, erase_dead
from meshc.passes.base import Pass, PassContext
from meshc.passes.cached_attentions import cached_attentions, check_context, keep_tokens, tokens_of
from meshc.passes.derive_decode import derive_decode


@dataclass(frozen=True)
class DeriveGenerate(Pass):
    """Turn the graph of a prompt into a function that fills the caches and one that goes on from there.

    Needs: a module of one function of no phase, with the graph passes before, as ``derive-decode`` needs it. Raises
    M0420 for attention that looks ahead, M0421 for a context that is longer than the graph.

    Does: ``decode`` is what ``derive-decode`` makes of it, and begins with what ``prefill`` left in its caches.
    ``prefill`` works on all tokens of a prompt, up to ``prompt`` of them; every attention keeps its keys and values
    for the cache of the same name. It gives no result, so what only the logits needed is gone: the first token that
    is chosen follows from a step of decode, for the last token of the prompt. With ``derive-generate{context = 4,
    prompt = 3}`` ::

        func() {name = "forward"} (%ids: tensor<1x5xi64>) {
          %e = graph.weight() {name = "embed"} : tensor<9x4xf32>
          %x = graph.embedding(%e, %ids) : tensor<1x5x4xf32>
          %y = graph.attention(%x, %x, %x) {
            heads = 1, kv_heads = 1, head_dim = 4, value_dim = 4, scale = 0.5, mask = "causal"
          } : tensor<1x5x4xf32>
          %z = graph.linear(%y, %e) {weight = "nk"} : tensor<1x5x9xf32>
          return(%z)
        }

    becomes ::

        func() {name = "prefill", phase = "prefill", context = 4} (%ids: tensor<1x3xi64>) {
          %e = graph.weight() {name = "embed"} : tensor<9x4xf32>
          %x = graph.embedding(%e, %ids) : tensor<1x3x4xf32>
          %y = graph.attention(%x, %x, %x) {
            heads = 1, kv_heads = 1, head_dim = 4, value_dim = 4, scale = 0.5, mask = "causal", cache = "cache.0"
          } : tensor<1x3x4xf32>
          return()
        }
        func() {name = "decode", phase = "decode", context = 4, prefilled = true} (%ids: tensor<1x1xi64>) {
          %e = graph.weight() {name = "embed"} : tensor<9x4xf32>
          %x = graph.embedding(%e, %ids) : tensor<1x1x4xf32>
          %y = graph.cached_attention(%x, %x, %x) {
            heads = 1, kv_heads = 1, head_dim = 4, value_dim = 4, scale = 0.5, mask = "causal", context = 4,
            cache = "cache.0"
          } : tensor<1x1x4xf32>
          %z = graph.linear(%y, %e) {weight = "nk"} : tensor<1x1x9xf32>
          return(%z)
        }

    Holds after: run for the tokens from some position on, with the caches of those before it, ``decode`` gives what
    the graph before gave. A module whose functions have their phases stays as it is.
    """

    name: ClassVar[str] = "derive-generate"
    level: ClassVar[str] = "graph"

    #: Tokens that a sequence may come to, and those of the longest prompt; those of the compilation where they are
    #: left out, and as many as the graph (the context) has where that names none.
    context: int | None = None
    prompt: int | None = None

    def run(self, module: Module, context: PassContext) -> None:
        options = context.options
        if any("phase" in func.attributes for func in module.body.ops):
            return
        (prefill,) = module.body.ops
        cached = self.context or (options.context if options is not None else None) or tokens_of(prefill)
        prompt = self.prompt or (options.seq if options is not None else None) or cached
        check_context(cached, tokens_of(prefill))
        (decode,) = clone(module).body.ops
        derive_decode(decode, cached)
        decode.attributes |= {"name": "decode", "prefilled": True}
        _derive_prefill(prefill, cached, min(prompt, cached))
        erase_dead(module, _keeps)
        module.body.append(decode)


def _derive_prefill(func: Operation, context: int, prompt: int) -> None:
    keep_tokens(func, prompt)
    for op, cache in cached_attentions(func):
        op.attributes |= {"cache": cache}
    func.regions[0].ops[-1].operands = []
    func.attributes |= {"name": "prefill", "phase": "prefill", "context": context}


def _keeps(op: Operation) -> bool:
    """Whether an operation, or one inside it, keeps something for a cache."""
    return any("cache" in inner.attributes for inner in op.walk())
