"""``meshc trace`` on each kind of source."""

from __future__ import annotations

import sys

import pytest
import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel

from meshc.cli.main import status_of_line
from meshc.frontend.load import load_exported
from meshc.frontend.trace import trace
from meshc.frontend.trace_gguf import gguf_model
from meshrt.diagnostics import MeshError
from tests.frontend.tiny_gguf import SPECIAL, TEMPLATE, tiny_gguf
from tests.models import tiny_model, token_ids

PYTHON_MODEL = """
import torch
from sizes import FEATURES

class Scorer(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = torch.nn.Embedding(10, FEATURES)

    def forward(self, input_ids):
        return self.embed(input_ids).cumsum(1)

def build():
    torch.manual_seed(0)
    return Scorer(), (torch.zeros(1, 6, dtype=torch.int64),)

def build_static():
    class Static(Scorer):
        def forward(self, input_ids):
            return self.embed(input_ids) * torch.ones(6, 1)
    return Static(), (torch.zeros(1, 6, dtype=torch.int64),)

def build_features():
    return torch.nn.Linear(4, 3), (torch.zeros(1, 6, 4),)
"""


@pytest.fixture
def llama_folder(tmp_path):
    model = tiny_model("llama", num_hidden_layers=1)
    model.save_pretrained(tmp_path / "llama")
    Tokenizer(WordLevel({"a": 0, "b": 1}, unk_token="a")).save(str(tmp_path / "llama" / "tokenizer.json"))
    (tmp_path / "llama" / "chat_template.jinja").write_text(TEMPLATE)
    return tmp_path / "llama", model


def test_a_hugging_face_folder(llama_folder, tmp_path):
    folder, model = llama_folder
    traced = trace(str(folder), tmp_path / "model.pt2")
    assert (traced.batch, traced.seq) == (None, None)
    loaded = load_exported(tmp_path / "model.pt2")
    assert sorted(loaded.tokenizer_files) == ["chat_template.jinja", "generation_config.json", "tokenizer.json"]
    assert loaded.tokenizer_files["chat_template.jinja"].decode() == TEMPLATE
    ids = token_ids(3, 7)
    torch.testing.assert_close(loaded.exported_program.module()(ids), model(ids).logits)
    assert set(loaded.exported_program.state_dict) == {name for name, _ in model.named_parameters()}


def test_a_folder_at_one_shape(llama_folder, tmp_path):
    traced = trace(str(llama_folder[0]), tmp_path / "model.pt2", seq=16)
    assert (traced.batch, traced.seq) == (1, 16)


def test_a_folder_without_its_weights(llama_folder, tmp_path):
    folder, model = llama_folder
    (folder / "model.safetensors").unlink()
    trace(str(folder), tmp_path / "model.pt2", weights=False, seq=16)
    loaded = load_exported(tmp_path / "model.pt2").exported_program
    assert {held.device.type for held in loaded.state_dict.values()} == {"meta"}
    assert {name: held.shape for name, held in loaded.state_dict.items()} == {
        name: held.shape for name, held in model.named_parameters()
    }
    assert torch.equal(loaded.constants["model.rotary_emb.inv_freq"], model.model.rotary_emb.inv_freq)


def test_a_soft_cap_on_scores_is_kept(tmp_path):
    """Gemma 2: the one-operator form of attention would leave the cap out."""
    model = tiny_model("gemma2", attn_logit_softcapping=2.0)
    model.save_pretrained(tmp_path / "gemma2")
    trace(str(tmp_path / "gemma2"), tmp_path / "model.pt2", seq=9)
    logits = load_exported(tmp_path / "model.pt2").exported_program.module()(token_ids(1, 9))
    torch.testing.assert_close(logits, model(token_ids(1, 9)).logits)


def test_a_gguf_file(tmp_path):
    trace(str(tiny_gguf(tmp_path / "tiny.gguf")), tmp_path / "model.pt2", seq=9)
    loaded = load_exported(tmp_path / "model.pt2")
    ids, model = token_ids(1, 9), tiny_model("llama")
    torch.testing.assert_close(loaded.exported_program.module()(ids), model(ids).logits)
    assert loaded.tokenizer_files["chat_template.jinja"].decode() == TEMPLATE
    tokenizer = Tokenizer.from_str(loaded.tokenizer_files["tokenizer.json"].decode())
    assert tokenizer.encode(f"{SPECIAL[1]}cd").ids == [1, tokenizer.token_to_id("c"), tokenizer.token_to_id("d")]


def test_a_gguf_file_with_a_bad_vocabulary(tmp_path):
    path = tiny_gguf(tmp_path / "tiny.gguf")
    path.write_bytes(path.read_bytes().replace(b"a b", b"Q b"))
    with pytest.raises(MeshError, match="M0117"):
        trace(str(path), tmp_path / "model.pt2")


def test_quantised_weights_are_rounded_to_f16(tmp_path):
    model, exact = gguf_model(tiny_gguf(tmp_path / "tiny.gguf", quantised=True)), tiny_model("llama")
    assert {held.dtype for held in model.parameters()} == {torch.float16}
    expected = exact.state_dict()
    for name, held in model.state_dict().items():
        assert (held.float() - expected[name]).abs().max() < expected[name].abs().max() / 100


@pytest.mark.parametrize(("package", "hint"), [("transformers", "transformers"), ("gguf", "gguf package")])
def test_a_missing_package_is_named(package, hint, tmp_path, monkeypatch):
    path = tiny_gguf(tmp_path / "tiny.gguf")
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MeshError, match=f"M0116.*{hint}"):
        trace(str(path), tmp_path / "model.pt2")


def python_file(tmp_path):
    (tmp_path / "sizes.py").write_text("FEATURES = 3\n")
    (tmp_path / "scorer.py").write_text(PYTHON_MODEL)
    return tmp_path / "scorer.py"


@pytest.mark.parametrize(
    ("function", "options", "extents"),
    [
        ("build", {}, (None, None)),
        ("build", {"seq": 5}, (1, 5)),
        ("build", {"seq": 5, "batch": 2}, (2, 5)),
        ("build", {"batch": 2}, (2, None)),
        ("build_static", {}, (1, 6)),
        ("build_features", {}, (1, 6)),
    ],
)
def test_a_python_function(function, options, extents, tmp_path):
    traced = trace(f"{python_file(tmp_path)}:{function}", tmp_path / "model.pt2", **options)
    assert (traced.batch, traced.seq) == extents
    assert traced.tokenizer_files == {}


def test_example_inputs_of_another_kind_fix_the_extents(tmp_path):
    with pytest.raises(MeshError, match="M0108"):
        trace(f"{python_file(tmp_path)}:build_features", tmp_path / "model.pt2", seq=7)


def test_the_command_says_what_it_made(tmp_path, capsys):
    source = f"{python_file(tmp_path)}:build"
    assert status_of_line(["trace", source, "-o", str(tmp_path / "model.pt2")]) == 0
    assert "model.pt2: 0.0 MB, batch dynamic, sequence dynamic, no tokenizer, in" in capsys.readouterr().out
    assert status_of_line(["trace", source, "-o", str(tmp_path / "quiet.pt2"), "-q", "--seq", "4"]) == 0
    assert capsys.readouterr().out == ""


def test_the_command_ends_with_one_diagnostic(tmp_path, capsys):
    assert status_of_line(["trace", str(tmp_path / "nothing"), "-o", str(tmp_path / "model.pt2")]) == 1
    captured = capsys.readouterr()
    assert captured.err.startswith("error[M0115]: there is no")
    assert "Traceback" not in captured.err
    assert not list(tmp_path.iterdir())
