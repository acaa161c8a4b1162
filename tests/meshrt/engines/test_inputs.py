"""What a run is given: inputs by name, shape and kind, prompts, runtime scalars, engines and weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest

from meshrt.build import Build
from meshrt.diagnostics import CATALOG, MeshError
from meshrt.manifest import Manifest, ScalarBinding, TensorBinding
from meshrt.program.parser import parse_program
from meshrt.run import RunOptions, run_build, run_program
from meshrt.target import load_target

TEXT = """mesh 1

region main 1 x 1 at (0, 0) {
  scalar length from 1 to 6
  buffer (0, 0) ids: i32[6] @ 8192
  route (0, 0) color 21: W -> RAMP
  route (0, 0) color 22: RAMP -> E
  port in ids side W (0, 0) color 21: i32[1, 6] count 6 at [0, e]
  port out doubled side E (0, 0) color 22: i32[1, 6] count 6 at [0, e]
  code (0, 0) main {
    recv ids, color=21
    for l in 0..length {
      add ids[l](1), ids[l](1), ids[l](1)
    }
    send ids, color=22
  }
}
"""
MANIFEST = Manifest(
    model="doubler",
    model_digest="0" * 64,
    phase="prefill",
    inputs=(TensorBinding("input_ids", "i64", (1, 6), "main", "ids"),),
    outputs=(TensorBinding("doubled", "i64", (1, 6), "main", "doubled"),),
    scalars=(ScalarBinding("main", "length", "input_ids", 1),),
)
TINY = load_target("tiny")
BUILD = Build(parse_program(TEXT), {}, MANIFEST, TINY)
IDS = np.array([[1, 2, 3, 4, 5, 6]])


def message(inputs: Mapping[str, np.ndarray], build: Build = BUILD) -> str:
    with pytest.raises(MeshError) as caught:
        run_build(build, inputs)
    assert caught.value.diagnostic.code in CATALOG
    return str(caught.value)


def test_a_build_runs_on_the_names_of_the_model():
    assert run_build(BUILD, {"input_ids": IDS}).outputs["doubled"].tolist() == [[2, 4, 6, 8, 10, 12]]


def test_a_shorter_prompt_is_padded_and_its_outputs_are_cut():
    assert run_build(BUILD, {"input_ids": IDS[:, :4]}).outputs["doubled"].tolist() == [[2, 4, 6, 8]]


@pytest.mark.parametrize(
    ("inputs", "text"),
    [
        ({}, "error[M0551]: the run needs input 'input_ids': i64 of shape [1, 6]"),
        (
            {"ids": IDS},
            "error[M0514]: the build has no input 'ids'\n  help: it takes 'input_ids'",
        ),
        (
            {"input_ids": IDS.astype(np.float32)},
            "error[M0514]: input 'input_ids' has dtype float32; the build takes i64",
        ),
        (
            {"input_ids": IDS[0]},
            "error[M0514]: input 'input_ids' has shape [6]; the build takes [1, 6]",
        ),
        (
            {"input_ids": np.repeat(IDS, 2, 0)},
            "error[M0514]: input 'input_ids' has shape [2, 6]; the build takes [1, 6]",
        ),
        (
            {"input_ids": IDS[:, :0]},
            "error[M0514]: input 'input_ids' has shape [1, 0]; the build takes [1, 6]",
        ),
        (
            {"input_ids": np.ones((1, 7), np.int64)},
            "error[M0515]: input 'input_ids' has 7 tokens; the build takes up to 6\n"
            "  help: compile with --seq 7 or more",
        ),
    ],
    ids=["none", "name", "dtype", "rank", "batch", "empty", "prompt_too_long"],
)
def test_wrong_inputs(inputs, text):
    assert message(inputs) == text


def test_one_of_two_inputs_is_missing():
    both = (*MANIFEST.inputs, TensorBinding("mask", "i64", (1, 6), "main", "ids"))
    build = replace(BUILD, manifest=replace(MANIFEST, inputs=both))
    assert message({"input_ids": IDS}, build) == "error[M0514]: input 'mask' is missing: i64 of shape [1, 6]"


def run_error(text: str = TEXT, **given) -> str:
    arguments = {"inputs": {"ids": IDS.astype(np.int32)}, "scalars": {"main": {"length": 2}}, **given}
    with pytest.raises(MeshError) as caught:
        run_program(parse_program(text), TINY, **arguments)
    assert caught.value.diagnostic.code in CATALOG
    return str(caught.value)


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"inputs": {}}, "error[M0514]: the run needs an input 'ids' of shape [1, 6]"),
        ({"inputs": {"ids": IDS[0]}}, "error[M0514]: input 'ids' has shape [6], not [1, 6]"),
        ({"inputs": {"ids": IDS * 0.5}}, "error[M0514]: input 'ids' has dtype float64; integers are expected"),
        ({"scalars": {}}, "error[M0516]: the run needs a value for scalar length of region main"),
        (
            {"scalars": {"main": {"length": 7}}},
            "error[M0516]: scalar length of region main is 7; it lies from 1 to 6",
        ),
        (
            {"options": RunOptions(engine="fast")},
            "error[M0519]: there is no engine 'fast'\n  help: engines: batched, reference",
        ),
    ],
    ids=["missing", "shape", "dtype", "scalar", "scalar_bounds", "engine"],
)
def test_wrong_tensors_and_scalars_of_a_program(given, text):
    assert run_error(**given) == text


def test_a_name_that_the_checker_never_saw():
    assert run_error(TEXT.replace("ids[l](1), ids[l](1), ids[l](1)", "ids[k](1), ids[l](1), ids[l](1)")).startswith(
        "error[M0520]: k has no value in add at line 13"
    )


def test_words_that_the_engine_has_no_room_for():
    text = """mesh 1

