"""Decode graphs of tiny models: token by token, with caches, they give what PyTorch gives for the whole sequence."""

from __future__ import annotations

import pytest
import torch

from meshc.dialects.levels import LEVELS
from meshc.frontend.export import export_module
from meshc.ir.core import Module
from meshc.ir.printer import print_module
from meshc.ir.verifier import verify
from meshc.passes.base import PassContext
from meshc.passes.derive_decode import DeriveDecode
from tests.frontend.comparison import graph_of, only, operations
from tests.graph_reference import decode_graph, run_graph
from tests.models import tiny, token_ids

REQUIRED = ("llama", "qwen2", "qwen3", "gpt2", "gemma")
OTHERS = ("mistral", "phi3", "gemma2", "stablelm", "olmo2", "gpt_neox", "granite", "smollm3")
TOLERANCE = 1e-4


def agreeing(model: torch.nn.Module, ids: torch.Tensor) -> Module:
    """The decode graph of a model, which agrees with the prefill graph and with PyTorch at every position."""
    module, weights = graph_of(export_module(model, (ids,)), *ids.shape)
    prefill = run_graph(module, weights, ids)
    DeriveDecode().run(module, PassContext(weights))
    verify(module, LEVELS)
    found = decode_graph(module, weights, ids)
    with torch.no_grad():
        wanted = model(ids)
    assert float((found - wanted).abs().max()) < TOLERANCE
    assert float((found - prefill).abs().max()) < TOLERANCE
    return module


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("family", REQUIRED)
def test_a_required_family_agrees_at_every_position(family, batch):
    module = agreeing(tiny(family, num_hidden_layers=3), token_ids(batch, 11))
    assert only(module, "cached_attention")["cache"] == "cache.{l}"
    assert only(module, "cached_attention")["context"] == 11


@pytest.mark.parametrize("family", OTHERS)
def test_another_family_agrees_at_every_position(family):
    agreeing(tiny(family), token_ids(2, 9))


def test_a_window_forgets():
    module = agreeing(tiny("mistral", sliding_window=4), token_ids(1, 9))
    assert (only(module, "cached_attention")["mask"], only(module, "cached_attention")["window"]) == ("window", 4)


def test_layers_of_two_kinds_have_caches_of_their_own():
    module = agreeing(tiny("gemma2", num_hidden_layers=6, sliding_window=4), token_ids(1, 9))
    caches = [op.attributes["cache"] for op in module.walk() if op.name == "graph.cached_attention"]
    assert caches == ["cache.{2 * l}", "cache.{2 * l + 1}"]
    assert only(module, "cached_attention")["softcap"] == 50.0


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_the_position_is_a_value_of_the_graph(family):
    module = agreeing(tiny(family), token_ids(1, 5))
    (place,) = (op for op in module.walk() if op.name == "graph.positions")
    assert place.result.type.shape == (1,)


def test_a_context_shorter_than_the_graph_is_the_start_of_the_longer_one():
    ids = token_ids(2, 9)
    model = tiny("qwen3")
    module, weights = graph_of(export_module(model, (ids,)), *ids.shape)
    DeriveDecode(context=6).run(module, PassContext(weights))
    with torch.no_grad():
        wanted = model(ids)[:, :6]
    torch.testing.assert_close(decode_graph(module, weights, ids[:, :6]), wanted, rtol=0, atol=TOLERANCE)


def test_the_text_does_not_grow_with_the_layers():
    texts = []
    for layers in (2, 5):
        module, weights = graph_of(export_module(tiny("llama", num_hidden_layers=layers), token_ids(1, 6)))
        DeriveDecode().run(module, PassContext(weights))
        texts.append(print_module(module).replace(f"count = {layers}", "count = N"))
    assert texts[0] == texts[1]


def test_a_second_run_changes_nothing():
    module, weights = graph_of(export_module(tiny("llama"), token_ids(1, 6)))
    DeriveDecode(context=5).run(module, PassContext(weights))
    once = print_module(module)
    DeriveDecode(context=4).run(module, PassContext(weights))
    assert print_module(module) == once
    assert operations(module).count("attention") == 0
