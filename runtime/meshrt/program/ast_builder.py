"""Builds program values from the rules of ``grammar/mesh.lark`` while the parser reduces them.

Each method is named after a rule (or its alias) and returns the value of
:mod:`meshrt.program.model` or :mod:`meshrt.program.expr` that the rule stands for.
Nothing is folded: ``1 + 2`` stays a sum, so that printing gives the text back.
"""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from lark import Token, Transformer, v_args

from meshrt.diagnostics.suggest import did_you_mean
from meshrt.program.expr import Binary, Expr, Int, Name, Select, TableRef
from meshrt.program.instructions import INSTRUCTIONS, InstructionSpec
from meshrt.program.model import (
    PROGRAM_VERSION,
    Buffer,
    Code,
    Dim,
    ElementRange,
    For,
    If,
    Instruction,
    OpInfo,
    OpScope,
    OptionValue,
    Param,
    Placement,
    Port,
    Program,
    Rect,
    Region,
    Route,
    Scalar,
    Statement,
    Table,
    Until,
    View,
)
from meshrt.program.option_values import option_words, typed_option
from meshrt.program.views import dense_stride

#: Most digits of an integer: index expressions are evaluated in 64 bits.
MAX_DIGITS = 18
#: Most entries of a table.
MAX_TABLE_ENTRIES = 1 << 20
FUNCTIONS = {"min": 2, "max": 2, "select": 3}


class TextProblem(Exception):
    """Something wrong at a token, before the parser adds the file and the line's text."""

    def __init__(self, code: str, message: str, token: Token, helps: tuple[str, ...] = ()):
        super().__init__(message)
        self.code, self.message, self.token, self.helps = code, message, token, helps


class _Option(NamedTuple):
    name: Token
    value: Any


class _Numbered(NamedTuple):
    number: int
    info: OpInfo
    token: Token


def _line(token: Token) -> int:
    return token.line or 0


def _int(token: Token) -> int:
    if len(token) > MAX_DIGITS:
        raise TextProblem("M0303", f"an integer has at most {MAX_DIGITS} digits", token)
    return int(token)


def _string(token: Token) -> str:
    try:
        return json.loads(token, strict=False)
    except json.JSONDecodeError as error:
        raise TextProblem(
            "M0303",
            f"the string {token} has a wrong escape",
            token,
            ('write a backslash as \\\\ and a quote as \\"',),
        ) from error


def _items(children: list[Any]) -> tuple[Any, ...]:
    return tuple(child for child in children if child is not None)


