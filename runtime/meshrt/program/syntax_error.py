"""Says in human words what the parser expected, and shows how the construct is written."""

from __future__ import annotations

import re
from collections.abc import Iterable

from lark.exceptions import UnexpectedCharacters, UnexpectedInput, UnexpectedToken

from meshrt.diagnostics import MeshError
from meshrt.diagnostics.source_text import SourceText
from meshrt.program.expr import COMPARISONS
from meshrt.program.instructions import INSTRUCTIONS
from meshrt.program.signature import signature

#: How each declaration and statement is written, by its first word.
EXAMPLES = {
    "mesh": "mesh 1",
    "op": 'op 0 "layers.mlp" "model.py:12"   or, in code,   op 0 {',
    "region": "region main 24 x 24 at (0, 0) {",
    "scalar": "scalar length from 1 to 64",
    "table": "table phys [0, 1, 3..24:2, 4 of 7]",
    "param": "param (0:24, 0:24) kb = phys[(x + y) % 24]",
    "buffer": "buffer (0:24, 0:24) wq: f16[2, 6, 6] @ 4176",
    "place": 'place (0:24, 0:24) wq[i: 0..6, j: 0..6] = "q_proj.weight"[x * 6 + j, y * 6 + i]',
    "route": "route (0:24:2, 0:24) color 3: W -> RAMP, E",
    "port": "port in ids side W (0, 0:1) color 22: i32[1, 64] count 64 at [0, e]",
    "code": "code (0:24, 0:24) main {",
    "for": "for l in 0..30 {",
    "if": "if x % 2 == 0 {",
    "else": "} else {",
    "until": "until flag {",
}

#: Groups of terminals that are better named together: all present, they become one phrase.
_GROUPS = (
    (frozenset({"INT", "NAME", "STREAM", "MINUS", "LPAR", "FLOAT"}), "an index expression or a number"),
    (frozenset({"INT", "NAME", "STREAM", "MINUS", "LPAR"}), "an index expression"),
    (frozenset({"INT", "NAME", "FLOAT", "MINUS", "INF", "NAN"}), "a view of a buffer, a number or an option"),
    (frozenset({"FLOAT", "INF", "NAN"}), "a number"),
    (frozenset({"INT", "MINUS"}), "an integer"),
    (frozenset({"SUM_OPERATOR", "PRODUCT_OPERATOR", "MINUS", "COMPARISON"}), "an operator"),
    (frozenset({"SUM_OPERATOR", "PRODUCT_OPERATOR", "MINUS"}), "an operator"),
    (
        frozenset({"SCALAR", "TABLE", "PARAM", "BUFFER", "PLACE", "ROUTE", "PORT_KEYWORD", "CODE"}),
        "a declaration (scalar, table, param, buffer, place, route, port or code)",
    ),
    (frozenset({"FOR", "IF", "UNTIL", "OP", "NAME"}), "a statement"),
)
_WORDS = {
    "$END": "the end of the text",
    "_NL": "the end of the line",
    "INT": "an integer",
    "NAME": "a name",
    "STREAM": "a stream",
    "FLOAT": "a number",
    "STRING": "a string in double quotes",
    "PORT": "a port (N, E, S, W or RAMP)",
    "SIDE": "a side (N, E, S or W)",
    "DIRECTION": "'in' or 'out'",
    "DTYPE": "a dtype (f32, f16, bf16 or i32)",
    "MINUS": "'-'",
    "SUM_OPERATOR": "'+'",
    "PRODUCT_OPERATOR": "'*', '//' or '%'",
    "COMPARISON": "a comparison",
    "COMMA": "','",
    "COLON": "':'",
    "EQUAL": "'='",
    "LPAR": "'('",
    "RPAR": "')'",
    "LSQB": "'['",
    "RSQB": "']'",
    "LBRACE": "'{'",
    "RBRACE": "'}'",
    "PORT_KEYWORD": "'port'",
    "_ADDRESS": "'@'",
    "_SIDE_KEYWORD": "'side'",
    "_RANGE": "'..'",
    "_ARROW": "'->'",
}


