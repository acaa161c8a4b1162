"""The parser: IR text to a module.

``parse_module(print_module(m))`` is structurally equal to ``m``. Names of values become
their hints (a number is no hint), so that printing again gives the same bytes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from lark import Token

from meshc.ir.core import UNKNOWN, Block, Location, Module, Operation, Type, Value
from meshc.ir.syntax import (
    DictionaryNode,
    ModuleNode,
    OperationNode,
    ParametricNode,
    RegionNode,
    SequenceNode,
    TensorNode,
    parse_text,
)
from meshc.ir.typed_values import make_type
from meshc.ir.types import ParametricType, read_tensor
from meshrt.diagnostics import MeshError, Place
from meshrt.diagnostics.source_text import SourceText
from meshrt.diagnostics.suggest import did_you_mean
from meshrt.program.parser import parse_expr, parse_view


def parse_module(text: str, file: str = "<text>", types: Iterable[type[ParametricType]] = ()) -> Module:
    """The module that a text stands for.

    ``file`` is how diagnostics name the text; ``types`` are the parametric types that it
    may use. Raises M0201 for text that is not IR and M0202 to M0207 for what it says wrongly,
    each with line, column and caret.
    """
    source = SourceText(text, file)
    node = parse_text(source, "module")
    try:
        return _Reader(source, types).module(node)
    except RecursionError:
        raise MeshError("M0201", "the text nests too deeply", place=Place(file)) from None


def read_module(path: Path, types: Iterable[type[ParametricType]] = ()) -> Module:
    """The module in a file. Raises M0209 where the file cannot be read, else as :func:`parse_module`."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise MeshError("M0209", f"cannot read IR from {path}: {reason}") from None
    return parse_module(text, str(path), types)


def read_attribute(node: Any, source: SourceText) -> Any:
    """The attribute value of a syntax node of the text (a pipeline's option, say)."""
    return _Reader(source, ()).attribute(node)


_RESULTS = re.compile(r"\s*(%[\w.]+(?:\s*,\s*%[\w.]+)*)\s*=")


class _Definition(NamedTuple):
    value: Value
    token: Token


