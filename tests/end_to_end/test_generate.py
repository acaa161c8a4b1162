"""Tiny models of each family take whole prompts and write on as PyTorch does: the same tokens, logits within 1e-4.

Prefill fills the caches in a region of its own, which go to the region of decode over the fabric; every step from
the last token of the shortest prompt on is decode's. No token comes from the host after the prompts.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch

import meshc
from meshrt.generation import Generation, Request, generate
from meshrt.run import RunOptions
from tests.end_to_end.test_decode import CASES, OTHERS, TOLERANCE, greedy, prompts_of
from tests.frontend.test_static_cache import with_cache
from tests.models import tiny, token_ids


def agrees(family: str, overrides: dict, grid: tuple[int, int], batch: int, count: int) -> Generation:
    model = tiny(family, **overrides)
    prompts = prompts_of(batch, overrides.get("vocab_size", 96), 6)
    first = min(map(len, prompts)) - 1
    context = max(map(len, prompts)) + count - 1
    options = {"phase": "generate", "target": "tiny", "dtype": "f32", "seq": len(prompts[0]) + 1, "logits": "all"}
    compiled = meshc.compile(model, (token_ids(batch, context),), grid=grid, **options)
    written = generate(compiled.build, Request(tuple(map(tuple, prompts)), count))
    logits = written.result.outputs["logits"]
    for b, prompt in enumerate(prompts):
        tokens, expected = greedy(model, prompt, count)
        assert list(written.tokens[b]) == tokens
        assert np.abs(logits[b, first : len(expected)] - expected[first:]).max() <= TOLERANCE
        assert not logits[b, :first].any(), "what prefill works on has no logits"
    return written


@pytest.mark.parametrize(("family", "overrides", "grid", "batch"), CASES)
def test_a_required_family_writes_what_pytorch_writes(family, overrides, grid, batch):
    agrees(family, overrides, grid, batch, 9)


@pytest.mark.slow
@pytest.mark.parametrize(("family", "overrides", "grid", "batch"), CASES)
def test_sixty_four_tokens_of_a_required_family(family, overrides, grid, batch):
    agrees(family, overrides, grid, batch, 64)


@pytest.mark.parametrize(("family", "overrides", "grid", "batch"), OTHERS)
def test_another_family_writes_what_pytorch_writes(family, overrides, grid, batch):
    agrees(family, overrides, grid, batch, 6)


@pytest.mark.parametrize("grid", [(1, 1), (1, 5), (6, 1), (2, 2)])
def test_few_pes_and_lines(grid):
    agrees("qwen2", {"num_hidden_layers": 1, "intermediate_size": 32, "vocab_size": 64}, grid, 2, 4)


def compiled_llama(**options: object):
    model = tiny("llama")
    options = {"phase": "generate", "target": "tiny", "dtype": "f32", "grid": (3, 4), "seq": 6} | options
    return model, meshc.compile(model, (token_ids(1, 12),), **options)


@pytest.mark.parametrize("length", [1, 2, 6])
def test_prompts_of_any_length(length):
    """One token leaves nothing to prefill; six fill the build's longest prompt."""
    model, compiled = compiled_llama()
    prompt = token_ids(1, length, seed=5)[0].tolist()
    written = generate(compiled.build, Request((tuple(prompt),), 5))
    assert list(written.tokens[0]) == greedy(model, prompt, 5)[0]


@pytest.mark.parametrize("chosen", [{"kv": "append"}, {"strategy": "waferllm{groups=[2, 2]}", "grid": (4, 4)}])
def test_other_ways_of_decode(chosen):
    model, compiled = compiled_llama(**chosen)
    prompt = token_ids(1, 5, seed=5)[0].tolist()
    written = generate(compiled.build, Request((tuple(prompt),), 8))
    assert list(written.tokens[0]) == greedy(model, prompt, 8)[0]


def test_both_engines_agree():
    _, compiled = compiled_llama(grid=(2, 3), logits="all")
    request = Request(((1, 5, 3, 9),), 3)
    runs = [generate(compiled.build, request, RunOptions(engine)) for engine in ("batched", "reference")]
    assert runs[0].tokens == runs[1].tokens
    outputs = [run.result.outputs for run in runs]
    assert all(outputs[0][name].tobytes() == outputs[1][name].tobytes() for name in outputs[0])
    cycles = [run.report["cycles"] for run in runs]
    assert abs(cycles[0] - cycles[1]) <= max(16, 0.05 * cycles[1]), cycles


@pytest.mark.parametrize("dtype", ["mixed", "bf16", "f16"])
def test_narrow_dtypes_stay_close(dtype):
    model, compiled = compiled_llama(dtype=dtype, logits="all")
    prompt = token_ids(1, 6, seed=5)
    logits = compiled.run(input_ids=prompt)["logits"][:, 5:]
    with torch.no_grad():
        expected = model(prompt).numpy()[:, 5:]
    bound = {"mixed": 0.01, "f16": 0.03, "bf16": 0.08}[dtype]
    assert np.abs(logits - expected).max() <= bound * np.abs(expected).max()


def test_text_and_code_do_not_grow_with_the_layers():
    builds = []
    for layers in (2, 6):
        model = tiny("llama", num_hidden_layers=layers)
        options = {"phase": "generate", "target": "tiny", "dtype": "f32", "grid": (4, 4), "seq": 6}
        builds.append(meshc.compile(model, (token_ids(1, 8),), **options))
    few, many = builds
    assert len(many.ir("program")) <= len(few.ir("program")) + 128, "a few bytes of numbers"
    assert few.build.manifest.details["code_bytes"] == many.build.manifest.details["code_bytes"]


def test_an_export_of_one_token_with_a_cache_takes_whole_prompts():
    exported = with_cache("llama", "sdpa", 1)
    compiled = meshc.compile(exported, phase="generate", target="tiny", dtype="f32", grid=(3, 4), seq=6)
    prompt = token_ids(1, 5, seed=5)[0].tolist()
    written = generate(compiled.build, Request((tuple(prompt),), 7))
    assert list(written.tokens[0]) == greedy(tiny("llama"), prompt, 7)[0]
