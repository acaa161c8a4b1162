"""The graph dialect in plain torch: what every operation means, for comparing graphs with the models they came from.

A graph of the decode phase runs once for each token (:func:`decode_graph`), and what its caches hold stays between.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch

from meshc.ir.core import Block, Module, Operation, Value
from meshc.passes.matching.evaluate import UNARY, evaluable, evaluate
from meshrt.program.expr import evaluate as evaluate_expr
from meshrt.program.parser import parse_expr

_BRACES = re.compile(r"\{([^{}]*)\}")


@dataclass
class _Run:
    """One run of a function: its weights, the position of its first token, and caches of (keys, values) by name."""

    weights: Mapping[str, torch.Tensor]
    position: int = 0
    caches: dict[str, tuple[torch.Tensor, torch.Tensor]] = field(default_factory=dict)


def run_graph(module: Module, weights: Mapping[str, torch.Tensor], *inputs: torch.Tensor) -> torch.Tensor:
    """The first result of the module's function on these inputs."""
    return _function(module, inputs, _Run(weights))


def decode_graph(module: Module, weights: Mapping[str, torch.Tensor], ids: torch.Tensor) -> torch.Tensor:
    """The results of a function of the decode phase for ids [batch, tokens], token after token: [batch, tokens, ..]."""
    run = _Run(weights)
    found = []
    for run.position in range(ids.shape[1]):
        found.append(_function(module, (ids[:, run.position : run.position + 1],), run))
    return torch.cat(found, dim=1)


def _function(module: Module, inputs: tuple[torch.Tensor, ...], run: _Run) -> torch.Tensor:
    (func,) = module.body.ops
    body = func.regions[0]
    env: dict[Value, torch.Tensor] = dict(zip(body.args, inputs, strict=True))
    with torch.no_grad():
        return _block(body, env, run, {})[0]


def _block(block: Block, env: dict[Value, torch.Tensor], run: _Run, counters: dict[str, int]) -> list[torch.Tensor]:
    for op in block.ops:
        if op.name in ("return", "graph.yield"):
            return [env[v] for v in op.operands]
        if op.name == "graph.repeat":
            carried = [env[v] for v in op.operands]
            body = op.regions[0]
            for i in range(op.attributes["count"]):
                env.update(zip(body.args, carried, strict=True))
                carried = _block(body, env, run, {**counters, op.attributes["counter"]: i})
            env.update(zip(op.results, carried, strict=True))
            continue
        if op.name == "graph.weight":
            name = _named(op.attributes["name"], counters)
            held = run.weights[name].detach()
            made = held.float() if held.is_floating_point() else held
            assert tuple(made.shape) == op.result.type.shape, (name, made.shape, op.result.type)
        elif op.name == "graph.cached_attention":
            made = _cached_attention(op, [env[v] for v in op.operands], run, _named(op.attributes["cache"], counters))
        else:
            made = _operation(op, [env[v] for v in op.operands], run.position)
        results = made if isinstance(made, (tuple, list)) else (made,)
        for value, tensor in zip(op.results, results, strict=False):
            assert tuple(tensor.shape) == value.type.shape, (op.name, tensor.shape, value.type)
            env[value] = tensor
    raise AssertionError("a block without an end")


def _named(template: str, counters: Mapping[str, int]) -> str:
    return _BRACES.sub(lambda m: str(int(evaluate_expr(parse_expr(m[1]), counters, {}))), template)


def _operation(op: Operation, v: list[torch.Tensor], position: int) -> torch.Tensor:
    name, a = op.name.removeprefix("graph."), op.attributes
    fused = {
        "positions": lambda: position + torch.arange(op.result.type.shape[0]),
        "embedding": lambda: v[0][v[1]],
        "linear": lambda: _linear(op, v),
        "rms_norm": lambda: _rms_norm(op, v),
        "layer_norm": lambda: torch.nn.functional.layer_norm(v[0], v[0].shape[-1:], *v[1:], eps=a["eps"]),
        "rope": lambda: _rope(op, *v),
        "attention": lambda: _packed_attention(op, *v),
        "heads_attention": lambda: _attention(op, *v),
        "scaled_dot_product": lambda: _scaled_dot_product(op, v),
        "glu": lambda: UNARY[a["activation"]](v[0]) * v[1],
    }
    if name in fused:
        return fused[name]()
    assert evaluable(op), op.name
    return evaluate(op, v)


