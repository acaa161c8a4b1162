"""The builder of mesh IR: names, parameters that are shared, branches that a constant decides."""

from __future__ import annotations

import pytest

from meshc.ir.core import Block, Operation
from meshc.kernels.builder import MeshBuffer, MeshBuilder
from meshrt.program.expr import Int, Name
from meshrt.program.printer import print_view


@pytest.fixture
def builder() -> MeshBuilder:
    return MeshBuilder(Operation("mesh.region", attributes={"origin": (0, 0)}, regions=[Block()]), 4, 3)


def code(builder: MeshBuilder) -> list[Operation]:
    """The operations of the finished code."""
    builder.finish()
    return builder.region.regions[0].ops[-1].regions[0].ops


def declared(builder: MeshBuilder, kind: str) -> list[str]:
    return [op.attributes["name"] for op in builder.region.regions[0].ops if op.name == f"mesh.{kind}"]


@pytest.mark.parametrize(
    ("view", "text"),
    [
        (("b", 0, (2, 3)), "b[0](2, 3)"),
        (("b", 6, ((2, 12), (3, 1))), "b[6](2:12, 3)"),
        (("b", 0, ((2, 0), 3)), "b[0](2:0, 3)"),
        (("b", Name("l") * 6, (2, 3)), "b[l * 6](2, 3)"),
    ],
)
def test_views(view, text):
    name, offset, dims = view
    assert print_view(MeshBuffer(name, "f32", (24,)).at(offset, *dims)) == text


def test_a_parameter_is_declared_once_for_a_value(builder):
    x = Name("x")
    assert builder.param("p", x + 1) == builder.param("p", x + 1) == Name("p")
    assert builder.param("p", x + 2) == builder.param("p", x + 2) == Name("p_2")
    assert builder.param("q", x + 1) == Name("q")
    assert declared(builder, "param") == ["p", "p_2", "q"]


def test_what_needs_no_parameter(builder):
    assert builder.param("p", 3) == Int(3)
    assert builder.param("p", Name("x")) == Name("x")
    assert declared(builder, "param") == []


def test_a_scalar_and_a_stream_are_declared_once(builder):
    assert builder.scalar("length", 1, 8) == builder.scalar("length", 1, 8) == Name("length")
    assert builder.stream("s", []) == builder.stream("s", []) == Name("@s")
    assert declared(builder, "scalar") == ["length"] and declared(builder, "stream") == ["s"]


def test_counters_hide_nothing(builder):
    builder.param("s", Name("x") + 1)
    with builder.loop("s", 2) as outer, builder.loop("s", 2) as inner:
        pass
    with builder.loop("t", 2) as once:
        pass
    with builder.loop("t", 2) as again:
        pass
    assert len({"s", outer.name, inner.name}) == 3
    assert once == again == Name("t")
    # Loops are written before parameters that are asked for later.
    assert builder.param("t", Name("y") + 1) != Name("t")


def test_a_condition_that_is_constant_leaves_no_branch(builder):
    for condition in (1, 0):
        with builder.when(condition):
            builder.emit("fill", MeshBuffer("a", "f32", (1,)), value=1.0)
        with builder.otherwise():
            builder.emit("fill", MeshBuffer("b", "f32", (1,)), value=0.0)
    assert [op.attributes["args"][0].buffer for op in code(builder)] == ["a", "b"]


def test_both_sides_of_a_condition(builder):
    with builder.when(Name("x").lt(2)):
        builder.emit("wait", handle="h")
    with builder.otherwise():
        builder.emit("wait", handle="g")
    with builder.when(Name("y").lt(2)):
        pass
    with builder.otherwise():
        builder.emit("wait", handle="f")
    with builder.when(Name("y").lt(1)):
        pass
    first, second = code(builder)
    assert [[op.attributes["handle"] for op in side.ops] for side in first.regions] == [["h"], ["g"]]
    assert [[op.attributes["handle"] for op in side.ops] for side in second.regions] == [[], ["f"]]


def test_an_empty_scope_leaves_nothing(builder):
    with builder.scope(0):
        pass
    assert code(builder) == []


def test_buffers_are_named_once(builder):
    assert builder.buffer("a", "f32", 2) == MeshBuffer("a", "f32", (2,))
    assert builder.buffer("a", "f32", 2).name == "a_2"


@pytest.mark.parametrize("hint", ["x", "i3", "inf", "a b", "1", ""])
def test_names_that_the_program_s_text_could_not_hold(builder, hint):
    name = builder.buffer(hint, "f32", 2).name
    assert name.isidentifier() and name != hint
