"""Colors of streams: no router holds two streams of one color, in random regions and in compiled ones."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshc.ir.core import Block, Module, Operation
from meshc.kernels.builder import MeshBuilder, StreamRoute
from meshc.passes.allocate_colors import AllocateColors
from meshc.passes.base import PassContext
from meshc.passes.pipeline import run_pipeline
from meshrt.diagnostics import MeshError
from meshrt.program.model import Rect
from meshrt.target import load_target
from tests.kernels.harness import compile_graph, transformer

WIDTH, HEIGHT = 7, 5


@st.composite
def rects(draw) -> Rect:
    x0, y0 = draw(st.integers(0, WIDTH - 1)), draw(st.integers(0, HEIGHT - 1))
    x1, y1 = draw(st.integers(x0 + 1, WIDTH)), draw(st.integers(y0 + 1, HEIGHT))
    return Rect(x0, x1, y0, y1, draw(st.integers(1, 3)), draw(st.integers(1, 3)))


def region(footprints: list[list[Rect]]) -> Module:
    op = Operation(
        "mesh.region",
        attributes={"name": "main", "width": WIDTH, "height": HEIGHT, "origin": (0, 0)},
        regions=[Block()],
    )
    builder = MeshBuilder(op, WIDTH, HEIGHT)
    for number, rectangles in enumerate(footprints):
        builder.stream(f"s{number}", [StreamRoute(rect, "W", ("E",)) for rect in rectangles])
    module = Module("mesh", attributes={"ops": ()})
    module.body.append(op)
    return module


@settings(max_examples=100, deadline=None)
@given(st.lists(st.lists(rects(), min_size=1, max_size=3), max_size=8))
def test_no_router_holds_two_streams_of_one_color(footprints):
    module = region(footprints)
    run_pipeline(module, [AllocateColors()])
    streams = [op.attributes for op in module.body.ops[0].regions[0].ops if op.name == "mesh.stream"]
    for x in range(WIDTH):
        for y in range(HEIGHT):
            here = [s["color"] for s in streams if any((x, y) in Rect(*rect) for rect, _, _ in s["routes"])]
            assert len(here) == len(set(here))


def test_streams_that_never_meet_share_a_color():
    module = region([[Rect(0, 7, y, y + 1)] for y in range(5)])
    run_pipeline(module, [AllocateColors(colors=1)])


@pytest.mark.parametrize(("width", "height"), [(1, 1), (2, 2), (4, 4), (7, 7), (5, 3), (2, 6), (9, 9)])
def test_every_router_of_a_compiled_model(width, height):
    graph, result = transformer()
    program = compile_graph(graph.module(result), width, height)
    (main,) = program.regions
    target = load_target("wse2")
    hosts = {port.color for port in main.ports}
    assert hosts <= set(range(target.program_colors, target.colors))
    for x in range(width):
        for y in range(height):
            here = [route.color for route in main.routes if (x, y) in route.rect]
            assert len(here) == len(set(here)) <= target.colors


def test_the_target_s_numbers_count_where_it_is_known():
    module = region([[Rect(0, 1, 0, 1)]] * 3)
    context = PassContext(target=load_target("wse2"))
    run_pipeline(module, [AllocateColors(colors=2)], context)
    with pytest.raises(MeshError):
        run_pipeline(module, [AllocateColors(colors=2)])
