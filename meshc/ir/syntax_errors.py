"""Syntax errors in plain words: what was found, what could stand there, and a likely reason."""

from __future__ import annotations

import re
from collections.abc import Iterable

import lark

from meshrt.diagnostics import MeshError
from meshrt.diagnostics.source_text import SourceText

#: What a terminal of the grammar is called in a message, in the order in which messages list them.
WORDS = {
    "MODULE": "'module'",
    "VALUE": "a value such as %x",
    "NAME": "a name",
    "PASS": "the name of a pass",
    "STRING": "a string",
    "INT": "an integer",
    "FLOAT": "a number",
    "TENSOR": "a tensor type",
    "NONE": "none",
    "TRUE": "true",
    "FALSE": "false",
    "LOC": "loc(...)",
    "EQUAL": "'='",
    "COLON": "':'",
    "COMMA": "','",
    "LPAR": "'('",
    "RPAR": "')'",
    "LBRACE": "'{'",
    "RBRACE": "'}'",
    "LSQB": "'['",
    "RSQB": "']'",
    "LESSTHAN": "'<'",
    "MORETHAN": "'>'",
    "$END": "the end of the text",
}

_VALUE = frozenset(("NONE", "TRUE", "FALSE", "INT", "FLOAT", "STRING", "TENSOR", "LSQB", "LBRACE", "NAME"))

#: Terminals that read better under one name: all present, they become it.
GROUPS = (
    (_VALUE, "an attribute value"),
    (frozenset(("TENSOR", "NAME")), "a type"),
    (frozenset(("VALUE", "NAME")), "an operation"),
    (frozenset(("NAME", "STRING")), "a key"),
)

#: How a construct is written, by what was expected where it went wrong.
EXAMPLES = {
    "MODULE": "a text starts with its level: module graph",
    "LOC": 'an operation is written: %a, %b = name(%x) {key = value} : type, type loc("file.py":12 "scope")',
    "STRING": 'a location is written: loc("file.py":12 "scope"), loc("file.py":12) or loc("scope")',
}

_STRING_START = re.compile(r'"(?:[^"\\\n]|\\(?:["\\ntr]|u\{(?:10[0-9a-f]{4}|[0-9a-f]{1,5})\}))*')
_WORD = re.compile(r"[%\w.-]+|.")
_STRING_OR_COMMENT = re.compile(r'"(?:\\.|[^"\\\n])*"|//.*')


def syntax_error(source: SourceText, error: lark.UnexpectedInput) -> MeshError:
    """The diagnostic M0201 of an error that lark reports."""
    expected = _accepted(error)
    if isinstance(error, lark.UnexpectedToken) and error.token.type == "$END":
        return _ends_early(source, expected)
    if isinstance(error, lark.UnexpectedCharacters) and (broken := _broken_string(source, error)) is not None:
        return broken
    line, column = error.line, error.column
    word = _WORD.match(source.line(line), column - 1)
    message = f"expected {alternatives(expected)}, found {word[0] if word else 'the end of the line'!r}"
    return MeshError("M0201", message, place=source.place(line, column), helps=_examples(expected))


def alternatives(terminals: Iterable[str]) -> str:
    """Terminals of the grammar as an English list: ``a value such as %x, ',' or ')'``."""
    left = set(terminals)
    words: list[str] = []
    for group, name in GROUPS:
        if group <= left:
            words.append(name)
            left -= group
    words += [word for terminal, word in WORDS.items() if terminal in left]
    if len(words) < 2:
        return words[0] if words else "nothing more"
    return f"{', '.join(words[:-1])} or {words[-1]}"


def _accepted(error: lark.UnexpectedInput) -> set[str]:
    """The terminals that lead on from where the parser stands."""
    # lark sets this on every error of an LALR parser, but declares it on one class only.
    parser = getattr(error, "interactive_parser", None)
    return set(parser.accepts()) if parser is not None else set()


def _examples(expected: set[str]) -> tuple[str, ...]:
    if expected >= _VALUE:
        return ()
    return tuple(text for terminal, text in EXAMPLES.items() if terminal in expected)[:1]


def _ends_early(source: SourceText, expected: set[str]) -> MeshError:
    lines = source.text.rstrip().split("\n")
    opened = _unclosed(source)
    return MeshError(
        "M0201",
        f"the text ends too early; expected {alternatives(expected)}",
        place=source.place(len(lines), len(lines[-1]) + 1),
        notes=[f"the {opened[1]!r} in line {opened[0]} is not closed"] if opened is not None else [],
    )


def _unclosed(source: SourceText) -> tuple[int, str] | None:
    """Line and character of the innermost bracket that is not closed."""
    opened: list[tuple[int, str]] = []
    for number, line in enumerate(source.lines, start=1):
        for character in _STRING_OR_COMMENT.sub("", line):
            if character in "({[":
                opened.append((number, character))
            elif character in ")}]" and opened:
                opened.pop()
    return opened[-1] if opened else None


def _broken_string(source: SourceText, error: lark.UnexpectedCharacters) -> MeshError | None:
    """The diagnostic of a string that is not closed or holds a wrong escape, else None."""
    match = _STRING_START.match(source.line(error.line), error.column - 1)
    if match is None:
        return None
    if source.line(error.line)[match.end() : match.end() + 1] == "\\":
        return MeshError(
            "M0201",
            "unknown escape in a string",
            place=source.place(error.line, match.end() + 1),
            helps=[r"escapes are \" \\ \n \t \r and \u{1f600}, a code point in lower-case hexadecimal"],
        )
    return MeshError(
        "M0201",
        "this string does not end on its line",
        place=source.place(error.line, error.column),
        helps=[r"close it with a quote; a line break inside is written \n"],
    )
