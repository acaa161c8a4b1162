"""The graph dialect in plain torch: what every operation means, for comparing graphs with the models they came from."""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch

from meshc.ir.core import Block, Module, Operation, Value
from meshc.passes.matching.evaluate import UNARY, evaluable, evaluate
from meshrt.program.expr import evaluate as evaluate_expr
from meshrt.program.parser import parse_expr

_BRACES = re.compile(r"\{([^{}]*)\}")


def run_graph(module: Module, weights: Mapping[str, torch.Tensor], *inputs: torch.Tensor) -> torch.Tensor:
    """The first result of the module's function on these inputs."""
    (func,) = module.body.ops
    body = func.regions[0]
    env: dict[Value, torch.Tensor] = dict(zip(body.args, inputs, strict=True))
    with torch.no_grad():
        return _block(body, env, weights, {})[0]


def _block(
    block: Block, env: dict[Value, torch.Tensor], weights: Mapping[str, torch.Tensor], counters: dict[str, int]
) -> list[torch.Tensor]:
    for op in block.ops:
        if op.name in ("return", "graph.yield"):
            return [env[v] for v in op.operands]
        if op.name == "graph.repeat":
            carried = [env[v] for v in op.operands]
            body = op.regions[0]
            for i in range(op.attributes["count"]):
                env.update(zip(body.args, carried, strict=True))
                carried = _block(body, env, weights, {**counters, op.attributes["counter"]: i})
            env.update(zip(op.results, carried, strict=True))
            continue
        if op.name == "graph.weight":
            name = _BRACES.sub(lambda m: str(int(evaluate_expr(parse_expr(m[1]), counters, {}))), op.attributes["name"])
            held = weights[name].detach()
            made = held.float() if held.is_floating_point() else held
            assert tuple(made.shape) == op.result.type.shape, (name, made.shape, op.result.type)
        else:
            made = _operation(op, [env[v] for v in op.operands])
        results = made if isinstance(made, (tuple, list)) else (made,)
        for value, tensor in zip(op.results, results, strict=False):
            assert tuple(tensor.shape) == value.type.shape, (op.name, tensor.shape, value.type)
            env[value] = tensor
    raise AssertionError("a block without an end")


def _operation(op: Operation, v: list[torch.Tensor]) -> torch.Tensor:
    name, a = op.name.removeprefix("graph."), op.attributes
    fused = {
        "positions": lambda: torch.arange(op.result.type.shape[0]),
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
    distance = torch.arange(q.shape[-2])[:, None] - torch.arange(k.shape[-2])[None, :]
    if a["mask"] != "full":
        scores = scores.masked_fill((distance < 0) | (distance >= a.get("window", len(distance))), float("-inf"))
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
