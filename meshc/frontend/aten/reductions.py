"""Reductions along dimensions and softmax."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from meshc.frontend.aten.elementwise import binary
from meshc.frontend.aten.site import DTYPES, Converter, Site
from meshc.ir.core import Attribute, Value


def _dims(site: Site, dims: int | Sequence[int] | None) -> tuple[int, ...]:
    rank = len(site.shape("self"))
    if dims is None or (not isinstance(dims, int) and len(dims) == 0):
        return tuple(range(rank))
    return tuple(sorted(d % rank for d in ([dims] if isinstance(dims, int) else dims)))


def reduced(site: Site, name: str, dims: tuple[int, ...], **attributes: Attribute) -> Value:
    """A reduction of ``self`` along dims; the reduced dimensions stay with extent 1 where ``keepdim`` says so."""
    value = site.operand("self")
    kept = [1 if d in dims else n for d, n in enumerate(site.shape("self"))]
    first = site.out[0] if isinstance(site.out, (tuple, list)) else site.out
    result = site.create(name, [value], kept, DTYPES[first.dtype], dims=dims, **attributes)
    return site.reshape(result, first.shape)


def _reduction(name: str) -> Converter:
    return lambda site: reduced(site, name, _dims(site, site.get("dim")))


def _variance(root: bool) -> Converter:
    def convert(site: Site) -> Value:
        correction = site.get("correction")
        if correction is None:
            correction = 0 if site.get("unbiased") is False else 1
        dims = _dims(site, site.get("dim"))
        variance = reduced(site, "var", dims, correction=correction)
        return site.create("sqrt", [variance], site.out_shape) if root else variance

    return convert


def _variance_and_mean(site: Site) -> tuple[Value, Value]:
    correction = site.get("correction")
    if correction is None:
        correction = 0 if site.get("unbiased") is False else 1
    dims = _dims(site, site.get("dim"))
    return reduced(site, "var", dims, correction=correction), reduced(site, "mean", dims)


def _vector_norm(site: Site) -> Value | None:
    order = site.get("ord", site.get("p", 2))
    if order not in (2, 2.0, None):
        return None
    value = site.operand("self")
    squares = site.create("square", [value], site.shape("self"))
    dims = _dims(site, site.get("dim"))
    kept = [1 if d in dims else n for d, n in enumerate(site.shape("self"))]
    total = site.create("sum", [squares], kept, dims=dims)
    return site.reshape(site.create("sqrt", [total], kept), site.out_shape)


def _softmax(site: Site) -> Value:
    rank = len(site.out_shape)
    return site.create("softmax", [site.operand("self")], site.out_shape, dim=site["dim"] % rank)


def _extremum(reduction: str, elementwise: str) -> Converter:
    """max.other compares two tensors; max.dim gives values and indices, of which the values are an operation."""

    def convert(site: Site) -> Value | tuple[Value, ...] | None:
        if "other" in site.arguments:
            return binary(site, elementwise, site["self"], site["other"])
        if "dim" not in site.arguments or not isinstance(site.out, (tuple, list)):
            return None
        return (reduced(site, reduction, _dims(site, site["dim"])),)

    return convert


REDUCTIONS: Mapping[str, Converter] = MappingProxyType(
    {
        "aten.mean": _reduction("mean"),
        "aten.sum": _reduction("sum"),
        "aten.amax": _reduction("max"),
        "aten.amin": _reduction("min"),
        "aten.max": _extremum("max", "maximum"),
        "aten.min": _extremum("min", "minimum"),
        "aten.var": _variance(root=False),
        "aten.std": _variance(root=True),
        "aten.var_mean": _variance_and_mean,
        "aten.linalg_vector_norm": _vector_norm,
        "aten.norm": _vector_norm,
        "aten.softmax": _softmax,
        "aten._softmax": _softmax,
        "aten._safe_softmax": _softmax,
    }
)
