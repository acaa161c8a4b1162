"""Names of values in the text: from their hints, unique inside each top-level operation.

Values without a hint are numbered. The names of one top-level operation do not depend on
another's, except that nothing reuses the name of a top-level result, which all can see.
Reading a text and printing it again gives the same names.
"""

from __future__ import annotations

import re

from meshc.ir.core import Module, Operation, Value

_INVALID = re.compile(r"[^A-Za-z0-9_.]+")


class _Names:
    """The names given so far. A nested set starts as a copy and leaves the outer one alone."""

    def __init__(self, used: set[str], number: int):
        self.used = used
        self.number = number
        self._suffix: dict[str, int] = {}

    def nested(self) -> _Names:
        return _Names(set(self.used), self.number)

    def give(self, hint: str) -> str:
        name = _valid(hint)
        if not name:
            name, self.number = str(self.number), self.number + 1
        elif name in self.used:
            name = self._with_suffix(name)
        self.used.add(name)
        return name

    def _with_suffix(self, stem: str) -> str:
        number = self._suffix.get(stem, 1)
        while f"{stem}_{number}" in self.used:
            number += 1
        self._suffix[stem] = number + 1
        return f"{stem}_{number}"


def _valid(hint: str) -> str:
    """The hint as the text can hold it; empty where there is none."""
    name = _INVALID.sub("_", hint).lstrip(".")
    return f"_{name}" if name.isdigit() else name


def value_names(module: Module) -> dict[Value, str]:
    """The name, without ``%``, of every value that the module defines."""
    names: dict[Value, str] = {}
    outer = _Names(set(), 0)
    for arg in module.body.args:
        names[arg] = outer.give(arg.name)
    for op in module.body.ops:
        for result in op.results:
            names[result] = outer.give(result.name)
        if op.regions:
            _name_regions(op, outer.nested(), names)
    return names


def _name_regions(op: Operation, scope: _Names, names: dict[Value, str]) -> None:
    for block in op.regions:
        for arg in block.args:
            names[arg] = scope.give(arg.name)
        for inner in block.ops:
            for result in inner.results:
                names[result] = scope.give(result.name)
            _name_regions(inner, scope, names)