region main 1 x 1 at (0, 0) {
  buffer (0, 0) a: i32[1] @ 8192
  route (0, 0) color 21: W -> RAMP
  route (0, 0) color 22: E -> RAMP
  port in west side W (0, 0) color 21: i32[1] count 1100000 at [e]
  port in east side E (0, 0) color 22: i32[1] count 1100000 at [e]
}
"""
    one = np.ones(1, np.int32)
    said = run_error(text, inputs={"west": one, "east": one}, scalars={})
    assert said.startswith("error[M0513]: the engine has no room for more messages")


LACKING = """mesh 1

region main 2 x 1 at (0, 0) {
  param (0, 0) half = 2
  buffer (0:2, 0) a: f32[4] @ 8192
  code (0:2, 0) main {
    for l in 0..2 {
      if x == l {
        fill a[half](1), value=0.0
      }
    }
  }
}
"""


def test_a_parameter_that_a_pe_lacks():
    said = run_error(LACKING, inputs={}, scalars={})
    assert said == "error[M0520]: half has no value on PE (1, 0) in fill at line 9"


def test_a_color_that_the_region_lacks_is_told_by_its_own_number():
    text = LACKING.replace("fill a[half](1), value=0.0", "send a, color=0").replace("param (0, 0) half = 2", "")
    text = text.replace("code (0:2", "route (0, 0) color 21: RAMP -> W\n  code (0:2")
    said = run_error(text, inputs={}, scalars={})
    assert said.startswith("error[M0511]: send at line 10 on PE (0, 0) uses color 0, which no route mentions")


def test_an_input_larger_than_the_engine_s_memory():
    text = """mesh 1

region main 1 x 1 at (0, 0) {
  buffer (0, 0) a: i32[1] @ 8192
  route (0, 0) color 21: W -> RAMP
  port in west side W (0, 0) color 21: i32[1] count 9000000 at [e]
}
"""
    said = run_error(text, inputs={"west": np.ones(1, np.int32)}, scalars={})
    assert said.startswith("error[M0513]: the engine has no room for more messages")
    text = text.replace("port in", "port out").replace("W -> RAMP", "RAMP -> W")
    said = run_error(text, inputs={}, scalars={})
    assert said.startswith("error[M0513]: the engine has no room for the 9,000,000 elements of port 'west'")
