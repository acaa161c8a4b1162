"""Values from text as the types that dataclass fields want: a type's parameters, a pass's options.

A field may be a ``bool``, ``int``, ``float``, ``str``, a class of IR types, a ``Literal`` of
words, a tuple of these, or one of several (``int | None``).
"""

from __future__ import annotations

import dataclasses
import functools
import types
from collections.abc import Mapping
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from meshc.ir.attributes import KEYWORDS, attribute_text
from meshc.ir.types import ParametricType

_WORDS = {bool: "true or false", str: "word", int: "int", float: "number"}


def make_type(cls: type[ParametricType], parameters: Mapping[str, Any]) -> ParametricType:
    """The type of these fields. Raises ValueError where one is unknown, missing or of a wrong kind."""
    wanted = field_types(cls)
    for name in parameters:
        if name not in wanted:
            raise ValueError(f"{cls.mnemonic} has no parameter {name!r}: it takes {', '.join(wanted)}")
    for field in dataclasses.fields(cls):
        no_default = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        if no_default and field.name not in parameters:
            raise ValueError(f"{cls.mnemonic} needs the parameter {field.name!r}: {describe(wanted[field.name])}")
    values: dict[str, Any] = {}
    for name, value in parameters.items():
        try:
            values[name] = convert(value, wanted[name])
        except ValueError as error:
            raise ValueError(f"{name} of {cls.mnemonic} must be {error}") from None
    return cls(**values)


@functools.cache
def field_types(cls: type) -> dict[str, Any]:
    """The annotations of a dataclass's fields, resolved, in the order of the fields."""
    hints = get_type_hints(cls)
    return {field.name: hints[field.name] for field in dataclasses.fields(cls)}


def convert(value: Any, wanted: Any) -> Any:
    """A value as the type that the field wants. Raises ValueError, with both in words, where it is none."""
    origin, arguments = get_origin(wanted), get_args(wanted)
    if origin in (Union, types.UnionType):
        for choice in arguments:
            try:
                return convert(value, choice)
            except ValueError:
                continue
    elif origin is Literal:
        if value in arguments:
            return value
    elif origin is tuple and isinstance(value, tuple):
        if len(arguments) == 2 and arguments[1] is ...:
            return tuple(convert(item, arguments[0]) for item in value)
        if len(arguments) == len(value):
            return tuple(convert(item, each) for item, each in zip(value, arguments, strict=True))
    elif _is_one(value, wanted):
        return float(value) if wanted is float else value
    raise ValueError(f"{describe(wanted)}, not {attribute_text(value)}")


def _is_one(value: Any, wanted: Any) -> bool:
    if wanted is Any:
        return True
    if wanted is None:
        return value is None
    if wanted is float:
        return type(value) in (int, float)
    # A truth value is an instance of int, but no integer of the text.
    return isinstance(wanted, type) and isinstance(value, wanted) and (wanted is bool or not isinstance(value, bool))


def describe(wanted: Any) -> str:
    """A field's type in words: ``int``, ``int or none``, ``ring | chain``, ``[int, int]``, ``list of word``."""
    origin, arguments = get_origin(wanted), get_args(wanted)
    if origin in (Union, types.UnionType):
        return " or ".join(map(describe, arguments))
    if origin is Literal:
        return " | ".join(map(word_text, arguments))
    if origin is tuple:
        if len(arguments) == 2 and arguments[1] is ...:
            return f"list of {describe(arguments[0])}"
        return f"[{', '.join(map(describe, arguments))}]"
    if wanted is None or wanted is type(None):
        return "none"
    return _WORDS.get(wanted) or getattr(wanted, "mnemonic", None) or getattr(wanted, "__name__", "anything")


def word_text(value: Any) -> str:
    """A value as text, a string that is a plain word without quotes."""
    if isinstance(value, str) and value.isascii() and value.isidentifier() and value not in KEYWORDS:
        return value
    return attribute_text(value)
