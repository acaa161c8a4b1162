"""Tiny models of each family, compiled and run on the emulated wafer, agree with PyTorch on every position."""

import numpy as np
import pytest
import torch

import meshc
from tests.models import tiny, token_ids

#: Family, overrides of its configuration, grid, batch, prompt length, length of the build.
CASES = [
    ("llama", {}, (4, 4), 1, 9, 9),
    ("llama", {"hidden_size": 40, "num_attention_heads": 5, "num_key_value_heads": 1, "head_dim": 6}, (7, 7), 1, 5, 11),
    ("llama", {"vocab_size": 101, "intermediate_size": 50}, (5, 3), 2, 7, 7),
    ("llama", {"num_attention_heads": 6, "num_key_value_heads": 3, "hidden_size": 42, "head_dim": 10}, (3, 8), 1, 6, 6),
    ("mistral", {}, (6, 6), 1, 7, 7),
    ("mistral", {"sliding_window": 4}, (5, 4), 1, 10, 10),
    ("qwen2", {}, (5, 5), 1, 8, 8),
    ("qwen2", {"num_hidden_layers": 3}, (2, 6), 3, 5, 5),
    ("qwen3", {}, (4, 4), 1, 11, 11),
    ("qwen3", {"head_dim": 12}, (9, 2), 1, 6, 6),
    ("gpt2", {}, (4, 4), 1, 9, 9),
    ("gpt2", {"hidden_size": 36, "num_attention_heads": 3}, (5, 7), 2, 5, 5),
    ("phi3", {}, (3, 3), 1, 7, 7),
    ("phi3", {"intermediate_size": 44}, (6, 5), 1, 9, 9),
    ("gemma", {}, (4, 4), 1, 8, 8),
    ("gemma", {"num_key_value_heads": 1, "head_dim": 14}, (8, 3), 1, 8, 8),
    ("gemma2", {}, (5, 5), 1, 9, 9),
    ("stablelm", {}, (4, 5), 1, 7, 7),
    ("olmo2", {}, (5, 4), 1, 7, 7),
    ("gpt_neox", {}, (4, 4), 1, 7, 7),
    ("granite", {}, (3, 4), 1, 7, 7),
    ("smollm3", {}, (4, 3), 1, 7, 7),
]


@pytest.mark.parametrize(("family", "overrides", "grid", "batch", "prompt", "seq"), CASES)
def test_agrees_with_pytorch(family, overrides, grid, batch, prompt, seq):
    model = tiny(family, **overrides)
    ids = token_ids(batch, prompt, vocab=overrides.get("vocab_size", 96), seed=3)
    compiled = meshc.compile(model, (token_ids(batch, seq),), grid=grid, dtype="f32", target="tiny")
    logits = compiled.run(input_ids=ids)["logits"]
    with torch.no_grad():
        expected = model(ids).numpy()
    assert logits.shape == expected.shape
    assert np.abs(logits - expected).max() <= 1e-4 * np.abs(expected).max()


@pytest.mark.parametrize("dtype", ["mixed", "bf16", "f16"])
def test_narrow_dtypes_stay_close(dtype):
    model = tiny("llama")
    ids = token_ids(1, 9)
    compiled = meshc.compile(model, (ids,), grid=(4, 4), dtype=dtype, target="tiny")
    logits = compiled.run(input_ids=ids)["logits"]
    with torch.no_grad():
        expected = model(ids).numpy()
    bound = {"mixed": 0.01, "f16": 0.03, "bf16": 0.08}[dtype]
    assert np.abs(logits - expected).max() <= bound * np.abs(expected).max()


def test_last_logits_only():
    model = tiny("llama")
    ids = token_ids(2, 5)
    compiled = meshc.compile(model, (token_ids(2, 9),), grid=(4, 4), dtype="f32", target="tiny", logits="last")
    logits = compiled.run(input_ids=ids)["logits"]
    with torch.no_grad():
        expected = model(ids).numpy()[:, -1:]
    assert np.abs(logits - expected).max() <= 1e-4 * np.abs(expected).max()
