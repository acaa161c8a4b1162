"""Structural equality: same operations, types, attributes, regions and locations, whatever the names.

Values have no names here: an operand is equal to another when both mean the same result or
argument. Attributes are compared with their kinds, so ``1``, ``1.0`` and ``true`` differ;
``nan`` equals ``nan``, and a list equals a tuple of the same items, as in the text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from meshc.ir.attributes import attribute_text, kind_of
from meshc.ir.core import Block, Module, Operation, Value


def equal(left: Module, right: Module) -> bool:
    """Whether two modules are structurally equal."""
    return difference(left, right) is None


def difference(left: Module, right: Module) -> str | None:
    """The first difference in words, with the path to it, or None where the modules are equal."""
    if left.level != right.level:
        return f"module: level {left.level} and {right.level}"
    comparison = _Comparison()
    return comparison.attributes(left.attributes, right.attributes, "module") or comparison.block(
        left.body, right.body, "module"
    )


def equal_attributes(left: Any, right: Any) -> bool:
    """Whether two attribute values are equal, kinds included."""
    kind = kind_of(left)
    if kind != kind_of(right):
        return False
    match kind:
        case "float":
            # The text tells apart what == does not (0.0 and -0.0) and joins what it does (nan).
            return attribute_text(left) == attribute_text(right)
        case "list":
            return len(left) == len(right) and all(map(equal_attributes, left, right))
        case "dict":
            return left.keys() == right.keys() and all(equal_attributes(left[key], right[key]) for key in left)
    return left == right


class _Comparison:
    """Walks two modules at once and remembers which values stand for each other."""

    def __init__(self) -> None:
        self._twin: dict[Value, Value] = {}

    def block(self, left: Block, right: Block, path: str) -> str | None:
        found = self._definitions(left.args, right.args, f"{path}: arguments")
        if found is not None:
            return found
        for i, (a, b) in enumerate(zip(left.ops, right.ops, strict=False)):
            found = self._operation(a, b, f"{path} / {i} {a.name}")
            if found is not None:
                return found
        if len(left.ops) != len(right.ops):
            return f"{path}: {len(left.ops)} and {len(right.ops)} operations"
        return None

    def attributes(self, left: Mapping[str, Any], right: Mapping[str, Any], path: str) -> str | None:
        if left.keys() != right.keys():
            return f"{path}: attributes {', '.join(left)} and {', '.join(right)}"
        for key, value in left.items():
            if not equal_attributes(value, right[key]):
                return f"{path}: {key} is {value!r} and {right[key]!r}"
        return None

    def _operation(self, left: Operation, right: Operation, path: str) -> str | None:
        if left.name != right.name:
            return f"{path}: also {right.name}"
        if left.location != right.location:
            return f"{path}: from {left.location or '?'} and {right.location or '?'}"
        if [self._twin.get(value) for value in left.operands] != right.operands:
            return f"{path}: operands differ"
        found = self.attributes(left.attributes, right.attributes, path)
        if found is not None:
            return found
        if len(left.regions) != len(right.regions):
            return f"{path}: {len(left.regions)} and {len(right.regions)} regions"
        for i, (a, b) in enumerate(zip(left.regions, right.regions, strict=True)):
            found = self.block(a, b, f"{path} / region {i}" if i else path)
            if found is not None:
                return found
        return self._definitions(left.results, right.results, f"{path}: results")

    def _definitions(self, left: Sequence[Value], right: Sequence[Value], path: str) -> str | None:
        types = [value.type for value in left], [value.type for value in right]
        if types[0] != types[1]:
            return f"{path} of types {types[0]} and {types[1]}"
        self._twin.update(zip(left, right, strict=True))
        return None
