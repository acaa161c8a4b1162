"""Normalisations that ATen has as one operator, and embedding lookup."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import torch

from meshc.frontend.aten.site import Converter, Site
from meshc.ir.core import Value


def _operands(site: Site) -> list[Value] | None:
    """input, weight, bias as far as given; None where a bias comes without a weight or several dims are normed."""
    if len(site["normalized_shape"]) != 1:
        return None
    if site.get("weight") is None and site.get("bias") is not None:
        return None
    given = [site["input"], site.get("weight"), site.get("bias")]
    return [site.value(held) for held in given if held is not None]


def _layer_norm(site: Site) -> Value | None:
    operands = _operands(site)
    if operands is None:
        return None
    return site.create("layer_norm", operands, site.shape("input"), eps=float(site["eps"]))


def _native_layer_norm(site: Site) -> tuple[Value, ...] | None:
    result = _layer_norm(site)
    return None if result is None else (result,)


def _rms_norm(site: Site) -> Value | None:
    operands = _operands(site)
    eps = site["eps"] if site["eps"] is not None else torch.finfo(torch.float32).eps
    if operands is None:
        return None
    return site.create("rms_norm", operands, site.out_shape, eps=float(eps), unit_offset=False)


def _embedding(site: Site) -> Value:
    return site.create("embedding", [site.operand("weight"), site.operand("indices")], site.out_shape)


NORMS: Mapping[str, Converter] = MappingProxyType(
    {
        "aten.layer_norm": _layer_norm,
        "aten.native_layer_norm": _native_layer_norm,
        "aten.rms_norm": _rms_norm,
        "aten.embedding": _embedding,
    }
)
