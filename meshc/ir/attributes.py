"""Attribute values: which kinds there are, and their text.

===========  ==============================================  ==============================
kind         Python value                                    text
===========  ==============================================  ==============================
none         ``None``                                        ``none``
bool         ``bool``                                        ``true`` ``false``
int          ``int``                                         ``-3``
float        ``float``                                       ``1e-05`` ``2.0`` ``inf`` ``nan``
string       ``str``                                         ``"silu"``
type         :class:`meshc.ir.core.Type`                     ``tensor<4xf32>``
expr         :class:`meshrt.program.expr.Expr`               ``expr<"x + 1">``
view         :class:`meshrt.program.model.View`              ``view<"tile[8 * i](4, 8)">``
list         ``tuple`` (a ``list`` is read back as a tuple)  ``[1, 2]``
dict         ``dict`` with string keys                       ``{key = 1}``
===========  ==============================================  ==============================
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from meshc.ir.core import TensorType, Type
from meshc.ir.strings import quote
from meshc.ir.types import ParametricType, tensor_text
from meshrt.diagnostics import MeshError
from meshrt.program.expr import Expr
from meshrt.program.model import View
from meshrt.program.printer import print_expr, print_view

#: Words that a bare key cannot be.
KEYWORDS = ("none", "true", "false", "inf", "nan", "loc", "module")

_BARE_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z0-9_]+)*", re.ASCII)

_KINDS: tuple[tuple[type | tuple[type, ...], str], ...] = (
    (type(None), "none"),
    (bool, "bool"),
    (int, "int"),
    (float, "float"),
    (str, "string"),
    (Type, "type"),
    (Expr, "expr"),
    (View, "view"),
    ((tuple, list), "list"),
    (Mapping, "dict"),
)


def kind_of(value: Any) -> str | None:
    """The kind of an attribute value, or None where it is no attribute value."""
    for classes, kind in _KINDS:
        if isinstance(value, classes):
            return kind
    return None


def key_text(key: str) -> str:
    """A dictionary's key: bare where it can be, else quoted."""
    return key if _BARE_KEY.fullmatch(key) and key not in KEYWORDS else quote(key)


def type_text(type: Type) -> str:
    """A type as IR text. Raises M0208 for a type that has no text form."""
    if isinstance(type, TensorType):
        return tensor_text(type)
    if isinstance(type, ParametricType):
        parts = [
            attribute_text(value) if name in type.positional else f"{key_text(name)} = {attribute_text(value)}"
            for name, value in type.parameters().items()
        ]
        return f"{type.mnemonic}<{', '.join(parts)}>"
    raise MeshError("M0208", f"a type of class {type.__class__.__name__} has no text form")


def attribute_text(value: Any) -> str:
    """An attribute value as IR text. Raises M0208 for a value that is none of the kinds."""
    match kind_of(value):
        case "none":
            return "none"
        case "bool":
            return "true" if value else "false"
        case "int":
            return int.__repr__(value)
        case "float":
            return float.__repr__(value) if math.isfinite(value) else str(float(value))
        case "string":
            return quote(value)
        case "type":
            return type_text(value)
        case "expr":
            return f"expr<{quote(print_expr(value))}>"
        case "view":
            return f"view<{quote(print_view(value))}>"
        case "list":
            return f"[{', '.join(map(attribute_text, value))}]"
        case "dict":
            return dictionary_text(value)
    raise MeshError(
        "M0208",
        f"an attribute value of class {value.__class__.__name__} has no text form",
        helps=[f"attributes are {', '.join(kind for _, kind in _KINDS[:-2])}, and lists and dictionaries of these"],
    )


def dictionary_text(entries: Mapping[str, Any]) -> str:
    """``{key = value, ...}`` in the mapping's own order."""
    return "{" + ", ".join(f"{key_text(key)} = {attribute_text(value)}" for key, value in entries.items()) + "}"
