"""What is printed reads back as the same value, and what was read prints as the same bytes."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from meshrt.diagnostics import CATALOG, MeshError
from meshrt.diagnostics.source_text import SourceText
from meshrt.program.check import diagnose
from meshrt.program.expr import Binary, Int, Name, binary, evaluate, select
from meshrt.program.model import Dim, For, If, Instruction, Program, Rect, Region, Route, Table, View
from meshrt.program.parser import parse_expr, parse_program, parse_statements, parse_view
from meshrt.program.printer import (
    LINE_WIDTH,
    print_expr,
    print_program,
    print_rect,
    print_statement,
    print_view,
)
from meshrt.program.views import dense_view
from meshrt.target import load_target
from tests.meshrt.program import strategies

HERE = Path(__file__).parent
thorough = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)


@thorough
@given(strategies.exprs)
def test_expressions_read_back(expr):
    assert parse_expr(print_expr(expr)) == expr


@thorough
@given(strategies.views)
def test_views_read_back(view):
    assert parse_view(print_view(view)) == view


@thorough
@given(strategies.statements)
def test_statements_read_back(statement):
    assert parse_statements(print_statement(statement)) == (statement,)


@settings(parent=thorough, max_examples=40)
@given(strategies.programs)
def test_programs_read_back_and_print_alike(program):
    text = print_program(program)
    assert parse_program(text) == program
    assert print_program(parse_program(text)) == text


@pytest.mark.parametrize(
    "text",
    [
        "a + b * c - (d - e)",
        "(a + b) * c // (d % 3)",
        "a - b - c",
        "a // b * c",
        "-3 * x - -4",
        "(a < b) == (c != d)",
        "min(a, max(b, c)) + select(x % 2 == 0, 3, y)",
        "phys[(x + y) % 24]",
        "@ring.x.0",
        "select(x < 2, @a.b, @c)",
    ],
)
def test_parentheses_stand_only_where_they_must(text):
    assert print_expr(parse_expr(text)) == text


@pytest.mark.parametrize(
    ("text", "value"),
    [("7 - 2 - 1", 4), ("-7 // 2", -4), ("-7 % 3", 2), ("2 + 3 * 4", 14), ("-(3)", -3), ("0 - -3", 3)],
)
def test_operators_bind_as_in_python(text, value):
    assert evaluate(parse_expr(text), {}, {}) == value


def test_a_sign_before_anything_but_an_integer_is_a_subtraction():
    assert parse_expr("-x") == Binary("-", Int(0), Name("x"))


def test_nothing_is_folded():
    assert print_expr(parse_expr("1 + 2")) == "1 + 2"


@pytest.mark.parametrize(
    ("view", "text"),
    [
        (View("a"), "a"),
        (View("a", Int(4)), "a[4]"),
        (dense_view("a", 0, (2, 3)), "a[0](2, 3)"),
        (dense_view("a", Name("l") * 6, (Name("n"), 3)), "a[l * 6](n, 3)"),
        (View("a", Int(0), (Dim(Int(2), Int(6)), Dim(Int(3), Int(1)))), "a[0](2:6, 3)"),
        (View("a", Int(0), (Dim(Int(2), Int(0)),)), "a[0](2:0)"),
        (View("a", Int(0), ()), "a[0]()"),
    ],
)
def test_dense_strides_are_left_out(view, text):
    assert print_view(view) == text
    assert parse_view(text) == view


@pytest.mark.parametrize("value", [0.0, -0.0, 1.5, -1e-30, 1e300, math.inf, -math.inf, 0.1])
def test_numbers_read_back_exactly(value):
    statement = Instruction("add", (View("r"), View("a"), value), ())
    (read,) = parse_statements(print_statement(statement))
    assert math.copysign(1.0, read.args[2]) == math.copysign(1.0, value)
    assert read.args[2] == value


def test_nan_is_a_number():
    (read,) = parse_statements("fill r, value=nan")
    assert math.isnan(read.option("value"))
    assert print_statement(read) == "fill r, value=nan"


def test_integers_stand_for_numbers():
    (read,) = parse_statements("add r, a, -2")
    assert read.args[2] == -2.0 and isinstance(read.args[2], float)


def test_statements_carry_their_lines():
    program = parse_program((HERE / "legal.mesh").read_text(encoding="utf-8"))
    (region,) = program.regions
    assert (region.line, region.scalars[0].line, region.tables[0].line) == (5, 6, 7)
    assert (region.params[0].line, region.buffers[1].line, region.placements[0].line) == (8, 10, 11)
    assert (region.routes[1].line, region.ports[0].line, region.codes[0].line) == (13, 14, 15)
    (scope,) = region.codes[0].body
    (loop,) = scope.body
    assert isinstance(loop, For) and isinstance(loop.body[1], If)
    nested = loop.body[1].otherwise[0]
    assert (scope.line, loop.line, loop.body[0].line, loop.body[1].line, nested.line) == (16, 17, 18, 19, 22)


def test_lines_take_no_part_in_comparison():
    text = (HERE / "legal.mesh").read_text(encoding="utf-8")
    assert parse_program(text) == parse_program("# first\n\n" + text)


def test_comments_blank_lines_and_other_line_ends_change_nothing():
    text = (HERE / "legal.mesh").read_text(encoding="utf-8")
    commented = "\n".join(f"{line}   # a comment: {{" for line in text.split("\n"))
    assert parse_program(commented) == parse_program(text)
    assert parse_program(text.replace("\n", "\r\n")) == parse_program(text)
    assert parse_program(text.replace("\n", "\n\n  # alone\n\t\n")) == parse_program(text)


def test_declarations_may_come_in_any_order():
    declarations = ["table t [1]", "route (0, 0) color 1: W -> E", "param (0, 0) p = 1", "route (1, 0) color 2: W -> E"]
    first, second = (
        "mesh 1\nregion r 4 x 4 at (0, 0) {{\n{}\n}}\n".format("\n".join(d))
        for d in (declarations, declarations[1:] + declarations[:1])
    )
    assert parse_program(first) == parse_program(second)


def test_a_long_table_is_continued_within_the_line_width():
    entries = tuple((7 * k * k) % 1009 for k in range(1000))
    program = Program(regions=(Region("r", (0, 0), 1, 1, tables=(Table("t", entries),)),))
    text = print_program(program)
    assert max(map(len, text.split("\n"))) <= LINE_WIDTH
    assert parse_program(text) == program


def test_regular_tables_are_short():
    ring = (0, *range(1, 600, 2), *range(598, 0, -2), *([5] * 400))
    text = print_program(Program(regions=(Region("r", (0, 0), 1, 1, tables=(Table("t", ring),)),)))
    assert "[0, 1..600:2, 598..1:-2, 400 of 5]" in text


@pytest.mark.parametrize(
    ("rect", "text"),
    [
        (Rect(0, 24, 0, 24), "(0:24, 0:24)"),
        (Rect(0, 24, 3, 4, 2), "(0:24:2, 3)"),
        (Rect(5, 6, 0, 9, 1, 3), "(5, 0:9:3)"),
        (Rect(5, 6, 0, 1, 2, 1), "(5:6:2, 0)"),
    ],
)
def test_rectangles(rect, text):
    assert print_rect(rect) == text
    route = parse_program(f"mesh 1\nregion r 9 x 9 at (0, 0) {{\nroute {text} color 1: W -> E\n}}").regions[0].routes[0]
    assert route == Route(rect, 1, "W", ("E",))


def test_else_if_is_one_line():
    inner = If(Name("b"), (Instruction("wait", (), (("handle", "h"),)),))
    text = print_statement(If(Name("a"), (), (inner,)))
    assert text.split("\n") == ["if a {", "} else if b {", "  wait handle=h", "}"]


def test_expressions_built_with_folding_read_back():
    expr = select(Name("x").eq(0), binary("+", Name("l") * 4, -3), Name("x") % 4 - 1)
    assert print_expr(expr) == "select(x == 0, l * 4 + -3, x % 4 - 1)"
    assert parse_expr(print_expr(expr)) == expr


def test_an_expression_alone_names_no_file():
    with pytest.raises(MeshError) as caught:
        parse_expr("1 +")
    assert str(caught.value).split("\n")[1] == "  --> <text>:1:4"


def test_the_grammar_names_every_terminal():
    from meshrt.program.parser import _parser

    assert [t.name for t in _parser().terminals if t.name.startswith("__ANON")] == []


@pytest.mark.parametrize(
    "expression",
    ["(" * 5000 + "1" + ")" * 5000, "min(1, " * 2000 + "1" + ")" * 2000, " + ".join("1" * 5000), "-" * 5000 + "1"],
)
def test_what_would_make_a_bottomless_tree_is_refused(expression):
    with pytest.raises(MeshError) as caught:
        parse_expr(expression)
    assert caught.value.diagnostic.code == "M0303"


@settings(parent=thorough, max_examples=150)
@given(st.data())
def test_damaged_text_is_read_or_gets_a_diagnostic(data):
    """Nothing but a MeshError comes of a text with pieces taken out, doubled or replaced."""
    text = (HERE / "legal.mesh").read_text(encoding="utf-8")
    for _ in range(data.draw(st.integers(1, 3))):
        start = data.draw(st.integers(0, len(text)))
        stop = data.draw(st.integers(start, min(len(text), start + 12)))
        piece = data.draw(
            st.sampled_from(["", text[start:stop] * 2, "-", "0", "(", "}", "\n", '"', "min", "x", ".", "@", "é"])
        )
        text = text[:start] + piece + text[stop:]
    try:
        program = parse_program(text)
    except MeshError as error:
        assert error.diagnostic.code in CATALOG and error.diagnostic.place is not None
    else:
        assert parse_program(print_program(program)) == program
        assert all(found.code in CATALOG for found in diagnose(program, load_target("tiny"), SourceText(text)))
