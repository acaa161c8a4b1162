"""WaferLLM's decode against what was measured on a wafer, and meshc's own against it: the bars, on one grid."""

from __future__ import annotations

import dataclasses

import pytest

import meshc
from examples.waferllm_decode.models import model
from meshrt.target import load_target
from tools.waferllm_decode.layer import Case, all_reduces, build_of, layer_of
from tools.waferllm_decode.measure import TRIED, cases, step_strategy
from tools.waferllm_decode.page import target_cycles

SIDE = 420


@pytest.mark.slow
def test_the_papers_decode_and_the_default_on_one_grid():
    """The artifact's program lands within 10 % with one cost fitted; the default is 1.6 times as fast."""
    build = build_of(Case("artifact", SIDE, "waferllm"))
    paper = layer_of(build)
    assert paper.all_reduces == 10
    cost = "vector_setup_cycles"
    fitted = layer_of(build, dataclasses.replace(load_target("wse2"), **{cost: TRIED[cost]}))
    assert abs(fitted.cycles / target_cycles(SIDE) - 1) <= 0.1
    own = layer_of(build_of(Case("artifact", SIDE, "auto")))
    assert paper.cycles >= 1.6 * own.cycles
    # Seven, and a short one for what neighbours share.
    assert own.all_reduces == 8


@pytest.mark.parametrize(
    ("strategy", "count"),
    [
        ("waferllm", 10),
        ("waferllm{projections=apart}", 13),
        ("waferllm{norms=joined}", 8),
        ("waferllm{softmax=joined}", 9),
        ("auto", 7),
    ],
)
def test_all_reduces_of_a_layer(strategy, count):
    """Ten in the paper's way; each fusion saves those that it joins."""
    module, inputs = model(context=12, hidden=24, inner=48, heads=1, kv_heads=1)
    compiled = meshc.compile(
        module, inputs, phase="decode", target="wse2", grid=(6, 6), seq=2, dtype="f16", strategy=strategy
    )
    assert all_reduces(compiled.build.program) == count


def test_each_case_has_a_file_of_its_own():
    names = [case.name for case, _ in cases()]
    assert len(names) == len(set(names))
    assert step_strategy(0) == "waferllm"
    assert step_strategy(2) == "waferllm{trees=auto, softmax=joined}"
