"""Legality as data: for each operation of a level one row that says what it takes.

A :class:`Dialect` is one level's table. The verifier reads it, and so may whoever wants to
know what an operation means: nothing about an operation is written anywhere else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from meshc.ir.core import Operation
from meshc.ir.types import ParametricType

#: A check of what the table cannot say: the reason why an operation is not legal, or None.
Check = Callable[[Operation], "str | None"]


@dataclass(frozen=True, slots=True)
class Count:
    """How many operands, results or regions an operation has: from ``least`` to ``most``, None for any number."""

    least: int
    most: int | None

    def __contains__(self, number: int) -> bool:
        return self.least <= number and (self.most is None or number <= self.most)

    def __str__(self) -> str:
        if self.most is None:
            return f"{self.least} or more" if self.least else "any number of"
        return str(self.least) if self.least == self.most else f"{self.least} to {self.most}"


def exactly(number: int) -> Count:
    """Just this many."""
    return Count(number, number)


#: As many as there happen to be.
ANY = Count(0, None)


@dataclass(frozen=True, slots=True)
class AttributeSpec:
    """One attribute: its kinds (see :mod:`meshc.ir.attributes`), and the words that a string may be."""

    name: str
    kinds: tuple[str, ...]
    required: bool = False
    words: tuple[str, ...] = ()

    def __str__(self) -> str:
        text = " | ".join(f'"{word}"' for word in self.words) if self.words else " or ".join(self.kinds)
        return f"{self.name}: {text}" + ("" if self.required else ", optional")


def required(name: str, *kinds: str, words: Iterable[str] = ()) -> AttributeSpec:
    """An attribute that must be there: a string where words are given."""
    return AttributeSpec(name, kinds or ("string",), required=True, words=tuple(words))


def optional(name: str, *kinds: str, words: Iterable[str] = ()) -> AttributeSpec:
    """An attribute that may be left out."""
    return AttributeSpec(name, kinds or ("string",), words=tuple(words))


@dataclass(frozen=True, slots=True)
class OpSpec:
    """One row of a level's table.

    ``ends_with`` names the operation that each of its regions must end with;
    ``terminator`` says that the operation may stand only at a region's end; ``top_level``
    that it stands outside any region. ``effects`` marks what must stay though nobody uses
    its results. ``more_attributes`` lets it carry attributes that are not listed.
    """

    name: str
    meaning: str
    operands: Count = exactly(0)
    results: Count = exactly(1)
    attributes: tuple[AttributeSpec, ...] = ()
    regions: Count = exactly(0)
    ends_with: str = ""
    terminator: bool = False
    top_level: bool = False
    effects: bool = False
    more_attributes: bool = False
    check: Check | None = None

    def attribute(self, name: str) -> AttributeSpec | None:
        """The attribute of this name."""
        return next((spec for spec in self.attributes if spec.name == name), None)


@dataclass(frozen=True, slots=True)
class Dialect:
    """One level: its operations by name and the parametric types that its values have."""

    level: str
    ops: Mapping[str, OpSpec] = field(default_factory=dict)
    types: tuple[type[ParametricType], ...] = ()

    @classmethod
    def of(cls, level: str, rows: Iterable[OpSpec], types: Iterable[type[ParametricType]] = ()) -> Dialect:
        """A level with these rows. Raises ValueError where two rows have one name."""
        table: dict[str, OpSpec] = {}
        for row in rows:
            if row.name in table:
                raise ValueError(f"two rows for {row.name}")
            table[row.name] = row
        return cls(level, MappingProxyType(table), tuple(types))

    def has_effects(self, op: Operation) -> bool:
        """Whether the operation must stay though nobody uses its results (see :func:`meshc.ir.core.erase_dead`)."""
        row = self.ops.get(op.name)
        return row is None or row.effects or row.terminator or row.top_level