def _linear(op: Operation, v: list[torch.Tensor]) -> torch.Tensor:
    weight = v[1] if op.attributes["weight"] == "nk" else v[1].T
    bias = v[2] if len(v) == 3 else None
    if "rows" in op.attributes:
        start, stop = op.attributes["rows"]
        weight, bias = weight[start:stop], None if bias is None else bias[start:stop]
    return torch.nn.functional.linear(v[0], weight, bias)


def _rms_norm(op: Operation, v: list[torch.Tensor]) -> torch.Tensor:
    heads = op.attributes.get("heads", 1)
    x = v[0].unflatten(-1, (heads, -1))
    x = x * torch.rsqrt(x.square().mean(-1, keepdim=True) + op.attributes["eps"])
    if len(v) == 2:
        x = x * (1 + v[1] if op.attributes.get("unit_offset") else v[1])
    return x.flatten(-2)


def _rope(op: Operation, x: torch.Tensor, positions: torch.Tensor, frequencies: torch.Tensor) -> torch.Tensor:
    a = op.attributes
    r, scale = a["rotary_dim"], a.get("scale", 1.0)
    heads = x.unflatten(-1, (a["heads"], a["head_dim"]))
    angle = positions[:, None].float() * frequencies
    cos, sin = angle.cos()[:, None] * scale, angle.sin()[:, None] * scale
    turned, rest = heads[..., :r], heads[..., r:]
    if a["pairing"] == "half":
        first, second = turned[..., : r // 2], turned[..., r // 2 :]
        turned = torch.cat((first * cos - second * sin, second * cos + first * sin), dim=-1)
    else:
        first, second = turned[..., 0::2], turned[..., 1::2]
        turned = torch.stack((first * cos - second * sin, second * cos + first * sin), dim=-1).flatten(-2)
    return torch.cat((turned, rest), dim=-1).flatten(-2)


def _cached_attention(op: Operation, v: list[torch.Tensor], run: _Run, cache: str) -> torch.Tensor:
    """Append key and value, and attend: the token's query is the last of as many as there are keys."""
    q, k, values = v
    if cache in run.caches:
        k, values = (torch.cat((old, new), dim=1) for old, new in zip(run.caches[cache], (k, values), strict=True))
    assert k.shape[1] == run.position + 1 <= op.attributes["context"]
    run.caches[cache] = k, values
    return _packed_attention(op, q, k, values)


def _packed_attention(op: Operation, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    a = op.attributes
    group = a["heads"] // a["kv_heads"]
    q = q.unflatten(-1, (a["heads"], a["head_dim"])).transpose(1, 2)
    k = k.unflatten(-1, (a["kv_heads"], a["head_dim"])).transpose(1, 2).repeat_interleave(group, dim=1)
    v = v.unflatten(-1, (a["kv_heads"], a["value_dim"])).transpose(1, 2).repeat_interleave(group, dim=1)
    return _attention(op, q, k, v).transpose(1, 2).flatten(-2)


def _attention(op: Operation, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    a = op.attributes
    scores = a["scale"] * (q @ k.transpose(-1, -2))
    if "softcap" in a:
        scores = a["softcap"] * torch.tanh(scores / a["softcap"])
    # Where there are fewer queries than keys, they are the last ones.
    queries, keys = q.shape[-2], k.shape[-2]
    distance = torch.arange(keys - queries, keys)[:, None] - torch.arange(keys)[None, :]
    if a["mask"] != "full":
        scores = scores.masked_fill((distance < 0) | (distance >= a.get("window", keys)), float("-inf"))
    return torch.softmax(scores, dim=-1) @ v


def _scaled_dot_product(op: Operation, v: list[torch.Tensor]) -> torch.Tensor:
    q, k, values = v[:3]
    group = q.shape[-3] // k.shape[-3]
    return torch.nn.functional.scaled_dot_product_attention(
        q,
        k.repeat_interleave(group, dim=-3),
        values.repeat_interleave(group, dim=-3),
        v[3] if len(v) == 4 else None,
        is_causal=op.attributes.get("causal", False),
        scale=op.attributes["scale"],
    )
