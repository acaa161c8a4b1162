"""Pipelines: text to passes and back, the verifier between them, dumps and timings."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshc.dialects.levels import parse_module
from meshc.ir.core import Module, TensorType
from meshc.ir.equality import equal
from meshc.ir.printer import print_module
from meshc.passes.base import Pass, PassContext
from meshc.passes.pipeline import parse_pipeline, pass_text, pipeline_text, run_pipeline, timing_table
from meshrt.diagnostics import CATALOG, MeshError

HERE = Path(__file__).parent

TEXT = """module graph

func() {name = "forward"} (%x: tensor<4xf32>) {
  %a = graph.silu(%x) : tensor<4xf32> loc("model.py":3 "act")
  return(%a)
}
"""


@dataclass(frozen=True)
class RenameUnary(Pass):
    """Replace one elementwise function by another."""

    name: ClassVar[str] = "rename-unary"

    to: str = "neg"
    times: int = 1
    scale: float = 1.0
    fast: bool = False
    order: Literal["first", "last"] = "first"
    grid: tuple[int, int] | None = None
    names: tuple[str, ...] = ()

    def run(self, module: Module, context: PassContext) -> None:
        for op in module.walk():
            if op.name == "graph.silu":
                op.name = f"graph.{self.to}"
        context.extra[self.name] = self.times


@dataclass(frozen=True)
class BreakShape(Pass):
    """Leave a result of a wrong shape."""

    name: ClassVar[str] = "break-shape"

    def run(self, module: Module, context: PassContext) -> None:
        module.body.ops[0].regions[0].ops[0].results[0].type = TensorType((5,), "f32")


@dataclass(frozen=True)
class StoreObject(Pass):
    """Leave an attribute that is none."""

    name: ClassVar[str] = "store-object"

    def run(self, module: Module, context: PassContext) -> None:
        module.attributes["analysis"] = object()


PASSES: dict[str, type[Pass]] = {cls.name: cls for cls in (RenameUnary, BreakShape, StoreObject)}


def parse(text: str) -> tuple[Pass, ...]:
    return parse_pipeline(text, PASSES)


# ---- text ----------------------------------------------------------------------------


def test_text_to_passes_and_back():
    text = 'rename-unary{to=exp, times=3, scale=2.0, fast=true, order=last, grid=[4, 8], names=[a, "b c"]},rename-unary'
    passes = parse(text.replace("[a,", '["a",'))
    assert passes == (
        RenameUnary(to="exp", times=3, scale=2.0, fast=True, order="last", grid=(4, 8), names=("a", "b c")),
        RenameUnary(),
    )
    assert parse(pipeline_text(passes)) == passes


def test_defaults_are_left_out():
    assert pass_text(RenameUnary()) == "rename-unary"
    assert pass_text(RenameUnary(times=2, grid=None)) == "rename-unary{times=2}"


def test_an_empty_text_is_an_empty_pipeline():
    assert parse("") == () == parse("  ")


def test_an_integer_will_do_for_a_number():
    assert parse("rename-unary{scale=2}") == (RenameUnary(scale=2.0),)


def test_spaces_do_not_matter():
    assert parse(" rename-unary { times = 2 } , rename-unary ") == (RenameUnary(times=2), RenameUnary())


@settings(max_examples=60, deadline=None)
@given(
    st.builds(
        RenameUnary,
        to=st.text(),
        times=st.integers(),
        scale=st.floats(allow_nan=False),
        fast=st.booleans(),
        order=st.sampled_from(["first", "last"]),
        grid=st.none() | st.tuples(st.integers(), st.integers()),
        names=st.lists(st.text()).map(tuple),
    )
)
def test_any_options_round_trip(instance):
    assert parse(pass_text(instance)) == (instance,)


CASES = sorted(HERE.glob("pipelines/*.in"))


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_bad_text_gets_its_diagnostic(path):
    with pytest.raises(MeshError) as caught:
        parse(path.read_text(encoding="utf-8").removesuffix("\n"))
    assert caught.value.diagnostic.code in CATALOG
    assert str(caught.value) + "\n" == path.with_suffix(".err").read_text(encoding="utf-8")


# ---- running -------------------------------------------------------------------------


def test_passes_run_in_order_on_one_context():
    module, context = parse_module(TEXT), PassContext()
    timings = run_pipeline(module, parse("rename-unary{to=exp, times=7}"), context)
    assert "graph.exp(%x)" in print_module(module)
    assert context.extra == {"rename-unary": 7}
    assert [(t.name, t.operations) for t in timings] == [("rename-unary", 3)]


def test_the_guilty_pass_is_named():
    with pytest.raises(MeshError) as caught:
        run_pipeline(parse_module(TEXT), parse("rename-unary{times=2},break-shape,rename-unary"))
    assert str(caught.value) == (
        "error[M0220]: the pass break-shape left IR that is not legal: graph.neg: it gives [4], "
        "but its result is declared as [5]\n"
        "  --> the IR after break-shape:4:3\n"
        '   |   %a = graph.neg(%x) : tensor<5xf32> loc("model.py":3 "act")\n'
        "   |   ^\n"
        "  note: in the IR\n"
        "       2 |\n"
        '       3 | func() {name = "forward"} (%x: tensor<4xf32>) {\n'
        '  >    4 |   %a = graph.neg(%x) : tensor<5xf32> loc("model.py":3 "act")\n'
        "       5 |   return(%a)\n"
        "       6 | }\n"
        "  note: it comes from model.py:3 (act)\n"
        "  note: the rule is M0214; the pass ran as break-shape"
    )


def test_what_has_no_text_form_is_found_too(tmp_path):
    with pytest.raises(MeshError) as caught:
        run_pipeline(parse_module(TEXT), parse("store-object"), dump_dir=tmp_path)
    assert "the pass store-object left IR that is not legal: the module's attribute 'analysis'" in str(caught.value)


def test_illegal_input_is_not_blamed_on_a_pass():
    with pytest.raises(MeshError) as caught:
        run_pipeline(parse_module(TEXT.replace("graph.silu", "graph.sliu")), parse("rename-unary"))
    assert caught.value.diagnostic.code == "M0211"
    assert str(caught.value.diagnostic.place) == "the input:4:3"


def test_dumps_are_numbered_and_can_be_read(tmp_path):
    module = parse_module(TEXT)
    run_pipeline(module, parse("rename-unary{to=exp},rename-unary"), dump_dir=tmp_path / "ir")
    files = sorted((tmp_path / "ir").iterdir())
    assert [path.name for path in files] == ["00-input.mir", "01-rename-unary.mir", "02-rename-unary.mir"]
    assert files[0].read_text() == TEXT
    assert equal(parse_module(files[-1].read_text()), module)


def test_the_illegal_ir_is_dumped_too(tmp_path):
    with pytest.raises(MeshError):
        run_pipeline(parse_module(TEXT), parse("break-shape"), dump_dir=tmp_path)
    assert "tensor<5xf32>" in (tmp_path / "01-break-shape.mir").read_text()


def test_the_timing_table():
    timings = run_pipeline(parse_module(TEXT), parse("rename-unary,rename-unary"))
    lines = timing_table(timings).splitlines()
    assert lines[0].split() == ["pass", "seconds", "verifier", "operations"]
    assert [line.split()[0] for line in lines[1:]] == ["rename-unary", "rename-unary", "total"]
    assert all(len(line) <= len(lines[0]) for line in lines)
