"""The attentions of a function, each with the name of a cache of its own, and how a function keeps fewer tokens."""

from __future__ import annotations

from meshc.ir.core import Block, Operation, TensorType, Value
from meshc.ir.name_templates import NameTemplate
from meshrt.diagnostics import MeshError
from meshrt.program.expr import Expr, Name, as_expr


def tokens_of(func: Operation) -> int:
    """Tokens of a sequence in the function's inputs, which are [batch, tokens]."""
    ids = func.regions[0].args[0].type
    assert isinstance(ids, TensorType)
    return ids.shape[-1]


def check_context(context: int, tokens: int) -> None:
    """Raise M0421 where the graph, which is of so many tokens, does not say what holds for all of the context."""
    if not 1 <= context <= tokens:
        raise MeshError(
            "M0421",
            f"a context of {context} tokens was asked for, but the model's graph is of {tokens}",
            notes=["masks and positions beyond the tokens of the graph are not known"],
            helps=[f"choose a --context from 1 to {tokens}, or trace the model for as many tokens as are wanted"],
        )


def cached_attentions(func: Operation) -> list[tuple[Operation, str]]:
    """The attentions of a function with the names of their caches.

    Caches are numbered in the order of execution, by the counters of the loops around them. Raises M0420
    for attention that looks ahead.
    """
    found: list[tuple[Operation, str]] = []
    _number(func.regions[0], as_expr(0), found)
    return found


def _number(block: Block, first: Expr, found: list[tuple[Operation, str]]) -> None:
    """Number the attentions of a block whose first one has the number ``first``."""
    count = 0
    for op in block.ops:
        if op.name == "graph.repeat":
            (body,) = op.regions
            each = _attentions(body)
            _number(body, first + count + as_expr(each) * Name(op.attributes["counter"]), found)
            count += each * op.attributes["count"]
        if op.name == "graph.attention":
            found.append((op, _cache(op, first + count)))
            count += 1


def _attentions(block: Block) -> int:
    """How many attentions one run of a block performs."""
    return sum(
        _attentions(op.regions[0]) * op.attributes["count"]
        if op.name == "graph.repeat"
        else op.name == "graph.attention"
        for op in block.ops
    )


def _cache(op: Operation, number: Expr) -> str:
    if op.attributes["mask"] == "full":
        raise MeshError(
            "M0420",
            "attention looks at tokens that come later, which a token that is decoded cannot",
            place=op.location.place,
            notes=["its mask is full: no score of a later token is masked"],
            helps=["decode takes models whose attention is causal, perhaps within a window; use --phase prefill"],
        )
    name = NameTemplate(("cache.", number))
    return str(name) if name.counters else name.name({})


def keep_tokens(func: Operation, tokens: int) -> None:
    """Let every activation of a function have so many tokens of each sequence."""
    for op in func.walk():
        for block in op.regions:
            for argument in block.args:
                _shorten(argument, tokens)
        if op.name != "graph.weight":
            for result in op.results:
                _shorten(result, tokens)


def _shorten(value: Value, tokens: int) -> None:
    """The tokens are the extent before the features, and the only one of positions and token ids."""
    assert isinstance(value.type, TensorType)
    *outer, last = value.type.shape
    if value.type.dtype in ("i64", "i32"):
        last = tokens
    else:
        outer[-1] = tokens
    value.type = TensorType((*outer, last), value.type.dtype)
