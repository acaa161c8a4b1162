"""A tiny compiled model, shared by the tests of commands."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from meshc.driver import compile_model
from meshc.options import CompileOptions
from tests.models import tiny, token_ids

TOKENS = 8


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