def syntax_error(error: UnexpectedInput, source: SourceText) -> MeshError:
    """The diagnostic for text that the grammar does not allow, at its place."""
    accepted = _accepted(error)
    if _at_end(error) and len(accepted) > 1:
        accepted -= {"_NL"}
    expected = expected_words(accepted)
    if _at_end(error):
        line, column = _end(source)
        opened = _unclosed(source)
        message = f"the text ends too early; expected {expected}"
        notes = [f"the block that opens in line {opened} is not closed"] if opened else []
        return MeshError("M0301", message, place=source.place(line, column), notes=notes)
    line, column = error.line, error.column
    place = source.place(line, column)
    found = _found(error, source)
    if found.startswith('"') and isinstance(error, UnexpectedCharacters):
        return MeshError("M0301", "this string does not end on its line", place=place, helps=["close it with '\"'"])
    return MeshError(
        "M0301", f"expected {expected}, found {found}", place=place, helps=_helps(source.line(line), found)
    )


def expected_words(terminals: Iterable[str]) -> str:
    """Terminals of the grammar as an English list, the likeliest reading first."""
    left = set(terminals)
    phrases: list[str] = []
    for group, phrase in _GROUPS:
        if group <= left:
            phrases.append(phrase)
            left -= group
    phrases += [_WORDS.get(terminal, f"'{terminal.lower()}'") for terminal in sorted(left)]
    unique = list(dict.fromkeys(phrases))
    if len(unique) < 2:
        return unique[0] if unique else "nothing more"
    return f"{', '.join(unique[:-1])} or {unique[-1]}"


def _accepted(error: UnexpectedInput) -> set[str]:
    """The terminals that the grammar allows here, narrowed to those that lead on where the parser can tell."""
    if isinstance(error, UnexpectedToken):
        interactive = error.interactive_parser
        return set(interactive.accepts()) if interactive is not None else set(error.expected)
    return set(error.allowed or ()) if isinstance(error, UnexpectedCharacters) else set()


def _at_end(error: UnexpectedInput) -> bool:
    return isinstance(error, UnexpectedToken) and error.token.type == "$END"


def _end(source: SourceText) -> tuple[int, int]:
    """Line and column just behind the last character that is not white space."""
    lines = source.text.rstrip().split("\n")
    return len(lines), len(lines[-1]) + 1


def _found(error: UnexpectedInput, source: SourceText) -> str:
    if isinstance(error, UnexpectedToken):
        return "the end of the line" if error.token.type == "_NL" else repr(str(error.token))
    rest = source.line(error.line)[error.column - 1 :]
    word = re.match(r'[A-Za-z0-9_.@]+|".*|.', rest)
    if word is None:
        return "the end of the line"
    return word.group() if word.group().startswith('"') else repr(word.group())


def _helps(line: str, found: str) -> list[str]:
    if found.strip("'") in COMPARISONS:
        return ["a comparison of comparisons needs parentheses; that two hold is min(a < b, b < c)"]
    words = re.findall(r"[A-Za-z_]\w*", line)
    first = words[0] if words else ""
    if first in EXAMPLES:
        return [f"it is written as: {EXAMPLES[first]}"]
    if first in INSTRUCTIONS:
        return [f"it is written as: {signature(INSTRUCTIONS[first])}"]
    return []


def _unclosed(source: SourceText) -> int:
    """The line of the innermost '{' that is not closed, 0 when all are."""
    opened: list[int] = []
    for number, line in enumerate(source.lines, start=1):
        for character in re.sub(r'"(\\.|[^"\\])*"|#.*', "", line):
            if character == "{":
                opened.append(number)
            elif character == "}" and opened:
                opened.pop()
    return opened[-1] if opened else 0
