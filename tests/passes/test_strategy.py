"""Strategies: what their text says, what they make of a pipeline, and what wrong ones are told."""

from __future__ import annotations

from pathlib import Path

import pytest

from meshc.driver import PIPELINES, pipeline_of
from meshc.kernels.registry import kernels
from meshc.options import CompileOptions
from meshc.passes.pipeline import parse_pipeline, pipeline_text
from meshc.passes.strategy import STRATEGIES, Chosen
from meshrt.diagnostics import MeshError

HERE = Path(__file__).parent / "strategy"
BAD = sorted(HERE.glob("*.txt"))


def pipeline(strategy: str, phase: str = "decode") -> str:
    return pipeline_text(pipeline_of(CompileOptions(phase=phase, strategy=strategy)))


@pytest.mark.parametrize("phase", sorted(PIPELINES))
def test_the_default_is_the_pipeline_as_it_is(phase):
    assert next(iter(STRATEGIES)) == CompileOptions().strategy == "auto"
    assert pipeline("auto", phase) == pipeline_text(parse_pipeline(PIPELINES[phase]))


def test_the_papers_way_of_decode():
    text = pipeline("waferllm")
    assert "fuse-norm-gemv" not in text
    assert "choose-trees{algorithm=meshgemv, shares=false}" in text
    pins = Chosen.of("waferllm").pins(kernels())
    assert pins["tile.cached_attention"].schedule == {"scores": "row", "softmax": "apart"}
    assert pins["tile.gemm"].kernel.name == "gemm.ring"
    assert pins["tile.gemm_transposed"].kernel.name == "gemm.ring_transposed"


@pytest.mark.parametrize(
    ("option", "has"),
    [
        ("projections=apart", "tile{projections=apart}"),
        ("scalars=alone", "choose-trees{shares=false}"),
        ("trees=k_tree, groups=[3, 2]", "choose-trees{algorithm=k_tree, groups=[3, 2]}"),
    ],
)
def test_an_option_is_one_of_a_pass(option, has):
    assert has in pipeline(f"auto{{{option}}}")
    assert has not in pipeline("auto")


def test_norms_apart_leave_a_pass_out():
    assert pipeline("auto{norms=apart}") == pipeline("auto").replace("fuse-norm-gemv,", "")


@pytest.mark.parametrize(("option", "value"), [("softmax", "apart"), ("scores", "row")])
def test_an_option_is_one_of_the_attentions_schedule(option, value):
    pins = Chosen.of(f"auto{{{option}={value}}}").pins(kernels())
    wanted = {"scores": "heads", option: value}
    assert pins["tile.cached_attention"].schedule == wanted


def test_kernels_named_beside_a_strategy_count_before_its_own():
    pins = Chosen.of("waferllm,gemm.summa{vector=m}").pins(kernels())
    assert pins["tile.gemm"].kernel.name == "gemm.summa"
    assert pins["tile.gemm_transposed"].kernel.name == "gemm.ring_transposed"


@pytest.mark.parametrize("path", BAD, ids=lambda path: path.stem)
def test_a_wrong_strategy_is_told_what_it_may_be(path):
    with pytest.raises(MeshError) as caught:
        Chosen.of(path.read_text(encoding="utf-8").strip()).pins(kernels())
    assert f"{caught.value}\n" == path.with_suffix(".err").read_text(encoding="utf-8")
