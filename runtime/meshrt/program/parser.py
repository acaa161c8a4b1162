"""Reads the text of ``program.mesh``: programs, index expressions, views and statements.

The grammar is ``grammar/mesh.lark`` (LALR); its reference is ``docs/program.md``. What is
read is well-formed text of known instructions; whether it makes sense on a target is
for :mod:`meshrt.program.check`. Malformed text raises a ``MeshError`` with a code of
M03xx, the line, the column and what was expected there.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

from lark import Lark
from lark.exceptions import UnexpectedInput

from meshrt.diagnostics import MeshError
from meshrt.diagnostics.source_text import SourceText
from meshrt.grammar import grammar_text
from meshrt.program.ast_builder import ProgramBuilder, TextProblem
from meshrt.program.expr import Expr
from meshrt.program.model import Program, Statement, View
from meshrt.program.syntax_error import syntax_error

START_SYMBOLS = ("program", "body", "expr", "view")
#: Deepest nesting of brackets and blocks, and most operators of a line: trees are walked recursively.
MAX_NESTING = 100
MAX_OPERATORS = 400


def parse_program(text: str, file: str = "program.mesh") -> Program:
    """Read a whole program; its statements carry their line numbers in ``text``."""
    return _parse(text, file, "program")


def parse_statements(text: str, file: str = "") -> tuple[Statement, ...]:
    """Read statements of code, one to a line."""
    return _parse(text, file, "body")


def parse_expr(text: str, file: str = "") -> Expr:
    """Read an index expression. Names of streams (``@ring.x.0``) are read as names."""
    return _parse(text, file, "expr")


def parse_view(text: str, file: str = "") -> View:
    """Read a view of a buffer: ``buffer[offset](extent:stride, ..)``."""
    return _parse(text, file, "view")


@lru_cache(maxsize=1)
def _parser() -> Lark:
    return Lark(
        grammar_text("mesh.lark"),
        parser="lalr",
        lexer="contextual",
        start=list(START_SYMBOLS),
        transformer=ProgramBuilder(),
    )


def _parse(text: str, file: str, start: str) -> Any:
    source = SourceText(text, file)
    _check_depth(source)
    try:
        return _parser().parse(text, start=start)
    except TextProblem as problem:
        place = source.place(problem.token.line or 0, problem.token.column or 0)
        raise MeshError(problem.code, problem.message, place=place, helps=problem.helps) from None
    except UnexpectedInput as error:
        raise syntax_error(error, source) from None


def _check_depth(source: SourceText) -> None:
    """Refuse text whose tree would be deeper than any program needs."""
    depth = 0
    for number, line in enumerate(source.lines, start=1):
        bare = re.sub(r'"(\\.|[^"\\])*"|#.*', "", line)
        for bracket in re.findall(r"[(){}\[\]]", bare):
            depth += 1 if bracket in "({[" else -1
            if depth > MAX_NESTING:
                raise MeshError(
                    "M0303", f"brackets are nested more than {MAX_NESTING} deep", place=source.place(number)
                )
        if len(bare) > MAX_OPERATORS and len(re.findall(r"[-+*/%<>=!]", bare)) > MAX_OPERATORS:
            raise MeshError("M0303", f"a line has more than {MAX_OPERATORS} operators", place=source.place(number))
