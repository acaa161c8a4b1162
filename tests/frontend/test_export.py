"""Exporting modules: inference mode, plain outputs, names kept, nothing of the machine in the file."""

from __future__ import annotations

import zipfile
from pathlib import Path

import torch

from meshc.frontend.export import export_module, is_transformers_model, logits_only
from tests.frontend.small_models import Scorer, TwoInputs, tokens
from tests.models import tiny, tiny_model, token_ids


def test_dropout_is_off_and_training_mode_comes_back():
    module = torch.nn.Sequential(Scorer(), torch.nn.Dropout(0.5))
    module[0].head.eval()
    exported = export_module(module, tokens())
    assert torch.equal(exported.module()(tokens()), exported.module()(tokens()))
    assert module.training
    assert module[1].training
    assert not module[0].head.training


def test_example_inputs_may_be_one_tensor_a_sequence_or_names():
    for example in (tokens(), (tokens(),), [tokens()], {"input_ids": tokens()}):
        assert export_module(Scorer(), example).graph_signature.user_inputs == ("input_ids",)
    named = export_module(TwoInputs(), {"input_ids": tokens(), "offsets": tokens()})
    assert named.graph_signature.user_inputs == ("input_ids", "offsets")


def test_a_transformers_model_gives_logits_under_its_own_names():
    model = tiny_model("llama", num_hidden_layers=1)
    exported = export_module(model, token_ids(1, 8))
    assert set(exported.state_dict) == {name for name, _ in model.named_parameters()}
    (logits,) = exported.graph_signature.user_outputs
    assert next(n for n in exported.graph.nodes if n.name == logits).meta["val"].shape == (1, 8, 96)
    assert torch.equal(exported.module()(token_ids(1, 8)), model(token_ids(1, 8)).logits)


def test_a_model_that_gives_logits_is_taken_as_it_is():
    model = tiny("llama", num_hidden_layers=1)
    assert not is_transformers_model(model)
    assert is_transformers_model(tiny_model("llama", num_hidden_layers=1))
    assert export_module(model, token_ids(1, 8)).graph_signature.user_inputs == ("input_ids",)


def test_logits_only_shares_the_weights():
    model = tiny_model("llama", num_hidden_layers=1)
    view = logits_only(model)
    assert view.lm_head is model.lm_head
    assert type(model).__name__ == type(view).__name__
    assert type(model) is not type(view)


def test_no_gradient_mode_is_left_in_the_graph():
    exported = export_module(tiny("llama", num_hidden_layers=1), token_ids(1, 8))
    assert not [n for n in exported.graph.nodes if "wrap_with_set_grad_enabled" in str(n.target)]
    assert not [n for n in exported.graph.nodes if "_assert_tensor_metadata" in str(n.target)]


def test_no_directory_of_this_machine_is_in_the_file(tmp_path):
    torch.export.save(export_module(tiny("llama", num_hidden_layers=1), token_ids(1, 8)), tmp_path / "model.pt2")
    directories = [str(Path(torch.__file__).parents[1]), str(Path(__file__).parents[2]), str(tmp_path)]
    with zipfile.ZipFile(tmp_path / "model.pt2") as archive:
        content = archive.read("model/models/model.json").decode()
    assert "transformers/models/llama/modeling_llama.py" in content
    assert not [directory for directory in directories if directory in content]


def test_two_exports_are_the_same_file(tmp_path):
    model = tiny("llama", num_hidden_layers=1)
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        torch.export.save(export_module(model, token_ids(1, 8)), tmp_path / name / "model.pt2")
    assert (tmp_path / "a" / "model.pt2").read_bytes() == (tmp_path / "b" / "model.pt2").read_bytes()
