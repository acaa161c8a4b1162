"""From text to syntax nodes: the lark parser of ``mir.lark``, and its errors in plain words.

The nodes keep tokens where a later stage may have to point at them. Their meaning (scopes
of values, types) is :mod:`meshc.ir.parser`'s.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import lark
from lark import Token

from meshc.ir.strings import unquote
from meshc.ir.syntax_errors import syntax_error
from meshrt.diagnostics.source_text import SourceText
from meshrt.grammar import grammar_text

# Nodes are named tuples: they are built once per operation of the text, and quickly.


class TensorNode(NamedTuple):
    """``tensor<...>``, not yet looked into."""

    token: Token


class ParametricNode(NamedTuple):
    """``name<...>``: a dialect's type, an index expression or a view."""

    token: Token
    positional: tuple[Any, ...]
    entries: tuple[EntryNode, ...]


class EntryNode(NamedTuple):
    """``key = value``; the token is the key's."""

    token: Token
    key: str
    value: Any


class SequenceNode(NamedTuple):
    """``[...]``."""

    items: tuple[Any, ...]


class DictionaryNode(NamedTuple):
    """``{...}``."""

    entries: tuple[EntryNode, ...]


class LocationNode(NamedTuple):
    """``loc(...)``."""

    file: str
    line: int
    scope: str


class ArgumentNode(NamedTuple):
    """``%name: type`` at the head of a region."""

    token: Token
    type: Any


class RegionNode(NamedTuple):
    """``(arguments) { operations }``."""

    arguments: tuple[ArgumentNode, ...]
    operations: tuple[OperationNode, ...]


class OperationNode(NamedTuple):
    """One operation; ``token`` is its name."""

    results: tuple[Token, ...]
    token: Token
    operands: tuple[Token, ...]
    attributes: DictionaryNode | None
    types: tuple[Any, ...]
    location: LocationNode | None
    regions: tuple[RegionNode, ...]


class ModuleNode(NamedTuple):
    """The whole text."""

    level: Token
    attributes: DictionaryNode | None
    operations: tuple[OperationNode, ...]


class StepNode(NamedTuple):
    """One pass of a pipeline text, with its options."""

    token: Token
    options: tuple[EntryNode, ...]


class _Nodes(lark.Transformer):
    """Builds the nodes while the text is parsed. Each method takes the children of one rule."""

    def module(self, children):
        level, attributes, *operations = children
        return ModuleNode(level, attributes, tuple(operations))

    def operation(self, children):
        results, name, operands, attributes, types, location, *regions = children
        return OperationNode(results or (), name, operands or (), attributes, types or (), location, tuple(regions))

    def region(self, children):
        arguments, *operations = children
        return RegionNode(arguments or (), tuple(operations))

    def argument(self, children):
        return ArgumentNode(*children)

    def location(self, children):
        file, line, scope = children
        return LocationNode(
            unquote(file) if file is not None else "",
            int(line) if line is not None else 0,
            unquote(scope) if scope is not None else "",
        )

    def tensor(self, children):
        return TensorNode(children[0])

    def parametric(self, children):
        name, parameters = children
        positional = tuple(node for node in parameters or () if not isinstance(node, EntryNode))
        entries = tuple(node for node in parameters or () if isinstance(node, EntryNode))
        return ParametricNode(name, positional, entries)

    def entry(self, children):
        token, value = children
        return EntryNode(token, unquote(token) if token[0] == '"' else str(token), value)

    option = entry

    def key(self, children):
        return children[0]

    def dictionary(self, children):
        return DictionaryNode(children[0] or ())

    def sequence(self, children):
        return SequenceNode(children[0] or ())

    def none(self, children):
        return None

    def true(self, children):
        return True

    def false(self, children):
        return False

    def integer(self, children):
        return int(children[0])

    def floating(self, children):
        return float(children[0])

    def string(self, children):
        return unquote(children[0])

    def word(self, children):
        return str(children[0])

    def step(self, children):
        token, options = children
        return StepNode(token, options or ())

    def pipeline(self, children):
        return children[0] or ()

    results = operands = types = arguments = parameters = entries = items = steps = options = tuple


def parse_text(source: SourceText, start: str) -> Any:
    """The node of a whole text, ``start`` being ``module`` or ``pipeline``.

    Raises M0201 with the place, what was found and what could stand there.
    """
    try:
        return _lark().parse(source.text, start=start)
    except lark.UnexpectedInput as error:
        raise syntax_error(source, error) from None


@functools.cache
def _lark() -> lark.Lark:
    return lark.Lark(
        grammar_text("mir.lark"),
        parser="lalr",
        lexer="contextual",
        start=["module", "pipeline"],
        maybe_placeholders=True,
        transformer=_Nodes(),
    )
