"""What a mask allows, by its values: causal, full, or a sliding window of some width."""

from __future__ import annotations

from dataclasses import dataclass

import torch

#: Scores that are lowered by this much have no weight after softmax; models use -10000, the dtype's lowest or -inf.
_LOW = -1000.0


@dataclass(frozen=True, slots=True)
class Mask:
    """``causal``, ``full`` or ``window`` (each token sees itself and the window - 1 before it)."""

    kind: str
    window: int | None = None


def allowed_by_sum(tensor: torch.Tensor) -> torch.Tensor | None:
    """Where an additive mask lets scores pass; None where it also changes scores (a bias)."""
    if not tensor.is_floating_point():
        return tensor == 0 if bool(((tensor == 0) | (tensor <= _LOW)).all()) else None
    low = tensor <= _LOW
    return tensor == 0 if bool((low | (tensor == 0)).all()) else None


def square(allowed: torch.Tensor, queries: int, keys: int) -> torch.Tensor | None:
    """The mask [queries, keys], where it is the same for all batches and heads."""
    flat = allowed.expand(*allowed.shape[:-2], queries, keys) if allowed.dim() >= 2 else allowed.expand(queries, keys)
    flat = flat.reshape(-1, queries, keys)
    return flat[0] if flat.shape[0] == 1 or torch.equal(flat, flat[:1].expand_as(flat)) else None


def classify(allowed: torch.Tensor) -> Mask | None:
    """Which mask [queries, keys] this is; None for another pattern."""
    queries, keys = allowed.shape
    if bool(allowed.all()) and queries > 1:
        return Mask("full")
    if queries != keys:
        return None
    causal = torch.ones(queries, keys, dtype=torch.bool).tril()
    if torch.equal(allowed, causal):
        return Mask("causal")
    width = int(allowed[-1].sum())
    place = torch.arange(queries)
    distance = place[:, None] - place[None, :]
    if width > 0 and torch.equal(allowed, (distance >= 0) & (distance < width)):
        return Mask("window", width)
    return None
