"""The choice of a grid: the smallest square that fits, and what is said where none does."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from meshc.dialects.levels import parse_module
from meshc.driver import LOWERING_PIPELINE, PIPELINES, compile_model
from meshc.fitting import CHUNKS, Fitting, placed_elements
from meshc.frontend.export import export_module
from meshc.frontend.imported import ImportedInput, ImportedModel
from meshc.ir.core import Module
from meshc.options import CompileOptions
from meshc.passes.pipeline import parse_pipeline
from meshrt.diagnostics import MeshError
from meshrt.target import Target, load_target
from tests.kernels.harness import Graph
from tests.models import tiny, token_ids

ERRORS = Path(__file__).parent / "errors"
PASSES = parse_pipeline(",".join(LOWERING_PIPELINE[1:]))


def layered(count: int = 3, features: int = 24, vocabulary: int = 40, sequence: int = 6) -> Module:
    """Layers of a product each, under an embedding, learned positions and a tied head."""
    graph = Graph(1, sequence, vocabulary)
    embedded = graph.embedding(features)
    positions = graph.position_embedding(graph.tensor("positions", 50, features))

    def body(h):
        weight = graph.layers("w", count, features, features)
        return [graph.op("add", [h, graph.op("linear", [h, weight], features, weight="nk")], features)]

    (y,) = graph.repeat(count, [graph.op("add", [embedded, positions], features)], body)
    return graph.module(graph.op("linear", [y, embedded.op.operands[0]], vocabulary, weight="nk"))


def fitting(module: Module, target: Target) -> Fitting:
    inputs = (ImportedInput("input_ids", (1, 6), "i64"),)
    return Fitting(module, PASSES, ImportedModel(module, {}, inputs, ""), target)


def small(**numbers: int) -> Target:
    return replace(load_target("tiny"), **numbers)


OPTIONS = CompileOptions(target="tiny", dtype="f32", seq=6)


@pytest.mark.parametrize("sram_bytes", [65536, 11700, 8000, 6700])
def test_no_smaller_square_fits(sram_bytes):
    fit = fitting(layered(), small(sram_bytes=sram_bytes))
    found = fit.fit(OPTIONS)
    assert found.grid is not None
    side = found.grid[0]
    assert found.grid == (side, side)
    assert isinstance(fit.on_grid(OPTIONS, (side, side)), CompileOptions)
    for smaller in range(1, side):
        assert isinstance(fit.on_grid(OPTIONS, (smaller, smaller)), MeshError)


@dataclass(frozen=True)
class Counting(Fitting):
    """Keeps the sides that were lowered to."""

    tried: list[int] = field(default_factory=list)

    def _attempt(self, options):
        self.tried.append(options.grid[0])
        return super()._attempt(options)


@pytest.mark.parametrize(("kv", "batch"), [("shift", 1), ("append", 3)])
def test_a_square_that_weights_and_caches_overfill_is_not_lowered_to(kv, batch):
    exported = export_module(tiny("llama", num_hidden_layers=4), (token_ids(batch, 40),))
    options = CompileOptions(target="tiny", dtype="f32", phase="decode", kv=kv, batch=batch, grid=(1, 1))
    compiled = compile_model(exported, options, until="graph")
    module = parse_module(compiled.ir("graph"))
    fit = Counting(
        module,
        parse_pipeline(PIPELINES["decode"].partition("slice-layers,")[2]),
        ImportedModel(module, {}, (ImportedInput("input_ids", (batch, 40), "i64"),), ""),
        small(sram_bytes=32000),
    )
    found = fit.fit(replace(compiled.options, grid=None))
    assert found.grid is not None
    side, tried = found.grid[0], list(fit.tried)
    assert len(set(tried)) < side - 1
    for smaller in range(1, side):
        assert isinstance(fit.on_grid(compiled.options, (smaller, smaller)), MeshError)


def generating(target: Target, **chosen: object) -> tuple[Counting, CompileOptions]:
    """The fitting of a prefill and a decode, from the graph level on."""
    exported = export_module(tiny("llama", num_hidden_layers=4), (token_ids(1, 12),))
    options = CompileOptions(target="tiny", dtype="f32", phase="generate", seq=5, grid=(1, 1))
    compiled = compile_model(exported, options, until="graph")
    module = parse_module(compiled.ir("graph"))
    imported = ImportedModel(module, {}, (ImportedInput("input_ids", (1, 12), "i64"),), "")
    passes = parse_pipeline(PIPELINES["generate"].partition("slice-layers,")[2])
    return Counting(module, passes, imported, target), replace(compiled.options, **{"grid": None, **chosen})


def test_two_regions_get_the_smallest_square_that_holds_either():
    fit, options = generating(small(sram_bytes=20000, fabric_width=40, fabric_height=20))
    found = fit.fit(options)
    assert found.grid is not None
    side, tried = found.grid[0], list(fit.tried)
    # One of them is tried alone first, so that the other is not lowered to squares that are too small anyway.
    assert all(tried.count(smaller) == 1 for smaller in set(tried) - {side})
    for smaller in range(1, side):
        assert isinstance(fit.on_grid(options, (smaller, smaller)), MeshError)
    assert side == max(each._first_fit(options, 1, 20) for each in fit._functions())


def test_what_would_fit_two_regions_is_said():
    fit, options = generating(small(sram_bytes=20000, fabric_width=10, fabric_height=20))
    wanted = ERRORS / "sram_too_small_for_two_regions.err"
    assert failure(fit, options) == wanted.read_text(encoding="utf-8")


def test_the_fastest_chunk_that_fits_is_taken():
    model, options = layered(vocabulary=4000), replace(OPTIONS, grid=(4, 4))
    targets = [small(sram_bytes=size) for size in range(41200, 46200, 400)]
    taken = [fitting(model, target).fit(options).chunk_elements for target in targets]
    assert taken == sorted(taken)
    assert set(taken) == set(CHUNKS)


def test_what_any_grid_must_hold():
    # The table once though lookup and head read it, every layer's weight, and only the positions of the build.
    assert placed_elements(layered(3, 24, 40, 6)) == 40 * 24 + 3 * 24 * 24 + 6 * 24


def test_rows_of_a_fused_weight_count_once():
    graph = Graph(1, 4)
    x = graph.embedding(6)
    fused, bias = graph.tensor("fused", 10, 6), graph.tensor("bias", 10)
    a = graph.op("linear", [x, fused, bias], 3, weight="nk", rows=(0, 3))
    b = graph.op("linear", [x, fused, bias], 3, weight="nk", rows=(3, 6))
    module = graph.module(graph.op("mul", [a, b], 3))
    assert placed_elements(module) == 19 * 6 + 6 * 6 + 6


def failure(fit: Fitting, options: CompileOptions) -> str:
    with pytest.raises(MeshError) as caught:
        fit.fit(options)
    return str(caught.value) + "\n"


BAD = {
    "sram_too_small_for_the_grid": (small(sram_bytes=8000), replace(OPTIONS, grid=(2, 2))),
    "sram_too_small_for_any_grid": (small(sram_bytes=6372), OPTIONS),
    "sram_too_small_for_any_square": (small(sram_bytes=7600, fabric_width=4, fabric_height=16), OPTIONS),
}


@pytest.mark.parametrize("case", BAD)
def test_what_would_fit_is_said(case):
    target, options = BAD[case]
    assert failure(fitting(layered(), target), options) == (ERRORS / f"{case}.err").read_text(encoding="utf-8")


def test_other_diagnostics_are_not_taken_for_a_lack_of_memory():
    fit = fitting(layered(), small(colors=6))
    assert failure(fit, replace(OPTIONS, grid=(4, 4))).startswith("error[M0406]")
