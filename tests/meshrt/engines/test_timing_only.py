"""A run without arithmetic takes the cycles of one with it, and counts the same."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import meshc
from meshrt.diagnostics import MeshError
from meshrt.program.parser import parse_program
from meshrt.progress import Progress
from meshrt.run import RunOptions, run_build, run_program
from meshrt.run_command import RunFiles, run_and_report
from meshrt.target import load_target
from tests.kernels.harness import compile_graph, transformer
from tests.meshrt.engines.same_time import assert_same, same_time
from tests.meshrt.engines.test_inputs import BUILD, IDS
from tests.meshrt.machine import test_machine_rules as machine
from tests.models import tiny, token_ids

TINY = load_target("tiny")
TIMED = RunOptions(timing_only=True)


@pytest.mark.parametrize("name", machine.NAMES)
def test_worked_examples(name):
    given = {
        kind: {n: np.array(v, np.float32) for n, v in machine.expected(name).get(kind, {}).items()}
        for kind in machine.KINDS
    }
    program = parse_program((machine.HERE / f"{name}.mesh").read_text(encoding="utf-8"))
    options = RunOptions(until_rounds=machine.expected(name).get("until_rounds"))
    same_time(program, machine.TARGET, given["weights"], given["inputs"], options=options)


@pytest.mark.parametrize(("width", "height"), [(3, 3), (2, 3), (4, 4)])
def test_kernels(width, height):
    graph, result = transformer(sequence=7, batch=2)
    program = compile_graph(graph.module(result), width, height)
    target = replace(TINY, sram_bytes=1 << 20)
    weights = {name: tensor.numpy() for name, tensor in graph.weights.items()}
    inputs = {name: ids.numpy() for name, ids in graph.inputs.items()}
    same_time(program, target, weights, inputs, {"main": {"length": 7}})


@pytest.mark.parametrize(("family", "grid"), [("llama", (6, 6)), ("gpt2", (5, 3))])
def test_compiled_models(family, grid):
    build = meshc.compile(tiny(family), (token_ids(1, 9),), grid=grid, dtype="mixed", target="tiny").build
    for options in (RunOptions(), RunOptions(per_layer=True)):
        full = run_build(build, {"input_ids": token_ids(1, 9).numpy()}, options)
        bare = replace(build, weights={}, manifest=replace(build.manifest, timing_only=True))
        for fast_forward in (False, True):
            timed = run_build(bare, {}, replace(options, timing_only=True, fast_forward=fast_forward))
            assert_same(timed, full)


def test_watching_buffers_changes_nothing():
    program = parse_program((machine.HERE / "asynchronous.mesh").read_text(encoding="utf-8"))
    watched = run_program(program, machine.TARGET, options=replace(TIMED, checked=True))
    assert watched.clocks.tolist() == machine.run("asynchronous", "batched").clocks.tolist()


def test_the_longest_inputs_are_timed_where_none_are_given():
    whole, short = run_build(BUILD, {"input_ids": IDS}, TIMED), run_build(BUILD, {"input_ids": IDS[:, :2]}, TIMED)
    assert run_build(BUILD, {}, TIMED).report == whole.report
    assert short.report["cycles"] < whole.report["cycles"]


def test_a_build_without_weights_is_only_timed():
    bare = replace(BUILD, manifest=replace(BUILD.manifest, timing_only=True))
    with pytest.raises(MeshError) as caught:
        run_build(bare, {"input_ids": IDS})
    assert str(caught.value) == (
        "error[M0528]: the build has no weights, so there are no values to compute with\n  help: run it --timing-only"
    )


UNTIL = """mesh 1

region main 1 x 1 at (0, 0) {
  buffer (0, 0) a: f32[1] @ 8192
  code (0, 0) main {
    fill a, value=0.0
    until a {
      add a, a, 1.0
    }
  }
}
"""


def test_an_until_needs_a_bound():
    with pytest.raises(MeshError) as caught:
        run_program(parse_program(UNTIL), TINY, options=TIMED)
    assert str(caught.value) == (
        "error[M0526]: the until at line 7 ends on a value, and a timing-only run computes none\n"
        "  help: --until-rounds N times every until as N rounds"
    )
    one = run_program(parse_program(UNTIL), TINY).report["cycles"]
    assert run_program(parse_program(UNTIL), TINY, options=replace(TIMED, until_rounds=1)).report["cycles"] == one


COUNTED = UNTIL.replace("until a", "for l in 0..9 until a")


def test_a_counted_loop_takes_all_its_rounds_or_as_many_as_are_given():
    never = COUNTED.replace("add a, a, 1.0", "add a, a, 0.0")
    all_rounds = run_program(parse_program(never), TINY).report["cycles"]
    one = run_program(parse_program(COUNTED), TINY).report["cycles"]
    timed = {
        n: run_program(parse_program(COUNTED), TINY, options=replace(TIMED, until_rounds=n)) for n in (None, 1, 20)
    }
    assert {n: run.report["cycles"] for n, run in timed.items()} == {None: all_rounds, 1: one, 20: all_rounds}


def test_there_are_no_outputs(tmp_path):
    with pytest.raises(MeshError) as caught:
        run_and_report(tmp_path, {}, TIMED, RunFiles(outputs=tmp_path / "out.safetensors"), Progress())
    assert str(caught.value) == (
        "error[M0527]: a timing-only run computes nothing, so it has no outputs to write or to compare\n"
        "  help: leave out --timing-only, or --outputs and --expect"
    )