class _Reader:
    """Gives the syntax nodes of one text their meaning."""

    def __init__(self, source: SourceText, types: Iterable[type[ParametricType]]):
        self._source = source
        self._types = {type.mnemonic: type for type in types}
        # What the same text stood for before: types, index expressions and views are immutable.
        self._tensors: dict[str, Type] = {}
        self._programs: dict[tuple[str, str], Any] = {}
        # The values that can be seen, innermost scope last.
        self._scopes: list[dict[str, _Definition]] = [{}]
        # Where each name was last defined, also in regions that have ended: for diagnostics.
        self._lines: dict[str, int] = {}

    def module(self, node: ModuleNode) -> Module:
        module = Module(str(node.level), attributes=self._dictionary(node.attributes))
        for inner in node.operations:
            module.body.append(self._operation(inner))
        return module

    def _operation(self, node: OperationNode) -> Operation:
        if len(node.results) != len(node.types):
            raise self._error(
                "M0207",
                f"{node.token} has {_count(len(node.results), 'result')} but {_count(len(node.types), 'type')}",
                node.results[0] if node.results else node.token,
                helps=["write one type per result: %a, %b = name(...) : type, type"],
            )
        operands = [self._use(token) for token in node.operands]
        op = Operation(
            str(node.token),
            operands,
            [self._type(t) for t in node.types],
            self._dictionary(node.attributes),
            [self._region(region) for region in node.regions],
            UNKNOWN if node.location is None else Location(*node.location),
            [_hint(token) for token in node.results],
        )
        for token, value in zip(node.results, op.results, strict=True):
            self._define(token, value)
        return op

    def _region(self, node: RegionNode) -> Block:
        block = Block([self._type(a.type) for a in node.arguments], [_hint(a.token) for a in node.arguments])
        self._scopes.append({})
        for argument, value in zip(node.arguments, block.args, strict=True):
            self._define(argument.token, value)
        for inner in node.operations:
            block.append(self._operation(inner))
        self._scopes.pop()
        return block

    def _define(self, token: Token, value: Value) -> None:
        for scope in self._scopes:
            if token in scope:
                raise self._error(
                    "M0203", f"{token} is defined twice", token, [f"first defined on line {scope[token].token.line}"]
                )
        self._scopes[-1][str(token)] = _Definition(value, token)
        self._lines[str(token)] = token.line or 0

    def _use(self, token: Token) -> Value:
        for scope in reversed(self._scopes):
            if token in scope:
                return scope[token].value
        notes = ["a value can be used after its definition, in the same region or in one inside it"]
        line = self._lines.get(token) or self._later_line(token)
        if line:
            notes.insert(0, f"it is defined on line {line}, which cannot be seen from here")
        helps = () if line else did_you_mean(token, [name for scope in self._scopes for name in scope], "values")
        raise self._error("M0202", f"{token} is not defined here", token, notes, helps)

    def _later_line(self, token: Token) -> int:
        """The line further down that defines a name as a result, 0 where there is none."""
        for number, line in enumerate(self._source.lines, start=1):
            match = _RESULTS.match(line)
            if match is not None and token in re.split(r"[\s,]+", match[1]):
                return number
        return 0

    def _type(self, node: Any) -> Type:
        match node:
            case TensorNode(token):
                type = self._tensors.get(token)
                if type is None:
                    type = self._tensors[token] = self._tensor(token)
                return type
            case ParametricNode(token):
                return self._parametric(node, token)
        raise AssertionError("the grammar allows only types here")

    def _tensor(self, token: Token) -> Type:
        try:
            return read_tensor(token)
        except ValueError as error:
            raise self._error("M0204", str(error), token) from None

    def _parametric(self, node: ParametricNode, token: Token) -> Type:
        cls = self._types.get(token)
        if cls is None:
            helps = did_you_mean(token, ("tensor", *self._types), "types")
            raise self._error("M0204", f"unknown type {str(token)!r}", token, helps=helps)
        if len(node.positional) > len(cls.positional):
            raise self._error(
                "M0204", f"{token} takes {_count(len(cls.positional), 'parameter')} without a name", token
            )
        parameters = {name: self.attribute(value) for name, value in zip(cls.positional, node.positional, strict=False)}
        for entry in node.entries:
            if entry.key in parameters:
                raise self._error("M0206", f"{entry.key!r} is given twice", entry.token)
            parameters[entry.key] = self.attribute(entry.value)
        try:
            return make_type(cls, parameters)
        except ValueError as error:
            raise self._error("M0204", str(error), token) from None

    def attribute(self, node: Any) -> Any:
        match node:
            case SequenceNode(items):
                return tuple(self.attribute(item) for item in items)
            case DictionaryNode():
                return self._dictionary(node)
            case ParametricNode(token) if token in ("expr", "view"):
                return self._program_text(node, token)
            case TensorNode() | ParametricNode():
                return self._type(node)
        return node

    def _dictionary(self, node: DictionaryNode | None) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for entry in node.entries if node is not None else ():
            if entry.key in values:
                raise self._error("M0206", f"{entry.key!r} is given twice", entry.token)
            values[entry.key] = self.attribute(entry.value)
        return values

    def _program_text(self, node: ParametricNode, token: Token) -> Any:
        match node:
            case ParametricNode(_, (str(text),), ()):
                pass
            case _:
                raise self._error("M0205", f'{token} takes one string: {token}<"...">', token)
        key = (str(token), text)
        if key not in self._programs:
            try:
                self._programs[key] = parse_expr(text) if token == "expr" else parse_view(text)
            except MeshError as error:
                told = error.diagnostic
                raise self._error("M0205", f"in {token}: {told.message}", token, told.notes, told.helps) from None
        return self._programs[key]

    def _error(
        self, code: str, message: str, token: Token, notes: Iterable[str] = (), helps: Iterable[str] = ()
    ) -> MeshError:
        place = self._source.place(token.line or 0, token.column or 0)
        return MeshError(code, message, place=place, notes=tuple(notes), helps=tuple(helps))


def _hint(token: Token) -> str:
    """The hint that a name in the text leaves on its value: none where it is a number."""
    name = token[1:]
    return "" if name.isdigit() else name


def _count(number: int, thing: str) -> str:
    return f"{number or 'no'} {thing}{'' if number == 1 else 's'}"
