"""Models as people write them, in torch.export and TorchScript form, become the same few operations."""

from __future__ import annotations

import pytest
import torch

from meshc.frontend.export import export_module
from meshc.frontend.importer import import_exported
from meshc.frontend.load import load_exported
from tests.frontend.comparison import agreeing_graph, only, operations
from tests.frontend.handwritten import MODELS, VOCAB, handwritten
from tests.models import tiny, token_ids

#: What a graph may hold in the end, beside loops and weights.
FINAL = {
    "func", "return", "repeat", "yield", "weight", "positions", "embedding", "linear", "rms_norm", "layer_norm", "rope",
    "attention", "glu", "add", "mul", "div", "tanh", "relu", "relu_squared", "gelu", "gelu_tanh", "gelu_quick", "silu",
}  # fmt: skip

#: TorchScript traces: what torch's converter takes, and calls the same.
SCRIPTED = ("meta_llama", "nano_gpt", "nano_gpt_written_out", "flat", "parallel", "soft_capped")


@pytest.mark.parametrize("name", MODELS)
def test_a_handwritten_model_agrees(name):
    module = agreeing_graph(handwritten(name), token_ids(2, 11, VOCAB))
    assert set(operations(module)) <= FINAL
    assert operations(module).count("repeat") == 1


@pytest.mark.parametrize("name", SCRIPTED)
def test_a_torchscript_trace_agrees(name, tmp_path):
    model, ids = handwritten(name), token_ids(2, 11, VOCAB)
    with torch.no_grad():
        torch.jit.save(torch.jit.trace(model, (ids,), check_trace=False), tmp_path / "model.pt")
    loaded = load_exported(tmp_path / "model.pt", 2, 11)
    module = agreeing_graph(model, ids, loaded.exported_program)
    assert set(operations(module)) <= FINAL


@pytest.mark.parametrize("family", ["llama", "gpt2", "gemma"])
def test_a_torchscript_trace_of_a_family_agrees(family, tmp_path):
    model, ids = tiny(family), token_ids(1, 9)
    with torch.no_grad():
        torch.jit.save(torch.jit.trace(model, (ids,), check_trace=False), tmp_path / "model.pt")
    loaded = load_exported(tmp_path / "model.pt", 1, 9)
    agreeing_graph(model, ids, loaded.exported_program)


def test_complex_numbers_are_interleaved_pairs():
    assert only(agreeing_graph(handwritten("meta_llama"), token_ids(1, 7, VOCAB)), "rope")["pairing"] == "interleaved"


def test_half_of_each_head_may_turn():
    rope = only(agreeing_graph(handwritten("parallel"), token_ids(1, 7, VOCAB)), "rope")
    assert (rope["head_dim"], rope["rotary_dim"], rope["pairing"]) == (12, 6, "half")


def test_one_head_of_keys_may_serve_all_queries():
    attention = only(agreeing_graph(handwritten("meta_llama_mqa"), token_ids(1, 7, VOCAB)), "attention")
    assert (attention["heads"], attention["kv_heads"]) == (4, 1)


class WritesInPlace(torch.nn.Module):
    """Activations are written into: torch makes the graph functional first."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = torch.nn.Embedding(VOCAB, 12)
        self.head = torch.nn.Linear(12, VOCAB)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        x = self.embed(ids)
        x += torch.sigmoid(x)
        x.mul_(0.5)
        return self.head(x)


def test_a_model_that_writes_into_its_activations_agrees():
    model = WritesInPlace().eval()
    module = agreeing_graph(model, token_ids(2, 5, VOCAB))
    assert operations(module) == [
        "func",
        "weight",
        "weight",
        "weight",
        "embedding",
        "sigmoid",
        "add",
        "mul",
        "linear",
        "return",
    ]


def test_locations_lead_to_the_users_lines():
    imported = import_exported(export_module(handwritten("soft_capped"), token_ids(1, 5, VOCAB)))
    lines = {op.location.file for op in imported.module.walk() if op.location}
    assert {line.rpartition("/")[2] for line in lines} == {"handwritten.py"}
