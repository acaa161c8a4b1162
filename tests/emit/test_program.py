"""From mesh IR to a program: nothing is left out and nothing is made up."""

from pathlib import Path

import pytest

from meshc.dialects.levels import parse_module
from meshc.emit.program import emit_program
from meshrt.diagnostics import MeshError
from meshrt.program.check import diagnose
from meshrt.program.parser import parse_program
from meshrt.program.printer import print_program
from meshrt.target import load_target
from tests.kernels.harness import compile_graph, transformer

TEXT = (Path(__file__).parent / "region.mir").read_text(encoding="utf-8")


def test_the_whole_of_a_region():
    program = emit_program(parse_module(TEXT))
    text = print_program(program)
    assert parse_program(text) == program
    assert text == (Path(__file__).parent / "region.mesh").read_text(encoding="utf-8")


def test_what_no_instruction_touches_is_left_out():
    (region,) = emit_program(parse_module(TEXT)).regions
    assert [buffer.name for buffer in region.buffers] == ["w", "v"]
    assert [placed.tensor for placed in region.placements] == ["t"]


@pytest.mark.parametrize(
    ("left_out", "says"),
    [(", color = 3", "the stream b has no color"), (", address = 5012", "the buffer v has no address")],
)
def test_a_region_that_is_not_complete(left_out, says):
    with pytest.raises(MeshError) as caught:
        emit_program(parse_module(TEXT.replace(left_out, "")))
    assert caught.value.diagnostic.code == "M0404"
    assert caught.value.diagnostic.message == says


@pytest.mark.parametrize(("width", "height"), [(1, 1), (1, 4), (5, 1), (2, 2), (3, 3), (4, 4), (7, 7), (5, 3), (2, 6)])
@pytest.mark.parametrize("dtype", ["mixed", "f32"])
def test_what_the_kernels_make_is_a_legal_program(width, height, dtype):
    """The checker of programs finds nothing: names, views, routes, queues, moves, colors and addresses."""
    graph, result = transformer()
    program = compile_graph(graph.module(result), width, height, dtype)
    tensors = {name: tuple(tensor.shape) for name, tensor in graph.weights.items()}
    assert diagnose(program, load_target("wse2"), tensors=tensors) == ()
