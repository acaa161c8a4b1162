"""Kernels and tiny compiled models on both engines: the same bytes out, and cycles as DESIGN section 4 says."""

from __future__ import annotations

import numpy as np
import pytest

import meshc
from meshrt.program.model import Program
from meshrt.run import RunOptions, RunResult, run_build, run_program
from meshrt.target import load_target
from tests.kernels.harness import compile_graph, transformer
from tests.models import tiny, token_ids

TINY = load_target("tiny")
#: Family, overrides of its configuration, grid, prompt length, dtype.
MODELS = [
    ("llama", {}, (4, 4), 9, "f32"),
    ("llama", {}, (4, 4), 9, "mixed"),
    ("gpt2", {"hidden_size": 36, "num_attention_heads": 3}, (5, 7), 5, "f32"),
    ("gemma2", {}, (5, 5), 9, "bf16"),
    ("qwen3", {"head_dim": 12}, (9, 2), 6, "f16"),
]


def agree(batched: RunResult, reference: RunResult) -> None:
    assert {n: v.tobytes() for n, v in batched.outputs.items()} == {
        n: v.tobytes() for n, v in reference.outputs.items()
    }
    off = np.abs(batched.clocks - reference.clocks)
    waited = [reference.report["routing"][key] for key in ("contended_words", "stalled_words")]
    cycles = reference.report["cycles"]
    assert abs(batched.report["cycles"] - cycles) <= (max(16, 0.05 * cycles) if any(waited) else 0)
    assert any(waited) or not off.any()
    for key in ("macs", "pes"):
        assert batched.report["parallelism"][key] == reference.report["parallelism"][key]
    assert batched.report["host"] == reference.report["host"]
    counted = ("op", "name", "location", "macs", "words", "instructions")
    rows = [[{k: row[k] for k in counted} for row in result.report["ops"]] for result in (batched, reference)]
    assert rows[0] == rows[1]
    assert sum(row["cycles"] for row in reference.report["ops"]) == cycles


def both(program: Program, weights, inputs, scalars, **options) -> list[RunResult]:
    return [
        run_program(program, TINY, weights, inputs, scalars, options=RunOptions(engine=engine, **options))
        for engine in ("batched", "reference")
    ]


@pytest.mark.parametrize(("width", "height"), [(2, 2), (3, 2), (4, 3)])
@pytest.mark.parametrize("dtype", ["f32", "mixed"])
def test_a_layer_with_every_kernel(width, height, dtype):
    graph, result = transformer()
    program = compile_graph(graph.module(result), width, height, dtype)
    weights = {name: tensor.numpy() for name, tensor in graph.weights.items()}
    inputs = {name: ids.numpy().astype(np.int32) for name, ids in graph.inputs.items()}
    scalars = {program.regions[0].name: {s.name: graph.sequence for s in program.regions[0].scalars}}
    agree(*both(program, weights, inputs, scalars, checked=True))


@pytest.mark.parametrize(("family", "overrides", "grid", "seq", "dtype"), MODELS)
def test_tiny_models(family, overrides, grid, seq, dtype):
    model, ids = tiny(family, **overrides), token_ids(1, seq)
    compiled = meshc.compile(model, (ids,), grid=grid, dtype=dtype, target="tiny")
    given = {"input_ids": ids.numpy()}
    agree(*[run_build(compiled.build, given, RunOptions(engine=engine)) for engine in ("batched", "reference")])
