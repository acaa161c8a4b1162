"""Matrix products in all their spellings: linear, matmul, addmm, einsum."""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType

from meshc.frontend.aten.site import Converter, Site, scalar_of, shape_of
from meshc.ir.core import Value


def _linear(site: Site) -> Value | None:
    if len(site.shape("weight")) != 2:
        return None
    operands = [site.operand("input"), site.operand("weight")]
    if site.get("bias") is not None:
        operands.append(site.operand("bias"))
    return site.create("linear", operands, site.out_shape, weight="nk")


def _matmul(site: Site) -> Value:
    return matmul(site, site.operand("self"), site.operand("other" if "other" in site.arguments else "mat2"))


def matmul(site: Site, left: Value, right: Value) -> Value:
    """A matrix product with torch's rules for vectors and broadcast batch dimensions."""
    a, b = left.type.shape, right.type.shape  # type: ignore[attr-defined]
    left = site.reshape(left, (1, *a)) if len(a) == 1 else left
    right = site.reshape(right, (*b, 1)) if len(b) == 1 else right
    a, b = left.type.shape, right.type.shape  # type: ignore[attr-defined]
    rank = max(len(a), len(b))
    batch = [max(m, n) for m, n in zip((1,) * (rank - len(a)) + a[:-2], (1,) * (rank - len(b)) + b[:-2], strict=True)]
    result = site.create("matmul", [left, right], [*batch, a[-2], b[-1]])
    return site.reshape(result, site.out_shape)


def _addmm(site: Site) -> Value:
    """beta * self + alpha * (first @ second)."""
    names = ("mat1", "mat2") if "mat1" in site.arguments else ("batch1", "batch2")
    left, right = (site.operand(n) for n in names)
    shape = (*left.type.shape[:-1], right.type.shape[-1])  # type: ignore[attr-defined]
    product = site.create("matmul", [left, right], shape)
    alpha, beta = scalar_of(site.get("alpha", 1)), scalar_of(site.get("beta", 1))
    if alpha != 1:
        product = site.create("mul", [product], shape, scalar=alpha)
    if beta == 0:
        return product
    added = site.operand("self")
    if beta != 1:
        added = site.create("mul", [added], site.shape("self"), scalar=beta)
    return site.create("add", [product, added], site.out_shape)


def _einsum(site: Site) -> Value | None:
    """Two operands without repeated or broadcast labels: permute, one matmul, permute."""
    equation, tensors = site["equation"].replace(" ", ""), site["tensors"]
    if len(tensors) != 2 or "." in equation:
        return None
    inputs, arrow, output = equation.partition("->")
    labels = inputs.split(",")
    if not arrow:
        output = "".join(sorted(c for c in set(inputs) - {","} if inputs.count(c) == 1))
    if any(len(set(term)) != len(term) for term in (*labels, output)):
        return None
    extent = {c: n for term, t in zip(labels, tensors, strict=True) for c, n in zip(term, shape_of(t), strict=True)}
    first, second = labels
    batch = [c for c in first if c in second and c in output]
    inner = [c for c in first if c in second and c not in output]
    left_only = [c for c in first if c not in second]
    right_only = [c for c in second if c not in first]
    if any(c not in output for c in (*left_only, *right_only)):
        return None

    def size(term: list[str]) -> int:
        return math.prod(extent[c] for c in term)

    def arrange(held: object, term: str, order: list[str], shape: list[int]) -> Value:
        value = site.permute(site.value(held), [term.index(c) for c in order])
        return site.reshape(value, shape)

    lead = [size(batch)] if batch else []
    left = arrange(tensors[0], first, [*batch, *left_only, *inner], [*lead, size(left_only), size(inner)])
    right = arrange(tensors[1], second, [*batch, *inner, *right_only], [*lead, size(inner), size(right_only)])
    product = site.create("matmul", [left, right], [*lead, size(left_only), size(right_only)])
    order = [*batch, *left_only, *right_only]
    product = site.reshape(product, [extent[c] for c in order])
    return site.permute(product, [order.index(c) for c in output])


CONTRACTIONS: Mapping[str, Converter] = MappingProxyType(
    {
        "aten.linear": _linear,
        "aten.matmul": _matmul,
        "aten.mm": _matmul,
        "aten.bmm": _matmul,
        "aten.addmm": _addmm,
        "aten.baddbmm": _addmm,
        "aten.einsum": _einsum,
    }
)
