"""The options of a pass: its dataclass fields, read from and written as pipeline text."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from meshc.ir.typed_values import describe, field_types
from meshc.passes.base import Pass


@dataclass(frozen=True, slots=True)
class Option:
    """One option of a pass: name, type, default, and the type in words."""

    name: str
    type: Any
    default: Any

    @property
    def kind(self) -> str:
        """What the option takes, for people: ``int or none``, ``ring | chain``."""
        return describe(self.type)


def options_of(cls: type[Pass]) -> dict[str, Option]:
    """The options of a pass by name, in the order of its fields."""
    types = field_types(cls)
    found: dict[str, Option] = {}
    for field in dataclasses.fields(cls):
        default = field.default
        if field.default_factory is not dataclasses.MISSING:
            default = field.default_factory()
        found[field.name] = Option(field.name, types[field.name], default)
    return found


def given_options(instance: Pass) -> Mapping[str, Any]:
    """The options of a pass that differ from their defaults."""
    return {
        name: value
        for name, option in options_of(type(instance)).items()
        if (value := getattr(instance, name)) != option.default
    }
