"""What is inside a model file decides how it is read, and what it gives."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch

from meshc.frontend.archive import Kind, identify
from meshc.frontend.export import export_module
from meshc.frontend.extents import static_extents, symbol_values
from meshc.frontend.load import load_exported
from meshc.frontend.source_locations import node_location
from meshc.ir.core import Location
from tests.frontend.small_models import Halves, Scorer, tokens
from tests.models import REQUIRED, tiny, tiny_model, token_ids

pytestmark = [
    pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning"),
    pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning"),
]

DYNAMIC = ({0: torch.export.Dim("batch", min=1, max=8), 1: torch.export.Dim("seq", min=2, max=32)},)


def saved(path, module, example=None, **options):
    torch.export.save(export_module(module, tokens() if example is None else example, **options), path)
    return path


def test_the_content_decides_and_not_the_name(tmp_path):
    exported = saved(tmp_path / "model.pt2", Scorer()).rename(tmp_path / "model.pt")
    script = tmp_path / "model.pt2"
    torch.jit.script(Scorer()).save(script)
    assert identify(exported) is Kind.EXPORTED
    assert identify(script) is Kind.TORCHSCRIPT
    assert load_exported(exported).kind is Kind.EXPORTED
    assert load_exported(script, seq=4).kind is Kind.TORCHSCRIPT


def test_a_static_export_has_its_extents(tmp_path):
    loaded = load_exported(saved(tmp_path / "model.pt2", Scorer()))
    assert (loaded.batch, loaded.seq) == (2, 8)
    assert symbol_values(loaded.exported_program, None, None) == {}
    assert loaded.exported_program.graph_signature.user_inputs == ("input_ids",)


def test_a_dynamic_export_takes_extents(tmp_path):
    loaded = load_exported(saved(tmp_path / "model.pt2", Scorer(), dynamic_shapes=DYNAMIC))
    assert (loaded.batch, loaded.seq) == (None, None)
    assert sorted(symbol_values(loaded.exported_program, None, 17).values()) == [1, 17]
    assert sorted(symbol_values(loaded.exported_program, 3, 17).values()) == [3, 17]


def test_an_extent_may_be_an_expression_of_its_symbol(tmp_path):
    half = torch.export.Dim("half", min=1, max=16)
    loaded = load_exported(saved(tmp_path / "model.pt2", Scorer(), dynamic_shapes=({1: 2 * half},)))
    assert list(symbol_values(loaded.exported_program, None, 12).values()) == [6]


def test_one_dimensional_tokens_are_a_sequence(tmp_path):
    exported = export_module(Scorer(), tokens()[0])
    assert static_extents(exported) == (1, 8)


def test_extra_files_come_as_bytes(tmp_path):
    files = {"tokenizer/tokenizer.json": "{}", "tokenizer/chat_template.jinja": "naïve", "notes.txt": "mine"}
    torch.export.save(export_module(Scorer(), tokens()), tmp_path / "model.pt2", extra_files=files)
    loaded = load_exported(tmp_path / "model.pt2")
    assert loaded.tokenizer_files == {"tokenizer.json": b"{}", "chat_template.jinja": "naïve".encode()}
    assert loaded.extra_files["notes.txt"] == b"mine"


def test_a_program_without_weights_stays_without(tmp_path):
    with torch.device("meta"):
        module = Scorer()
    loaded = load_exported(saved(tmp_path / "model.pt2", module))
    assert {held.device.type for held in loaded.exported_program.state_dict.values()} == {"meta"}


@pytest.mark.slow
def test_a_forward_that_returns_a_class_of_transformers(tmp_path):
    """Read in a process that has not imported transformers, as a compilation is."""
    program = torch.export.export(tiny_model("llama", num_hidden_layers=1), (tokens(),), {"use_cache": False})
    torch.export.save(program, tmp_path / "model.pt2")
    code = f"from meshc.frontend.load import load_exported\nprint(load_exported({str(tmp_path / 'model.pt2')!r}).seq)"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    assert result.stdout == "8\n"
    assert result.stderr == ""


@pytest.mark.parametrize(
    ("family", "attention"), [*((family, "eager") for family in REQUIRED), ("llama", "sdpa"), ("gpt2", "sdpa")]
)
def test_a_traced_language_model_computes_the_same(family, attention, tmp_path):
    model = tiny(family, attention, num_hidden_layers=1)
    with torch.no_grad():
        torch.jit.trace(model, token_ids(1, 8), strict=False, check_trace=False).save(tmp_path / "model.pt")
        expected = model(token_ids(1, 11, seed=3))
    loaded = load_exported(tmp_path / "model.pt", seq=11)
    assert (loaded.batch, loaded.seq) == (1, 11)
    assert loaded.exported_program.graph_signature.user_inputs == ("input_ids",)
    assert torch.equal(loaded.exported_program.module()(token_ids(1, 11, seed=3)), expected)
    names = {name for name, _ in model.named_parameters()}
    assert names <= set(loaded.exported_program.state_dict)


def test_torchscript_leads_back_to_the_source(tmp_path):
    model = tiny("llama")
    with torch.no_grad():
        torch.jit.trace(model, token_ids(1, 8), strict=False, check_trace=False).save(tmp_path / "model.pt")
    traced = load_exported(tmp_path / "model.pt", seq=8).exported_program
    exported = export_module(model, token_ids(1, 8))
    for kind in (torch.ops.aten.linear.default, torch.ops.aten.silu.default, torch.ops.aten.softmax.int):
        assert lines_of(traced, kind) == lines_of(exported, kind)


def lines_of(program, kind) -> list[Location]:
    return [node_location(node) for node in program.graph.nodes if node.target is kind]


def test_shape_arithmetic_of_a_trace_becomes_numbers(tmp_path):
    module = Halves()
    torch.jit.trace(module, tokens(1, 8)).save(tmp_path / "model.pt")
    program = load_exported(tmp_path / "model.pt", seq=5).exported_program
    calls = [node for node in program.graph.nodes if node.op == "call_function"]
    assert "aten._local_scalar_dense.default" not in {str(node.target) for node in calls}
    assert [node.args[1] for node in calls if node.target is torch.ops.aten.div.Tensor] == [5]
    assert torch.equal(program.module()(tokens(1, 5)), module(tokens(1, 5)))
