"""Tiny models of each family decode on the emulated wafer as PyTorch does: the same tokens, and logits within 1e-4.

Every run writes on from its prompts through the program alone: no token comes from the host after them.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch

import meshc
from meshc.driver import CompiledModel
from meshrt.diagnostics import MeshError
from meshrt.generation import Request, generate
from meshrt.run import RunOptions
from tests.models import tiny, token_ids

TOLERANCE = 1e-4

#: Family, overrides of its configuration, a grid that divides none of its sizes, batch.
CASES = [
    ("llama", {}, (3, 5), 1),
    ("llama", {"num_key_value_heads": 1, "vocab_size": 101}, (5, 3), 3),
    ("qwen2", {}, (5, 3), 1),
    ("qwen2", {"intermediate_size": 50}, (3, 7), 3),
    ("qwen3", {}, (7, 3), 1),
    ("qwen3", {"num_attention_heads": 6, "num_key_value_heads": 3}, (5, 5), 3),
    ("gpt2", {}, (5, 3), 1),
    ("gpt2", {"hidden_size": 36, "num_attention_heads": 3}, (5, 7), 3),
    ("gemma", {}, (3, 5), 1),
    ("gemma", {"num_key_value_heads": 1, "head_dim": 14}, (5, 3), 3),
]
#: What the required families do not have: windows, soft caps, layers of two kinds, partial rotation, parallel branches.
OTHERS = [
    ("mistral", {"sliding_window": 4}, (3, 5), 2),
    ("gemma2", {}, (5, 3), 1),
    ("stablelm", {}, (3, 4), 1),
    ("olmo2", {}, (4, 3), 1),
    ("gpt_neox", {}, (3, 4), 2),
    ("granite", {}, (3, 3), 1),
    ("phi3", {}, (4, 5), 1),
    ("smollm3", {}, (4, 3), 1),
]


def compiled_for(model: torch.nn.Module, context: int, batch: int, **options: object) -> CompiledModel:
    ids = token_ids(batch, context)
    return meshc.compile(model, (ids,), phase="decode", target="tiny", dtype="f32", **options)


def greedy(model: torch.nn.Module, prompt: list[int], count: int) -> tuple[list[int], np.ndarray]:
    """What PyTorch writes behind a prompt, and its logits at every position that decides or was given."""
    ids = list(prompt)
    with torch.no_grad():
        for _ in range(count):
            logits = model(torch.tensor([ids]))[0]
            ids.append(int(logits[-1].argmax()))
    return ids[len(prompt) :], logits.numpy()


def prompts_of(batch: int, vocabulary: int, longest: int = 5) -> list[list[int]]:
    """Prompts of different lengths."""
    ids = token_ids(batch, longest, vocab=vocabulary, seed=3).tolist()
    return [row[: longest - i] for i, row in enumerate(ids)]


def agrees(family: str, overrides: dict, grid: tuple[int, int], batch: int, count: int, strategy: str = "auto") -> None:
    model = tiny(family, **overrides)
    prompts = prompts_of(batch, overrides.get("vocab_size", 96))
    context = max(map(len, prompts)) + count - 1
    compiled = compiled_for(model, context, batch, grid=grid, seq=len(prompts[0]), logits="all", strategy=strategy)
    written = generate(compiled.build, Request(tuple(map(tuple, prompts)), count))
    logits = written.result.outputs["logits"]
    for b, prompt in enumerate(prompts):
        tokens, expected = greedy(model, prompt, count)
        assert list(written.tokens[b]) == tokens
        assert np.abs(logits[b, : len(expected)] - expected).max() <= TOLERANCE


@pytest.mark.parametrize(("family", "overrides", "grid", "batch"), CASES)
def test_a_required_family_writes_what_pytorch_writes(family, overrides, grid, batch):
    agrees(family, overrides, grid, batch, 9)


@pytest.mark.parametrize("strategy", ["waferllm", "auto{norms=apart, projections=apart}", "auto{trees=k_tree}"])
def test_a_strategy_changes_no_token(strategy):
    agrees("llama", {"num_key_value_heads": 2}, (5, 3), 2, 5, strategy)


@pytest.mark.slow
@pytest.mark.parametrize(("family", "overrides", "grid", "batch"), CASES)
def test_sixty_four_tokens_of_a_required_family(family, overrides, grid, batch):
    agrees(family, overrides, grid, batch, 64)


@pytest.mark.parametrize(("family", "overrides", "grid", "batch"), OTHERS)
def test_another_family_writes_what_pytorch_writes(family, overrides, grid, batch):
    agrees(family, overrides, grid, batch, 6)


def test_a_prompt_alone_gives_its_logits():
    """Run without asking for new tokens, a build gives what prefill gives."""
    model, ids = tiny("llama"), token_ids(2, 6)
    compiled = compiled_for(model, 9, 2, grid=(3, 4), logits="all")
    logits = compiled.run(input_ids=ids)["logits"]
    with torch.no_grad():
        expected = model(ids).numpy()
    assert logits.shape == expected.shape
    assert np.abs(logits - expected).max() <= TOLERANCE


@pytest.mark.parametrize("dtype", ["mixed", "bf16", "f16"])
def test_narrow_dtypes_stay_close(dtype):
    model, ids = tiny("llama"), token_ids(1, 9)
    compiled = meshc.compile(model, (ids,), phase="decode", target="tiny", dtype=dtype, grid=(3, 4), logits="all")
    logits = compiled.run(input_ids=ids)["logits"]
    with torch.no_grad():
        expected = model(ids).numpy()
    bound = {"mixed": 0.01, "f16": 0.03, "bf16": 0.08}[dtype]
    assert np.abs(logits - expected).max() <= bound * np.abs(expected).max()


def test_text_and_code_do_not_grow_with_the_layers():
    few, many = (compiled_for(tiny("llama", num_hidden_layers=n), 8, 1, grid=(4, 4)) for n in (2, 6))
    assert len(many.ir("program")) <= len(few.ir("program")) + 64, "a few bytes of numbers"
    code = [compiled.build.manifest.details["code_bytes"] for compiled in (few, many)]
    assert code[0] == code[1]


@pytest.mark.parametrize("grid", [None, (1, 1), (1, 5), (6, 1)])
def test_it_fits_itself_into_few_pes_and_lines(grid):
    model, ids = tiny("qwen2", num_hidden_layers=1, intermediate_size=32), token_ids(1, 7)
    compiled = compiled_for(model, 7, 1, grid=grid, logits="all")
    assert compiled.options.grid is not None
    with torch.no_grad():
        expected = model(ids).numpy()
    assert np.abs(compiled.run(input_ids=ids)["logits"] - expected).max() <= TOLERANCE


@pytest.mark.parametrize("engine", ["batched", "reference"])
@pytest.mark.parametrize("kv", ["shift", "append"])
@pytest.mark.parametrize(("family", "grid"), [("llama", (3, 4)), ("gpt2", (5, 3))])
def test_a_full_cache_of_either_policy_keeps_what_was_written(family, grid, kv, engine):
    """Up to the last slot the tokens are PyTorch's; the one that would need another is refused, none is lost."""
    model = tiny(family)
    prompts = prompts_of(2, 96)
    compiled = compiled_for(model, 11, 2, grid=grid, kv=kv, seq=5)
    request = Request(tuple(map(tuple, prompts)), 9)
    written = generate(compiled.build, request, RunOptions(engine=engine))
    # The first step's token comes from the last of the prompt, so the last token needs no slot.
    assert [len(tokens) for tokens in written.tokens] == [7, 8]
    for prompt, tokens in zip(prompts, written.tokens, strict=True):
        assert list(tokens) == greedy(model, prompt, len(tokens))[0]
    with pytest.raises(MeshError) as caught:
        written.check_complete(request)
    assert caught.value.diagnostic.code == "M0545"
    assert "compile with --context 13 or more" in str(caught.value)
