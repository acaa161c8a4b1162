"""ATen's fused attention: imported with its mask as an operand; the mask is recognised later, by its values."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from meshc.frontend.aten.site import Converter, Site
from meshc.ir.core import Value


def _attention(site: Site) -> Value | None:
    """[..., H, S, D] queries, [..., H or KV, S, D] keys and values."""
    if site.get("dropout_p", 0.0) != 0.0:
        return None
    query, key = site.operand("query"), site.operand("key")
    operands = [query, key, site.operand("value")]
    mask = site.get("attn_mask", site.get("attn_bias"))
    if mask is not None:
        operands.append(site.value(mask))
    scale = site.get("scale")
    head_dim = site.shape("query")[-1]
    first = site.out[0] if isinstance(site.out, (tuple, list)) else site.out
    return site.create(
        "scaled_dot_product",
        operands,
        first.shape,
        scale=float(scale) if scale is not None else head_dim**-0.5,
        causal=bool(site.get("is_causal", False)),
    )


def _attention_with_statistics(site: Site) -> tuple[Value, ...] | None:
    result = _attention(site)
    return None if result is None else (result,)


ATTENTION: Mapping[str, Converter] = MappingProxyType(
    {
        "aten.scaled_dot_product_attention": _attention,
        "aten._scaled_dot_product_flash_attention_for_cpu": _attention_with_statistics,
        "aten._scaled_dot_product_attention_math": _attention_with_statistics,
        "aten._scaled_dot_product_efficient_attention": _attention_with_statistics,
        "aten._scaled_dot_product_flash_attention": _attention_with_statistics,
    }
)
