"""A tiny compiled model, shared by the tests of commands."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import pytest
import tokenizers
import torch
import transformers
from safetensors.torch import save_file

from meshc.driver import compile_model
from meshc.frontend.bundle import write_bundle
from meshc.options import CompileOptions
from meshrt.build import write_build
from tests.models import tiny, token_ids

TOKENS = 8
#: The words of the tokenizer of builds that write.
WORDS = ("<end>", "user", ":", "why", "is", "the", "sky", "blue", "today", "?")


def tokenizer_files(folder: Path) -> dict[str, bytes]:
    """A tokenizer that knows :data:`WORDS`, as a build keeps it."""
    model = tokenizers.models.WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="?")
    plain = tokenizers.Tokenizer(model)
    plain.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
    transformers.PreTrainedTokenizerFast(tokenizer_object=plain, eos_token="<end>").save_pretrained(folder)
    return {file.name: file.read_bytes() for file in sorted(folder.iterdir())}


@dataclass(frozen=True)
class TinyBuild:
    """A build directory with the inputs that it takes and what PyTorch answers."""

    build: Path
    inputs: Path
    expected: Path


@pytest.fixture(scope="session")
def tiny_build(tmp_path_factory: pytest.TempPathFactory) -> TinyBuild:
    """One layer of a tiny Llama in f32 on 2 x 2 PEs, for prompts of up to 8 tokens."""
    folder = tmp_path_factory.mktemp("tiny_build")
    model, ids = tiny("llama", num_hidden_layers=1), token_ids(1, TOKENS)
    with torch.no_grad():
        save_file({"logits": model(ids).contiguous()}, folder / "expected.safetensors")
    save_file({"input_ids": ids}, folder / "inputs.safetensors")
    options = CompileOptions(target="tiny", grid=(2, 2), dtype="f32")
    compile_model(torch.export.export(model, (ids,)), options, name="tiny-llama").save(folder / "build")
    return TinyBuild(folder / "build", folder / "inputs.safetensors", folder / "expected.safetensors")


@pytest.fixture(scope="session")
def traced_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One layer of a tiny Llama, traced for 64 tokens."""
    file = tmp_path_factory.mktemp("model") / "tiny.pt2"
    write_bundle(torch.export.export(tiny("llama", num_hidden_layers=1), (token_ids(1, 64),)), file, {})
    return file


@pytest.fixture(scope="session")
def text_build(traced_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Builds of that model by their phase, in f32 on 2 x 2 PEs, for prompts of up to 4 tokens, with a context of 64."""

    @cache
    def build(phase: str) -> Path:
        folder = tmp_path_factory.mktemp(phase)
        options = CompileOptions(target="tiny", grid=(2, 2), dtype="f32", phase=phase, seq=4)
        compiled = compile_model(traced_model, options, name="tiny-llama").build
        write_build(folder / "build", replace(compiled, tokenizer=tokenizer_files(folder / "tokenizer")))
        return folder / "build"

    return build
