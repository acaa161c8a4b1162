"""Values of the constants that examples of passes name: masks, rotary tables, positions."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from meshc.ir.core import Module, TensorType

_DTYPES = {"f32": torch.float32, "i64": torch.int64, "i1": torch.bool, "i32": torch.int32}


def example_weights(module: Module) -> dict[str, torch.Tensor]:
    """A tensor for every weight that a module names; ``const.<what>`` says what it holds."""
    found = {}
    for op in module.walk():
        if op.name == "graph.weight" and "{" not in op.attributes["name"]:
            kind = op.result.type
            assert isinstance(kind, TensorType)
            name = op.attributes["name"]
            held = _constant(name.removeprefix("const."), kind) if name.startswith("const.") else None
            found[name] = _random(name, kind) if held is None else held.expand(kind.shape).clone()
    return found


def _constant(what: str, kind: TensorType) -> torch.Tensor | None:
    tokens = kind.shape[-1]
    place = torch.arange(tokens)
    distance = place[:, None] - place[None, :]
    masks: Mapping[str, torch.Tensor] = {
        "causal": distance >= 0,
        "window_2": (distance >= 0) & (distance < 2),
        "full": distance == distance,
        "causal_blocked": distance < 0,
    }
    if what in masks:
        return masks[what] if kind.dtype == "i1" else torch.zeros(tokens, tokens).masked_fill(~masks[what], -1e9)
    if what == "positions":
        return place
    if what == "positions_plus_2":
        return place + 2
    if what in ("cos", "sin"):
        # Rotate-half tables of a head's size: the frequencies twice.
        half = kind.shape[-1] // 2
        angles = torch.arange(kind.shape[-2]).float()[:, None] * (10000.0 ** (-torch.arange(half) / half))
        return getattr(torch.cat((angles, angles), dim=-1), what)()
    if what in ("cos_pairs", "sin_pairs"):
        half = kind.shape[-1]
        angles = torch.arange(kind.shape[-2]).float()[:, None] * (100.0 ** (-torch.arange(half) / half))
        return getattr(angles, what.removesuffix("_pairs"))()
    return None


def _random(name: str, kind: TensorType) -> torch.Tensor:
    generator = torch.Generator().manual_seed(sum(name.encode()))
    return torch.randn(kind.shape, generator=generator).to(_DTYPES[kind.dtype])
