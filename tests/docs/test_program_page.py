"""The examples of ``docs/program.md`` and ``docs/targets.md`` are real."""

from __future__ import annotations

import re

import pytest

from meshrt.program.check import diagnose
from meshrt.program.instructions import INSTRUCTIONS
from meshrt.program.parser import parse_expr, parse_program, parse_view
from meshrt.program.printer import print_program, print_view
from meshrt.program.views import dense_view
from meshrt.target import KEYS, load_target
from tools.table_sections import DOCS, instruction_table, with_tables

PROGRAM_PAGE = (DOCS / "program.md").read_text(encoding="utf-8")
TARGETS_PAGE = (DOCS / "targets.md").read_text(encoding="utf-8")


def test_the_whole_program_is_legal_and_as_the_printer_writes_it():
    (text,) = re.findall(r"```mesh\n(.*?)```", PROGRAM_PAGE, re.DOTALL)
    program = parse_program(text)
    assert print_program(program) == text
    tensors = {f"layers.{layer}.weight": (12,) for layer in range(2)}
    assert diagnose(program, load_target("tiny"), tensors=tensors) == ()


@pytest.mark.parametrize(
    "text", re.findall(r"^\| `(\w+(?:\[.*?\])?(?:\(.*?\))?)` \| .*element", PROGRAM_PAGE, re.MULTILINE)
)
def test_the_views_are_views(text):
    parse_view(text)


def test_the_dense_views_are_the_dense_ones():
    assert parse_view("w[0](2, 6)") == dense_view("w", 0, (2, 6))
    assert print_view(parse_view("w[0](6:1, 2:6)")) == "w[0](6:1, 2:6)"


def test_precedence_is_as_described():
    assert parse_expr("a + b * c < d - e") == parse_expr("(a + (b * c)) < (d - e)")


def test_every_instruction_and_every_key_is_listed():
    assert all(f"| `{opcode} " in instruction_table() for opcode in INSTRUCTIONS)
    assert all(f"`{name}`" in TARGETS_PAGE for name in KEYS)


def test_a_page_without_a_place_for_its_table():
    with pytest.raises(ValueError, match="no place for the table 'keys'"):
        with_tables("program.md", {"keys": str})
