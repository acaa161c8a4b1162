"""The whole way from an exported model to a build: levels, diagnostics, program size, and the same bytes every time."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import meshc
from meshc.dialects.levels import parse_module
from meshc.driver import DEFAULT_PIPELINE, compile_model
from meshc.emit.program import emit_program
from meshc.frontend.export import export_module
from meshc.options import CompileOptions
from meshrt.diagnostics import CATALOG, MeshError
from meshrt.program.parser import parse_program
from meshrt.program.printer import print_program
from tests.models import tiny, token_ids

ROOT = Path(__file__).parents[2]
ERRORS = Path(__file__).parent / "errors"


def options(**chosen) -> CompileOptions:
    return CompileOptions(**{"target": "tiny", "grid": (3, 3), "dtype": "f32", **chosen})


# ---- levels --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("until", "levels"),
    [("graph", ["graph"]), ("tile", ["graph", "tile"]), ("mesh", ["graph", "tile", "mesh"])],
)
def test_it_stops_at_the_level_that_is_asked_for(llama, until, levels):
    compiled = compile_model(llama(), options(), until=until)
    assert list(compiled.levels) == levels
    assert parse_module(compiled.ir(until)).level == until
    assert compiled.build.program.regions == ()


def test_every_level_of_a_whole_compilation_can_be_read(llama):
    compiled = compile_model(llama(), options())
    assert list(compiled.levels) == ["graph", "tile", "mesh", "program"]
    assert print_program(parse_program(compiled.ir("program"))) == compiled.ir("program")
    assert emit_program(parse_module(compiled.ir("mesh"))) == compiled.build.program
    assert [timing.name for timing in compiled.pass_times] == DEFAULT_PIPELINE.split(",")


def test_dumps_are_numbered_through(llama, tmp_path):
    compile_model(llama(), options(), dump_ir=tmp_path)
    names = [path.stem for path in sorted(tmp_path.iterdir())]
    assert names == [f"{i:02}-{name}" for i, name in enumerate(["input", *DEFAULT_PIPELINE.split(",")])]


def test_the_options_say_what_was_chosen(llama):
    compiled = compile_model(llama(), CompileOptions(target="tiny"))
    assert compiled.options.grid is not None
    assert compiled.options.seq == 8
    assert CompileOptions.from_json(dict(compiled.build.manifest.options)) == compiled.options
    assert compiled.summary().startswith(f"{compiled.options.grid[0]}x{compiled.options.grid[1]} PEs, ")


def test_the_report_is_that_of_the_last_run(llama):
    compiled = compile_model(llama(), options())
    with pytest.raises(MeshError) as caught:
        compiled.report()
    assert str(caught.value) == ("error[M0501]: there is no report before the first run\n  help: call run(...) first")


class TwoInputs(torch.nn.Module):
    """Token ids and segment ids; a third input that nothing reads."""

    def __init__(self):
        super().__init__()
        self.tokens, self.segments = torch.nn.Embedding(11, 6), torch.nn.Embedding(2, 6)
        self.head = torch.nn.Linear(6, 5)

    def forward(self, x, attention_mask, token_type_ids):
        return self.head(self.tokens(x) + self.segments(token_type_ids))


def test_a_model_of_several_inputs():
    torch.manual_seed(0)
    model, ids, segments = TwoInputs(), token_ids(2, 3, vocab=11), token_ids(2, 3, vocab=2)
    compiled = meshc.compile(model, (ids, torch.ones_like(ids), segments), target="tiny", grid=(2, 3), dtype="f32")
    assert [binding.name for binding in compiled.build.manifest.inputs] == ["x", "token_type_ids"]
    assert (compiled.options.batch, compiled.options.seq) == (2, 3)
    found = compiled.run(x=ids, token_type_ids=segments)["logits"]
    expected = model(ids, None, segments).detach().numpy()
    assert np.abs(found - expected).max() <= 1e-5 * np.abs(expected).max()


# ---- diagnostics ---------------------------------------------------------------------

BAD = {
    "grid_larger_than_the_fabric": {"grid": (17, 4)},
    "two_regions_wider_than_the_fabric": {"grid": (9, 4), "phase": "generate"},
    "layers_that_are_not_there": {"layers": (1, 3)},
    "pipeline_without_place": {"pipeline": DEFAULT_PIPELINE.replace(",place", "")},
    "pipeline_of_the_graph_level": {"pipeline": "canonicalize"},
    "pipeline_without_colors": {"pipeline": DEFAULT_PIPELINE.replace(",allocate-colors", "")},
    "pipeline_without_addresses": {"pipeline": DEFAULT_PIPELINE.replace(",plan-memory", "")},
    "decode_beyond_the_export": {"phase": "decode", "context": 9},
    "pipeline_out_of_order": {"pipeline": DEFAULT_PIPELINE.replace("tile,select-kernels", "select-kernels,tile")},
}


@pytest.mark.parametrize("case", BAD)
def test_bad_options_get_one_diagnostic(case, llama):
    with pytest.raises(MeshError) as caught:
        compile_model(llama(), options(**BAD[case]))
    assert caught.value.diagnostic.code in CATALOG
    assert str(caught.value) + "\n" == (ERRORS / f"{case}.err").read_text(encoding="utf-8")


BAD_OPTIONS = {
    "prompts_beyond_the_context": {"phase": "decode", "context": 8, "seq": 9},
    "context_in_prefill": {"context": 8},
    "cache_in_prefill": {"kv": "append"},
    "unknown_cache": {"phase": "decode", "kv": "ring"},
    "last_logits_in_decode": {"phase": "decode", "logits": "last"},
    "last_logits_in_generate": {"phase": "generate", "logits": "last"},
}


@pytest.mark.parametrize("case", BAD_OPTIONS)
def test_options_that_contradict_each_other(case):
    with pytest.raises(MeshError) as caught:
        options(**BAD_OPTIONS[case])
    assert str(caught.value) + "\n" == (ERRORS / f"{case}.err").read_text(encoding="utf-8")


def test_decode_of_a_model_of_any_length_needs_a_context():
    shapes = ({0: torch.export.Dim("batch", max=8), 1: torch.export.Dim("seq", max=64)},)
    exported = export_module(tiny("llama"), token_ids(2, 9), dynamic_shapes=shapes)
    with pytest.raises(MeshError) as caught:
        compile_model(exported, options(phase="decode"))
    assert str(caught.value) + "\n" == (ERRORS / "decode_without_context.err").read_text(encoding="utf-8")
    compiled = compile_model(exported, options(phase="decode", context=12, seq=5, batch=3), until="graph")
    assert (compiled.options.context, compiled.options.seq, compiled.options.batch) == (12, 5, 3)
    assert "tensor<3x1xi64>" in compiled.ir("graph")


def test_the_context_is_that_of_the_export_unless_given(llama):
    assert compile_model(llama(), options(phase="decode"), until="graph").options.context == 8
    compiled = compile_model(llama(), options(phase="decode", context=6, seq=4), until="graph")
    assert (compiled.options.context, compiled.options.seq) == (6, 4)
    assert "context = 6" in compiled.ir("graph")


# ---- size ----------------------------------------------------------------------------


def program_size(model, **chosen) -> int:
    return len(compile_model(model, options(target="wse2", **chosen)).ir("program"))


@pytest.mark.slow
def test_the_program_grows_neither_with_the_grid_nor_with_the_layers(llama):
    small, large = (program_size(llama(2), grid=(side, side)) for side in (24, 96))
    assert large <= 1.5 * small
    deep = program_size(llama(8), grid=(24, 24))
    assert deep <= small + 64, "a few bytes of numbers"


# ---- determinism ---------------------------------------------------------------------

SCRIPT = """
import sys
import torch
torch.set_num_threads(1)
import meshc
from tests.models import tiny, token_ids
compiled = meshc.compile(tiny("llama"), (token_ids(1, 8),), target="tiny", name="tiny-llama")
compiled.save(sys.argv[1])
"""


def files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.mark.slow
def test_two_compilations_give_the_same_bytes(tmp_path):
    """In this process, and in another one with another hash seed and working directory."""
    for name in ("one", "two"):
        compiled = meshc.compile(tiny("llama"), (token_ids(1, 8),), target="tiny", name="tiny-llama")
        compiled.save(tmp_path / name)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    paths = os.pathsep.join(map(str, (ROOT, ROOT / "runtime")))
    environment = {**os.environ, "PYTHONHASHSEED": "4711", "PYTHONPATH": paths}
    subprocess.run([sys.executable, "-c", SCRIPT, "build"], cwd=elsewhere, env=environment, check=True, timeout=300)
    one = files(tmp_path / "one")
    assert {"program.mesh", "manifest.json", "weights.safetensors", "target.toml"} <= set(one)
    assert one == files(tmp_path / "two")
    assert one == files(elsewhere / "build")
