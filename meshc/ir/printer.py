"""The printer: a module as text that :mod:`meshc.ir.parser` reads back.

It also prints what is not legal (a value used before its definition, an unknown
operation), so that diagnostics can show it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from meshc.ir.attributes import dictionary_text, type_text
from meshc.ir.core import Block, Location, Module, Operation, Value
from meshc.ir.naming import value_names
from meshc.ir.strings import quote

_INDENT = "  "


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the text, and the operation whose header it is."""

    text: str
    op: Operation | None = None


def print_module(module: Module) -> str:
    """The whole module as text that ends with a newline. Raises M0208 where an attribute has no text form."""
    return "".join(f"{line.text}\n" for line in module_lines(module))


def print_operation(op: Operation, names: Mapping[Value, str] | None = None) -> str:
    """One operation's header, its regions left out; without names, values are shown by their hints."""
    return _Printer(names if names is not None else {}).header(op)


def module_lines(module: Module) -> Iterator[Line]:
    """The lines of the text, each with the operation that it starts."""
    printer = _Printer(value_names(module))
    yield Line(f"module {module.level}" + (f" {dictionary_text(module.attributes)}" if module.attributes else ""))
    for op in module.body.ops:
        if op.regions:
            yield Line("")
        yield from printer.lines(op, "")


def location_text(location: Location) -> str:
    """``loc("file.py":12 "scope")``, ``loc("file.py":12)`` or ``loc("scope")``; empty where nothing is known."""
    place = f"{quote(location.file)}:{location.line}" if location.file or location.line else ""
    scope = quote(location.scope) if location.scope else ""
    inside = " ".join(part for part in (place, scope) if part)
    return f"loc({inside})" if inside else ""


class _Printer:
    """Prints operations with the names that were given to their values."""

    def __init__(self, names: Mapping[Value, str]):
        self._names = names

    def lines(self, op: Operation, indent: str) -> Iterator[Line]:
        header = indent + self.header(op)
        if not op.regions:
            yield Line(header, op)
            return
        yield Line(f"{header} {self._arguments(op.regions[0])} {{", op)
        for i, block in enumerate(op.regions):
            if i:
                yield Line(f"{indent}}} {self._arguments(block)} {{")
            for inner in block.ops:
                yield from self.lines(inner, indent + _INDENT)
        yield Line(f"{indent}}}")

    def header(self, op: Operation) -> str:
        results = f"{self._values(op.results)} = " if op.results else ""
        parts = [f"{results}{op.name}({self._values(op.operands)})"]
        if op.attributes:
            parts.append(dictionary_text(op.attributes))
        if op.results:
            parts.append(": " + ", ".join(type_text(result.type) for result in op.results))
        if location := location_text(op.location):
            parts.append(location)
        return " ".join(parts)

    def _arguments(self, block: Block) -> str:
        return f"({', '.join(f'{self._name(arg)}: {type_text(arg.type)}' for arg in block.args)})"

    def _values(self, values: list[Value]) -> str:
        return ", ".join(map(self._name, values))

    def _name(self, value: Value) -> str:
        name = self._names.get(value)
        if name is None:
            # A value from another module, or no module at hand: shown, but not to be read back.
            return f"%{value.name or '?'}"
        return f"%{name}"
