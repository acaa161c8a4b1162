"""Prints programs, statements, views and index expressions as the text of ``program.mesh``.

The text is a function of the value alone: same program, same bytes. The parser
(:mod:`meshrt.program.parser`) reads back an equal value, and printing what it read from
printed text gives the same bytes. Reference of the text: ``docs/program.md``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

from meshrt.program.expr import COMPARISONS, Binary, Expr, Int, Name, Select, TableRef
from meshrt.program.model import (
    Arg,
    Buffer,
    Code,
    Dim,
    For,
    If,
    Instruction,
    OpScope,
    OptionValue,
    Param,
    Placement,
    Port,
    Program,
    Rect,
    Region,
    Route,
    Statement,
    Table,
    Until,
    View,
)
from meshrt.program.table_runs import compress
from meshrt.program.views import dense_stride

#: Longest line that a table may fill before it is continued on the next.
LINE_WIDTH = 110
_INDENT = "  "
_CALL, _COMPARISON, _SUM, _PRODUCT, _ATOM = 0, 1, 2, 3, 4
_PRECEDENCE = {
    "min": _CALL,
    "max": _CALL,
    "+": _SUM,
    "-": _SUM,
    "*": _PRODUCT,
    "//": _PRODUCT,
    "%": _PRODUCT,
    **dict.fromkeys(COMPARISONS, _COMPARISON),
}


def print_program(program: Program) -> str:
    """The whole text of ``program.mesh``, ending in a newline."""
    lines = [f"mesh {program.version}"]
    if program.ops:
        lines.append("")
    for number, op in enumerate(program.ops):
        texts = [op.name, op.location, op.phase]
        while len(texts) > 1 and not texts[-1]:
            texts.pop()
        lines.append(f"op {number} {' '.join(map(print_string, texts))}")
    for region in program.regions:
        lines.append("")
        lines += _region_lines(region)
    return "\n".join(lines) + "\n"


def print_expr(expr: Expr) -> str:
    """An index expression with as few parentheses as its structure allows."""
    return _expr(expr, _COMPARISON)


def print_view(view: View) -> str:
    """A view: ``buffer``, ``buffer[offset]`` or ``buffer[offset](extent:stride, ..)``.

    A stride is left out where the dimensions inside it lie densely.
    """
    text = view.buffer
    if view.dims is None:
        return text if view.offset == Int(0) else f"{text}[{print_expr(view.offset)}]"
    return f"{text}[{print_expr(view.offset)}]({', '.join(_dims(view.dims))})"


def print_statement(statement: Statement, indent: int = 0) -> str:
    """One statement of code, nested ones over several lines, without a newline at the end."""
    return "\n".join(_statement_lines(statement, indent))


def print_rect(rect: Rect) -> str:
    """A strided rectangle: ``(x0:x1:step, y0:y1:step)``, a single column or row as its number."""
    return f"({_span(rect.x0, rect.x1, rect.xs)}, {_span(rect.y0, rect.y1, rect.ys)})"


def print_number(value: float) -> str:
    """An immediate number: the shortest text that reads back as the same float."""
    return repr(float(value))


def print_string(text: str) -> str:
    """A quoted string with the escapes of JSON."""
    return json.dumps(text, ensure_ascii=False)


def _expr(expr: Expr, at_least: int) -> str:
    match expr:
        case Int(value):
            return str(value)
        case Name(name):
            return name
        case TableRef(table, index):
            return f"{table}[{print_expr(index)}]"
        case Select(condition, then, otherwise):
            return f"select({print_expr(condition)}, {print_expr(then)}, {print_expr(otherwise)})"
        case Binary(op, left, right):
            own = _PRECEDENCE[op]
            if own == _CALL:
                return f"{op}({print_expr(left)}, {print_expr(right)})"
            # Sums and products associate to the left; a comparison of comparisons needs parentheses.
            left_text = _expr(left, own + 1 if own == _COMPARISON else own)
            text = f"{left_text} {op} {_expr(right, own + 1)}"
            return f"({text})" if own < at_least else text
    raise TypeError(f"not an index expression: {expr!r}")


def _dims(dims: tuple[Dim, ...]) -> list[str]:
    texts = []
    for position, dim in enumerate(dims):
        extent = print_expr(dim.extent)
        dense = dim.stride == dense_stride(dims[position + 1 :])
        texts.append(extent if dense else f"{extent}:{print_expr(dim.stride)}")
    return texts


def _span(start: int, stop: int, step: int) -> str:
    if stop == start + 1 and step == 1:
        return str(start)
    return f"{start}:{stop}" + ("" if step == 1 else f":{step}")


def _region_lines(region: Region) -> Iterator[str]:
    x, y = region.origin
    yield f"region {region.name} {region.width} x {region.height} at ({x}, {y}) {{"
    for scalar in region.scalars:
        yield f"{_INDENT}scalar {scalar.name} from {scalar.low} to {scalar.high}"
    for table in region.tables:
        yield from _table_lines(table)
    for param in region.params:
        yield _INDENT + _param(param)
    for buffer in region.buffers:
        yield _INDENT + _buffer(buffer)
    for placement in region.placements:
        yield _INDENT + _placement(placement)
    for route in region.routes:
        yield _INDENT + _route(route)
    for port in region.ports:
        yield _INDENT + _port(port)
    for code in region.codes:
        yield from _code_lines(code)
    yield "}"


def _table_lines(table: Table) -> Iterator[str]:
    line = f"{_INDENT}table {table.name} ["
    items = list(compress(table.entries))
    for position, item in enumerate(items):
        last = position == len(items) - 1
        item += "]" if last else ","
        if position and len(line) + 1 + len(item) > LINE_WIDTH:
            yield line
            line = _INDENT * 2 + item
        else:
            line += item if position == 0 else f" {item}"
    yield line if items else line + "]"


def _param(param: Param) -> str:
    return f"param {print_rect(param.rect)} {param.name} = {print_expr(param.value)}"


def _element_type(dtype: str, shape: tuple[int, ...]) -> str:
    return f"{dtype}[{', '.join(map(str, shape))}]"


def _buffer(buffer: Buffer) -> str:
    element_type = _element_type(buffer.dtype, buffer.shape)
    return f"buffer {print_rect(buffer.rect)} {buffer.name}: {element_type} @ {buffer.address}"


def _placement(placement: Placement) -> str:
    ranges = ", ".join(f"{r.name}: {r.start}..{r.stop}" for r in placement.ranges)
    indices = ", ".join(map(print_expr, placement.indices))
    source = f"{print_string(placement.tensor)}[{indices}]"
    return f"place {print_rect(placement.rect)} {placement.buffer}[{ranges}] = {source}"


def _route(route: Route) -> str:
    outputs = ", ".join(route.destinations)
    return f"route {print_rect(route.rect)} color {route.color}: {route.source} -> {outputs}"


def _port(port: Port) -> str:
    indices = ", ".join(map(print_expr, port.indices))
    bound = "count" if port.exact else "most"
    return (
        f"port {port.direction} {port.name} side {port.side} {print_rect(port.rect)} color {port.color}: "
        f"{_element_type(port.dtype, port.shape)} {bound} {print_expr(port.count)} at [{indices}]"
    )


def _code_lines(code: Code) -> Iterator[str]:
    yield f"{_INDENT}code {print_rect(code.rect)} {code.name} {{"
    yield from _body_lines(code.body, 2)
    yield _INDENT + "}"


def _body_lines(body: tuple[Statement, ...], indent: int) -> Iterator[str]:
    for statement in body:
        yield from _statement_lines(statement, indent)


def _statement_lines(statement: Statement, indent: int) -> Iterator[str]:
    margin = _INDENT * indent
    match statement:
        case Instruction():
            yield margin + _instruction(statement)
        case If():
            yield from _if_lines(statement, indent, margin)
        case For(counter, start, stop, body, until):
            ending = "" if until is None else f" until {print_view(until)}"
            yield f"{margin}for {counter} in {print_expr(start)}..{print_expr(stop)}{ending} {{"
            yield from _body_lines(body, indent + 1)
            yield margin + "}"
        case Until(flag, body):
            yield f"{margin}until {print_view(flag)} {{"
            yield from _body_lines(body, indent + 1)
            yield margin + "}"
        case OpScope(op, body):
            yield f"{margin}op {op} {{"
            yield from _body_lines(body, indent + 1)
            yield margin + "}"


def _if_lines(statement: If, indent: int, opening: str) -> Iterator[str]:
    margin = _INDENT * indent
    yield f"{opening}if {print_expr(statement.condition)} {{"
    yield from _body_lines(statement.then, indent + 1)
    match statement.otherwise:
        case ():
            yield margin + "}"
        case (If() as nested,):
            yield from _if_lines(nested, indent, margin + "} else ")
        case _:
            yield margin + "} else {"
            yield from _body_lines(statement.otherwise, indent + 1)
            yield margin + "}"


def _instruction(instruction: Instruction) -> str:
    items = [_arg(arg) for arg in instruction.args]
    items += [f"{name}={_option(value)}" for name, value in instruction.options]
    return f"{instruction.opcode} {', '.join(items)}".rstrip()


def _arg(arg: Arg) -> str:
    return print_view(arg) if isinstance(arg, View) else print_number(arg)


def _option(value: OptionValue) -> str:
    match value:
        case Expr():
            return print_expr(value)
        case str():
            return value
        case tuple():
            return f"[{', '.join(value)}]"
    return print_number(value)
