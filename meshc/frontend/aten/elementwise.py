"""Elementwise ATen operators: activations, arithmetic, comparisons and selection."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from meshc.frontend.aten.site import Converter, Site, Traced, scalar_of
from meshc.ir.core import Value


def _unary(name: str) -> Converter:
    def convert(site: Site) -> Value:
        return site.create(name, [site.operand("self")], site.out_shape, site.out_dtype)

    return convert


def _gelu(site: Site) -> Value:
    name = "gelu_tanh" if site["approximate"] == "tanh" else "gelu"
    return site.create(name, [site.operand("self")], site.out_shape)


def binary(site: Site, name: str, left: object, right: object) -> Value:
    """left (op) right, where either may be a tensor or a number; numbers become the ``scalar`` attribute."""
    number = scalar_of(right)
    if number is not None:
        value = site.value(left)
        return _broadcast(site, site.create(name, [value], _shape(value), site.out_dtype, scalar=number))
    number = scalar_of(left)
    if number is not None:
        value = site.value(right)
        result = site.create(name, [value], _shape(value), site.out_dtype, scalar=number, reversed=True)
        return _broadcast(site, result)
    operands = [site.value(left), site.value(right)]
    return site.create(name, operands, site.out_shape, site.out_dtype)


def _broadcast(site: Site, value: Value) -> Value:
    """A one-element tensor of higher rank broadcasts too: (1, 1, 1) * (5,) is (1, 1, 5)."""
    return site.reshape(value, site.out_shape)


def _shape(value: Value) -> tuple[int, ...]:
    return value.type.shape  # type: ignore[attr-defined]


def _binary(name: str) -> Converter:
    return lambda site: binary(site, name, site["self"], site["other"])


def _scaled(name: str) -> Converter:
    """add and sub: ``self (op) alpha * other``."""

    def convert(site: Site) -> Value:
        alpha, other = site.get("alpha", 1), site["other"]
        if alpha != 1:
            number = scalar_of(other)
            if number is not None:
                other = number * alpha
            else:
                value = site.value(other)
                other = Traced(site.create("mul", [value], _shape(value), site.out_dtype, scalar=alpha), site.out)
        return binary(site, name, site["self"], other)

    return convert


def _reverse_subtract(site: Site) -> Value:
    return binary(site, "sub", site["other"], site["self"])


def _divide(site: Site) -> Value | None:
    if site.get("rounding_mode") is not None:
        return None
    return binary(site, "div", site["self"], site["other"])


def _power(site: Site) -> Value | None:
    base, exponent = site["self"], site["exponent"]
    number = scalar_of(exponent)
    if number is None or scalar_of(base) is not None:
        return None
    value = site.value(base)
    exact = {2: "square", 0.5: "sqrt", -0.5: "rsqrt", -1: "reciprocal"}.get(number)
    if exact is not None:
        return site.create(exact, [value], site.out_shape, site.out_dtype)
    return site.create("pow", [value], site.out_shape, site.out_dtype, scalar=number)


def _clamp(site: Site) -> Value | None:
    value = site.operand("self")
    for bound, name in (("min", "maximum"), ("max", "minimum")):
        held = site.get(bound)
        if held is None:
            continue
        number = scalar_of(held)
        if number is None:
            return None
        value = site.create(name, [value], site.out_shape, site.out_dtype, scalar=number)
    return value


def _compare(name: str) -> Converter:
    def convert(site: Site) -> Value:
        left, right = site["self"], site["other"]
        number = scalar_of(right)
        operands = [site.value(left)] if number is not None else [site.value(left), site.value(right)]
        extra = {"scalar": number} if number is not None else {}
        return site.create("compare", operands, site.out_shape, "i1", relation=name, **extra)

    return convert


def _where(site: Site) -> Value | None:
    if "self" not in site.arguments:
        return None
    return select(site, site.operand("condition"), site["self"], site["other"])


def select(site: Site, condition: Value, yes: object, no: object) -> Value:
    """condition ? yes : no; numbers become the attributes ``then`` and ``otherwise``."""
    operands, attributes = [condition], {}
    for held, key in ((yes, "then"), (no, "otherwise")):
        number = scalar_of(held)
        if number is not None:
            attributes[key] = float(number)
        else:
            operands.append(site.value(held))
    return site.create("where", operands, site.out_shape, site.out_dtype, **attributes)


def _masked_fill(site: Site) -> Value:
    return select(site, site.operand("mask"), site["value"], site["self"])


_UNARY = (
    "neg", "exp", "log", "sqrt", "rsqrt", "reciprocal", "sin", "cos", "tanh", "sigmoid", "silu", "relu", "erf", "abs",
    "square", "log1p", "expm1", "hardswish", "hardsigmoid", "mish",
)  # fmt: skip
_COMPARE = ("eq", "ne", "lt", "le", "gt", "ge")

ELEMENTWISE: Mapping[str, Converter] = MappingProxyType(
    {
        **{f"aten.{name}": _unary(name) for name in _UNARY},
        **{f"aten.{name}": _compare(name) for name in _COMPARE},
        "aten.gelu": _gelu,
        "aten.add": _scaled("add"),
        "aten.sub": _scaled("sub"),
        "aten.subtract": _scaled("sub"),
        "aten.rsub": _reverse_subtract,
        "aten.mul": _binary("mul"),
        "aten.multiply": _binary("mul"),
        "aten.div": _divide,
        "aten.divide": _divide,
        "aten.true_divide": _divide,
        "aten.maximum": _binary("maximum"),
        "aten.minimum": _binary("minimum"),
        "aten.pow": _power,
        "aten.clamp": _clamp,
        "aten.clamp_min": _clamp,
        "aten.clamp_max": _clamp,
        "aten.where": _where,
        "aten.masked_fill": _masked_fill,
    }
)
