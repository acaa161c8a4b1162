"""How the writing demo judges the wafer's text. The demo itself takes minutes: examples/smollm2/write.py."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
import torch

FILE = Path(__file__).resolve().parents[2] / "examples" / "smollm2" / "write.py"


@pytest.fixture(scope="module")
def write() -> ModuleType:
    spec = importlib.util.spec_from_file_location("write", FILE)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def model_of(rows: list[list[float]]):
    """A model whose logits at each position are those of the token there."""
    table = torch.tensor(rows)
    return lambda ids, use_cache: SimpleNamespace(logits=table[ids])


def test_a_token_is_the_likeliest_behind_what_the_wafer_wrote(write):
    model = model_of([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [1.0, 0.0, 0.985]])
    assert write.first_difference(model, [0], [1, 2, 0]) is None
    # Of two that are near to each other either is right; what follows goes on from the one that was chosen.
    assert write.first_difference(model, [0, 1], [2, 2, 2]) is None
    assert write.first_difference(model, [0], [1, 2, 1]) == 2
    assert write.first_difference(model, [0], [2]) == 0


def test_it_finds_the_demo_beside_it(write):
    assert callable(write.demo().gguf_file)
