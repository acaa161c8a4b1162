"""The longest context that a grid can hold: compiling for it works, and for one more slot in each row it does not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch.export import ExportedProgram

from meshc.capacity import Capacity
from meshc.dialects.levels import parse_module
from meshc.driver import PIPELINES, compile_model
from meshc.fitting import Fitting
from meshc.frontend.export import export_module
from meshc.frontend.imported import ImportedInput, ImportedModel
from meshc.options import KV, CompileOptions
from meshc.passes.pipeline import parse_pipeline
from meshrt.diagnostics import MeshError
from meshrt.target import Target, load_target
from meshrt.target.writer import target_to_toml
from tests.models import tiny, token_ids

ERRORS = Path(__file__).parent / "errors"
ROWS = 4


@pytest.fixture(scope="module")
def exported() -> Callable[[str], ExportedProgram]:
    """Tiny models for prompts of any length; each is exported once."""
    made: dict[str, ExportedProgram] = {}

    def of(family: str) -> ExportedProgram:
        if family not in made:
            shapes = ({0: torch.export.Dim("batch", max=8), 1: torch.export.Dim("seq", max=300)},)
            made[family] = export_module(tiny(family), token_ids(2, 9), dynamic_shapes=shapes)
        return made[family]

    return of


@pytest.fixture(scope="module")
def small(tmp_path_factory) -> Callable[[int], str]:
    """The target ``tiny`` with another SRAM, as a file."""
    folder = tmp_path_factory.mktemp("targets")

    def of(sram_bytes: int) -> str:
        path = folder / f"{sram_bytes}.toml"
        path.write_text(target_to_toml(replace(load_target("tiny"), sram_bytes=sram_bytes)), encoding="utf-8")
        return str(path)

    return of


@pytest.mark.parametrize(
    ("phase", "family", "sram_bytes", "kv", "dtype", "batch"),
    [
        ("decode", "llama", 26500, "shift", "f32", 1),
        ("decode", "gpt2", 32500, "append", "f32", 2),
        ("decode", "llama", 20300, "append", "mixed", 1),
        ("generate", "llama", 30500, "shift", "f32", 1),
    ],
)
def test_what_is_reported_compiles_and_one_more_slot_does_not(
    exported, small, phase, family, sram_bytes, kv, dtype, batch
):
    options = CompileOptions(
        target=small(sram_bytes), grid=(3, ROWS), phase=phase, dtype=dtype, kv=kv, context=7, seq=6, batch=batch
    )
    report = compile_model(exported(family), options).build.manifest.details["capacity"]
    assert (report["policy"], report["context"], report["prompt"], report["rows"]) == (kv, 7, 6, ROWS)
    assert report["slots"] == {"shift": 2, "append": 7}[kv]
    slots = {}
    for policy in KV:
        found = report["longest"][policy]
        slots[policy] = found["slots"]
        assert found["context"] == found["slots"] * {"shift": ROWS, "append": 1}[policy]
        longest = replace(options, kv=policy, context=found["context"], seq=min(6, found["context"]))
        details = compile_model(exported(family), longest).build.manifest.details
        fullest = max(details.get("regions", {"main": details}).values(), key=lambda region: region["peak_bytes"])
        assert fullest["peak_bytes"] == found["peak_bytes"] <= sram_bytes
        assert fullest["code_bytes"] == found["code_bytes"]
        assert details["capacity"]["longest"] == report["longest"]
        with pytest.raises(MeshError) as caught:
            compile_model(exported(family), replace(longest, context=found["context"] + 1))
        assert caught.value.diagnostic.code == "M0423"
        # Of two regions the one that has no room for another slot need not be the fuller one.
        if phase == "decode":
            assert found["peak_bytes"] + found["next_slot_bytes"] > sram_bytes
    # Shifting takes some code, of which the last row's slots could be made.
    assert slots["append"] - 8 <= slots["shift"] <= slots["append"]
    assert slots["shift"] >= 3


def fitting(exported: ExportedProgram, options: CompileOptions, target: Target) -> tuple[Fitting, CompileOptions]:
    compiled = compile_model(exported, options, until="graph")
    module = parse_module(compiled.ir("graph"))
    passes = parse_pipeline(PIPELINES["decode"].partition("slice-layers,")[2])
    imported = ImportedModel(module, {}, (ImportedInput("input_ids", (1, 8), "i64"),), "")
    return Fitting(module, passes, imported, target), compiled.options


OPTIONS = CompileOptions(target="tiny", grid=(3, ROWS), phase="decode", dtype="f32", context=90, seq=6)


@pytest.mark.parametrize("prompts_follow", [False, True])
@pytest.mark.parametrize("policy", KV)
def test_the_search_ends_at_a_border_whatever_the_sram(exported, policy, prompts_follow):
    fit, options = fitting(exported("llama"), OPTIONS, load_target("tiny"))
    found = []
    for sram_bytes in range(22800, 42000, 2718):
        with_less = replace(fit, target=replace(fit.target, sram_bytes=sram_bytes))
        capacity = Capacity(with_less, options, prompts_follow)
        slots = capacity.longest(policy)
        assert slots == 0 or capacity.fits(policy, slots)
        assert not capacity.fits(policy, slots + 1)
        found.append(slots)
    assert found == sorted(set(found)) and found[0] == 0


BAD = {
    "grid_too_small_for_the_cache": ({"seq": 90}, 25000),
    "grid_too_small_for_the_prompt": ({"seq": 85}, 24500),
    "last_row_too_small_for_the_cache": ({"kv": "append"}, 27000),
    "no_square_for_the_cache": ({"grid": None, "context": 100, "batch": 8}, 17500),
}


@pytest.mark.parametrize("case", BAD)
def test_a_context_that_does_not_fit_is_told_with_one_that_does(exported, case):
    changes, sram_bytes = BAD[case]
    target = replace(load_target("tiny"), sram_bytes=sram_bytes)
    fit, options = fitting(exported("llama"), replace(OPTIONS, **changes), target)
    with pytest.raises(MeshError) as caught:
        fit.fit(options)
    assert str(caught.value) + "\n" == (ERRORS / f"{case}.err").read_text(encoding="utf-8")