@v_args(inline=True)
class ProgramBuilder(Transformer):
    """Callbacks of the parser; see the module."""

    # Programs and declarations

    def header(self, keyword: Token, version: Token) -> int:
        if _int(version) != PROGRAM_VERSION:
            raise TextProblem(
                "M0302",
                f"this program has version {version}; this runtime reads version {PROGRAM_VERSION}",
                version,
                ("compile the model again with the meshc that belongs to this runtime",),
            )
        return _int(version)

    def program(self, version: int, *declarations: Any) -> Program:
        ops: list[OpInfo] = []
        regions: list[Region] = []
        for declaration in _items(list(declarations)):
            if isinstance(declaration, Region):
                regions.append(declaration)
                continue
            if declaration.number != len(ops):
                raise TextProblem(
                    "M0303",
                    f"this op has number {declaration.number}; the next in order is {len(ops)}",
                    declaration.token,
                )
            ops.append(declaration.info)
        return Program(tuple(ops), tuple(regions), version)

    def op_entry(self, keyword: Token, number: Token, *texts: Token | None) -> _Numbered:
        info = OpInfo(*(_string(text) for text in texts if text is not None))
        return _Numbered(_int(number), info, number)

    def region(self, keyword: Token, name: Token, width: Token, height: Token, x: int, y: int, *items: Any) -> Region:
        def of(kind: type) -> tuple[Any, ...]:
            return tuple(item for item in items if isinstance(item, kind))

        return Region(
            str(name),
            (x, y),
            _int(width),
            _int(height),
            of(Scalar),
            of(Table),
            of(Param),
            of(Buffer),
            of(Placement),
            of(Route),
            of(Port),
            of(Code),
            line=_line(keyword),
        )

    def scalar(self, keyword: Token, name: Token, low: int, high: int) -> Scalar:
        return Scalar(str(name), low, high, line=_line(keyword))

    def table(self, keyword: Token, name: Token, runs: tuple[range | list[int], ...] | None) -> Table:
        runs = runs or ()
        total = sum(_length(run) for run in runs)
        if total > MAX_TABLE_ENTRIES:
            raise TextProblem(
                "M0303", f"the table {str(name)!r} has {total} entries, more than {MAX_TABLE_ENTRIES}", name
            )
        entries = tuple(entry for run in runs for entry in _expand(run))
        return Table(str(name), entries, line=_line(keyword))

    def table_runs(self, *runs: Any) -> tuple[Any, ...]:
        return runs

    def table_entry(self, value: int) -> tuple[int, int]:
        return (1, value)

    def table_repeat(self, count: Token, value: int) -> tuple[int, int]:
        return (_int(count), value)

    def table_range(self, start: int, stop: int, step: int | None) -> range:
        # A step of zero would never end; an empty range shows the mistake as a missing entry.
        return range(start, stop, 1 if step is None else step) if step != 0 else range(0)

    def param(self, keyword: Token, rect: Rect, name: Token, value: Expr) -> Param:
        return Param(rect, str(name), value, line=_line(keyword))

    def buffer(self, keyword: Token, rect: Rect, name: Token, kind: tuple[str, Any], address: Token) -> Buffer:
        return Buffer(rect, str(name), kind[0], kind[1], _int(address), line=_line(keyword))

    def placement(
        self, keyword: Token, rect: Rect, buffer: Token, ranges: Any, tensor: Token, indices: Any
    ) -> Placement:
        return Placement(rect, str(buffer), ranges or (), _string(tensor), indices or (), line=_line(keyword))

    def element_ranges(self, *ranges: ElementRange) -> tuple[ElementRange, ...]:
        return ranges

    def element_range(self, name: Token, start: int, stop: int) -> ElementRange:
        return ElementRange(str(name), start, stop)

    def route(self, keyword: Token, rect: Rect, color: Token, source: Token, *destinations: Token) -> Route:
        return Route(rect, _int(color), str(source), tuple(map(str, destinations)), line=_line(keyword))

    def port(
        self,
        keyword: Token,
        direction: Token,
        name: Token,
        side: Token,
        rect: Rect,
        color: Token,
        kind: tuple[str, Any],
        bound: Token,
        count: Expr,
        indices: Any,
    ) -> Port:
        return Port(
            str(name),
            str(direction),
            str(side),
            rect,
            _int(color),
            kind[0],
            kind[1],
            count,
            indices or (),
            bound == "count",
            line=_line(keyword),
        )

    def code(self, keyword: Token, rect: Rect, name: Token, body: tuple[Statement, ...]) -> Code:
        return Code(rect, str(name), body, line=_line(keyword))

    def rect(self, x: tuple[int, int, int], y: tuple[int, int, int]) -> Rect:
        return Rect(x[0], x[1], y[0], y[1], x[2], y[2])

    def single(self, index: int) -> tuple[int, int, int]:
        return (index, index + 1, 1)

    def span(self, start: int, stop: int, step: int | None) -> tuple[int, int, int]:
        return (start, stop, 1 if step is None else step)

    def element_type(self, dtype: Token, shape: tuple[int, ...] | None) -> tuple[str, tuple[int, ...]]:
        return (str(dtype), shape or ())

    def ints(self, *values: Token) -> tuple[int, ...]:
        return tuple(map(_int, values))

    def integer(self, value: Token) -> int:
        return _int(value)

    def negative_integer(self, value: Token) -> int:
        return -_int(value)

    # Code

    def block(self, *statements: Statement | None) -> tuple[Statement, ...]:
        return _items(list(statements))

    body = block

    def for_statement(
        self, keyword: Token, counter: Token, start: Expr, stop: Expr, until: Token | None, flag: View | None, body: Any
    ) -> For:
        return For(str(counter), start, stop, body, flag, line=_line(keyword))

    def if_statement(self, keyword: Token, condition: Expr, then: Any, otherwise: Any = None) -> If:
        if isinstance(otherwise, If):
            otherwise = (otherwise,)
        return If(condition, then, otherwise or (), line=_line(keyword))

    def until_statement(self, keyword: Token, flag: View, body: Any) -> Until:
        return Until(flag, body, line=_line(keyword))

    def op_scope(self, keyword: Token, number: Token, body: Any) -> OpScope:
        return OpScope(_int(number), body, line=_line(keyword))

    def instruction(self, opcode: Token, *items: Any) -> Instruction:
        spec = INSTRUCTIONS.get(str(opcode))
        if spec is None:
            raise TextProblem(
                "M0310",
                f"there is no instruction {str(opcode)!r}",
                opcode,
                did_you_mean(str(opcode), INSTRUCTIONS, "instructions"),
            )
        options = tuple(_option(spec, item) for item in items if isinstance(item, _Option))
        args = tuple(item for item in items if item is not None and not isinstance(item, _Option))
        return Instruction(str(opcode), args, options, line=_line(opcode))

    def option(self, name: Token, value: Any) -> _Option:
        return _Option(name, value)

    def words(self, *words: Token | None) -> tuple[str, ...]:
        return tuple(map(str, _items(list(words))))

    def real(self, value: Token) -> float:
        return float(value)

    def negative_real(self, value: Token) -> float:
        return -float(value)

    def whole_number(self, value: Token) -> float:
        return float(_int(value))

    def negative_whole_number(self, value: Token) -> float:
        return -float(_int(value))

    # Views and index expressions

    def view(self, buffer: Token, offset: Expr | None, dims: tuple[Dim, ...] | None) -> View:
        return View(str(buffer), Int(0) if offset is None else offset, dims)

    def offset(self, value: Expr) -> Expr:
        return value

    def dims(self, *dims: Any) -> tuple[Dim, ...]:
        written: list[Dim] = []
        for extent, stride in reversed(_items(list(dims))):
            written.insert(0, Dim(extent, dense_stride(written) if stride is None else stride))
        return tuple(written)

    def dim(self, extent: Expr, stride: Expr | None) -> tuple[Expr, Expr | None]:
        return (extent, stride)

    def exprs(self, *values: Expr) -> tuple[Expr, ...]:
        return values

    def binary(self, left: Expr, operator: Token, right: Expr) -> Expr:
        return Binary(str(operator), left, right)

    def literal(self, value: Token) -> Expr:
        return Int(_int(value))

    def name(self, value: Token) -> Expr:
        return Name(str(value))

    def table_ref(self, table: Token, index: Expr) -> Expr:
        return TableRef(str(table), index)

    def minus(self, sign: Token, operand: Expr) -> Expr:
        return Int(-operand.value) if isinstance(operand, Int) else Binary("-", Int(0), operand)

    def call(self, function: Token, arguments: tuple[Expr, ...] | None) -> Expr:
        arguments = arguments or ()
        expected = FUNCTIONS.get(str(function))
        if expected is None:
            raise TextProblem(
                "M0304",
                f"there is no function {str(function)!r} in index expressions",
                function,
                did_you_mean(str(function), FUNCTIONS, "functions")
                + ("an entry of a table is written with brackets: phys[x]",),
            )
        if len(arguments) != expected:
            raise TextProblem("M0304", f"{function} takes {expected} expressions, here are {len(arguments)}", function)
        if str(function) == "select":
            return Select(*arguments)
        return Binary(str(function), *arguments)


def _length(run: Any) -> int:
    return len(run) if isinstance(run, range) else run[0]


def _expand(run: Any) -> range | tuple[int, ...]:
    return run if isinstance(run, range) else (run[1],) * run[0]


def _option(spec: InstructionSpec, option: _Option) -> tuple[str, OptionValue]:
    name = str(option.name)
    known = {entry.name: entry for entry in spec.options}
    if name not in known:
        raise TextProblem(
            "M0311",
            f"{spec.opcode} has no option {name!r}",
            option.name,
            did_you_mean(name, known, "options") or (f"{spec.opcode} takes no options",),
        )
    value = typed_option(known[name], option.value)
    if value is None:
        raise TextProblem(
            "M0311",
            f"the option {name!r} of {spec.opcode} must be {option_words(known[name])}",
            option.name,
        )
    return name, value
