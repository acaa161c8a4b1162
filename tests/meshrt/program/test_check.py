"""The checker on programs built in memory, and what it must not complain of."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from meshrt.diagnostics import MeshError
from meshrt.diagnostics.source_text import SourceText
from meshrt.program.check import check_program, diagnose
from meshrt.program.check_declarations import tensor_names
from meshrt.program.expr import Name
from meshrt.program.model import ElementRange, For, Instruction, OpScope, Program, View
from meshrt.program.parser import parse_program
from meshrt.program.printer import print_program
from meshrt.target import load_target

LEGAL = (Path(__file__).parent / "legal.mesh").read_text(encoding="utf-8")
TINY = load_target("tiny")


def legal() -> Program:
    return parse_program(LEGAL)


def with_code(text: str, **options: str) -> list[str]:
    """The codes found when the loop of the legal program holds other statements (given from the margin on)."""
    start, end = LEGAL.index("      for l in"), LEGAL.index("    }\n  }\n}")
    program = LEGAL[:start] + text + "\n" + LEGAL[end:]
    for old, new in options.items():
        program = program.replace(old, new)
    return [found.code for found in diagnose(parse_program(program), TINY)]


def with_instruction(instruction: Instruction) -> Program:
    program = legal()
    (region,) = program.regions
    code = replace(region.codes[0], body=(OpScope(0, (For("l", Name("x"), Name("y"), (instruction,)),)),))
    return replace(program, regions=(replace(region, codes=(code,)),))


def codes(program: Program) -> list[str]:
    return [found.code for found in diagnose(program, TINY)]


def test_a_program_built_in_memory_has_no_places():
    program = with_instruction(Instruction("gem", ()))
    (found,) = diagnose(program, TINY)
    assert found.code == "M0310" and found.place is None


@pytest.mark.parametrize(
    ("instruction", "code"),
    [
        (Instruction("fill", (View("acc"),), (("value", "a"),)), "M0311"),
        (Instruction("fill", (View("acc"),), (("value", 1.0), ("wert", 1.0))), "M0311"),
        (Instruction("send", (View("acc"),), (("color", 3.0),)), "M0311"),
        (Instruction("wait", (), (("handle", "1h"),)), "M0311"),
        (Instruction("route", (), (("color", Name("x")), ("from", "W"), ("to", ("UP",)))), "M0311"),
        (Instruction("gemm", (View("acc"), View("a"), View("a")), (("vector", "k"),)), "M0311"),
    ],
)
def test_options_of_the_wrong_kind(instruction, code):
    assert codes(with_instruction(instruction)) == [code]


def test_a_name_that_the_text_could_not_say():
    program = legal()
    (region,) = program.regions
    (first, *rest) = region.buffers
    program = replace(program, regions=(replace(region, buffers=(replace(first, name="a b"), *rest)),))
    assert codes(program)[0] == "M0324"


def test_check_program_raises_the_first_finding():
    text = LEGAL.replace("@ 8192", "@ 0")
    with pytest.raises(MeshError) as caught:
        check_program(parse_program(text), TINY, SourceText(text, "program.mesh"))
    assert caught.value.diagnostic.code == "M0319"
    assert "program.mesh:9:34" in str(caught.value)


def test_another_target_may_not_hold_the_program():
    small = replace(TINY, sram_bytes=8200)
    assert [found.code for found in diagnose(legal(), small)] == ["M0318", "M0318"]


def test_what_depends_on_a_counter_is_left_to_the_runtime():
    assert with_code("for l in 0..9 {\n fill a[l * 6](6), value=0.0\n}") == []
    assert with_code("for l in 0..9 {\n if x == l {\n  send a[0](6), color=3\n }\n}") == []


def test_conditions_on_the_pe_decide_who_must_have_a_buffer():
    buffers = {"buffer (0:4, 0:4) acc": "buffer (0, 0:4) acc"}
    assert with_code("if x == 0 {\n fill acc, value=0.0\n}", **buffers) == []
    assert with_code("if x <= 1 {\n fill acc, value=0.0\n}", **buffers) == ["M0313"]
    assert with_code("if x == length {\n fill acc, value=0.0\n}", **buffers) == []


def test_a_branch_that_nobody_takes_is_not_looked_at():
    assert with_code("if x > 9 {\n fill acc[77](6), value=0.0\n}") == []


def test_colors_chosen_by_a_parameter():
    param = {
        "param (0:4, 0:4) lx = phys[x]": "param (0:4, 0:4) lx = phys[x]\n  param (0:4, 0:4) c = select(x < 3, 3, 4)"
    }
    assert with_code("if x < 3 {\n send a, color=c\n}", **param) == []
    assert with_code("send a, color=c", **param) == ["M0330"]


def test_a_color_that_the_code_reroutes_needs_no_initial_route():
    route = "route color=7, from=RAMP, to=[E]\n"
    assert with_code(f"if x < 3 {{\n {route}send a, color=7\n}}") == []
    assert with_code("if x < 3 {\n send a, color=7\n}") == ["M0330"]


@pytest.mark.parametrize(
    ("statements", "expected"),
    [
        # Disjoint halves of one buffer may be in flight and in use.
        ("if x < 3 {\n send a[0](6), color=3, async=h\n fill a[6](6), value=0.0\n wait handle=h\n}", []),
        ("if x < 3 {\n send a[0](6), color=3, async=h\n fill a[5](6), value=0.0\n wait handle=h\n}", ["M0509"]),
        # Reading what is sent is free; writing it is not.
        ("if x < 3 {\n send a, color=3, async=h\n copy acc, a[0](6)\n wait handle=h\n}", []),
        ("if x < 3 {\n send a, color=3, async=h\n copy a[0](6), acc\n wait handle=h\n}", ["M0509"]),
        # Different PEs, different moves.
        (
            "if x < 3 {\n send a, color=3, async=h\n}\nif x == 3 {\n fill a, value=0.0\n}\n"
            "if x < 3 {\n wait handle=h\n}",
            [],
        ),
        (
            "if x < 3 {\n send a, color=3, async=h\n}\nif x == 2 {\n fill a, value=0.0\n}\n"
            "if x < 3 {\n wait handle=h\n}",
            ["M0509"],
        ),
        # A move of no elements holds nothing.
        ("if x < 3 {\n send a[0](y), color=3, async=h\n fill a, value=0.0\n wait handle=h\n}", []),
        # Behind a condition that is not known, nothing is certain.
        ("if x < 3 {\n send a, color=3, async=h\n if length > 3 {\n  wait handle=h\n }\n fill a, value=0.0\n}", []),
        # A wait in the next round comes before what the round touches.
        (
            "if x < 3 {\n send a, color=3, async=h\n for l in 0..4 {\n  wait handle=h\n"
            "  send a, color=3, async=h\n }\n wait handle=h\n}",
            [],
        ),
        ("if x < 3 {\n for l in 0..4 {\n  send a, color=3, async=h\n }\n wait handle=h\n}", ["M0507"]),
        # Views that move with the counter are not compared across rounds.
        (
            "if x < 3 {\n for l in 0..2 {\n  fill a[l * 6](6), value=0.0\n"
            "  send a[l * 6](6), color=3, async=h\n  wait handle=h\n }\n}",
            [],
        ),
        # The flag of an until is read after every round.
        ("if x < 3 {\n until acc[0](1) {\n  recv acc[0](1), color=3, async=h\n }\n wait handle=h\n}", ["M0509"]),
    ],
)
def test_what_asynchronous_moves_hold(statements, expected):
    route = {"color 3: RAMP -> E": "color 3: RAMP -> E, RAMP"}
    assert with_code(statements, **route) == expected


def test_input_queues_count_moves_from_the_fabric():
    moves = "".join(f"recv a[{i}](1), color=3, async=h{i}\n" for i in range(5))
    waits = "".join(f"wait handle=h{i}\n" for i in range(5))
    text = f"if x == 3 {{\n{moves}{waits}}}"
    assert with_code(text) == []
    start, end = LEGAL.index("      for l in"), LEGAL.index("    }\n  }\n}")
    program = parse_program(LEGAL[:start] + text + "\n" + LEGAL[end:])
    narrow = replace(TINY, input_queues=4)
    assert [found.code for found in diagnose(program, narrow)] == ["M0508"]


def test_tensor_names_run_over_the_indices_that_the_template_reads():
    ranges = (ElementRange("l", 0, 2), ElementRange("i", 0, 1000))
    assert list(tensor_names("layers.{2 * l + 1}.w", ranges)) == ["layers.1.w", "layers.3.w"]
    assert list(tensor_names("norm.weight", ranges)) == ["norm.weight"]
    assert list(tensor_names("{l}.{l}", ranges)) == ["0.0", "1.1"]


def test_routes_may_leave_where_an_output_port_is():
    text = LEGAL.replace("color 3: W -> RAMP", "color 3: W -> RAMP\n  route (3, 2) color 23: RAMP -> E")
    assert codes(parse_program(text)) == ["M0320", "M0330"][:1]
    port = "  port out logits side E (3, 2) color 23: f32[1, 64] count 64 at [0, e]\n  code"
    assert codes(parse_program(text.replace("  code", port, 1))) == []


def test_checking_does_not_change_the_program():
    program = legal()
    text = print_program(program)
    diagnose(program, TINY)
    assert print_program(program) == text


def test_a_loop_without_rounds_reaches_nobody():
    """The last column has no route from its ramp, which is right as long as it sends nothing."""
    send = "        send acc, color=3\n      }"
    assert with_code(f"      for l in 0..3 - x {{\n{send}") == []
    assert with_code(f"      for l in 0..4 - x {{\n{send}") == ["M0330"]
    # What only the run knows may be a round.
    assert with_code(f"      for l in 0..length - 3 - x {{\n{send}") == ["M0330"]
