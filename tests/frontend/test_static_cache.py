"""Exports of one token with transformers' static cache give the graph that an export of whole prompts gives."""

from __future__ import annotations

import re
import warnings
from pathlib import Path

import pytest
import torch
from torch.export import ExportedProgram
from transformers import GenerationConfig
from transformers.integrations.executorch import convert_and_export_with_cache

from meshc.frontend.export import export_module
from meshc.frontend.importer import import_exported
from meshc.ir.core import Module
from meshc.ir.printer import print_module
from meshc.passes.base import PassContext
from meshc.passes.derive_decode import DeriveDecode
from meshrt.diagnostics import CATALOG, MeshError
from tests.frontend.comparison import graph_of
from tests.frontend.misused_cache import Misused
from tests.graph_reference import decode_graph
from tests.models import tiny, tiny_model, token_ids

GOLDENS = Path(__file__).parent / "static_cache_errors"
CONTEXT = 12


def with_cache(family: str, attention: str, batch: int, strict: bool = True) -> ExportedProgram:
    """A tiny model of one token with a cache, exported as transformers has it."""
    model = tiny_model(family, attention)
    cache = {"batch_size": batch, "max_cache_len": CONTEXT, "device": "cpu"}
    model.generation_config = GenerationConfig(use_cache=True, cache_implementation="static", cache_config=cache)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return convert_and_export_with_cache(model, torch.ones(batch, 1, dtype=torch.int64), strict=strict)


def lines(module: Module) -> list[str]:
    """The operations without their places, and with weights named as in the model inside the exported module."""
    text = print_module(module).replace('"model.model.', '"model.').replace('"model.lm_head', '"lm_head')
    text = text.replace('"model.transformer.', '"transformer.')
    return [re.sub(" loc\\(.*", "", line) for line in text.splitlines()]


@pytest.mark.parametrize(("attention", "batch"), [("eager", 3), ("sdpa", 1)])
@pytest.mark.parametrize("family", ["llama", "qwen2", "qwen3", "gpt2", "gemma"])
def test_it_gives_the_same_graph(family, attention, batch):
    module, weights = graph_of(with_cache(family, attention, batch))
    prompts = export_module(tiny(family, attention), (token_ids(batch, CONTEXT),))
    other, _ = graph_of(prompts)
    for graph in (module, other):
        DeriveDecode().run(graph, PassContext(weights))
    assert lines(module) == lines(other)
    assert "cached_attention" in print_module(module)


def test_it_gives_pytorchs_logits():
    module, weights = graph_of(with_cache("mistral", "sdpa", 2))
    DeriveDecode().run(module, PassContext(weights))
    ids = token_ids(2, CONTEXT)
    with torch.no_grad():
        wanted = tiny("mistral", "sdpa")(ids)
    torch.testing.assert_close(decode_graph(module, weights, ids), wanted, rtol=0, atol=1e-4)


def test_operations_keep_their_lines_in_the_model():
    module, _ = graph_of(with_cache("llama", "sdpa", 1))
    attention = next(op for op in module.walk() if op.name == "graph.attention")
    assert attention.location.file.startswith("transformers/")


def test_only_the_token_ids_are_inputs():
    imported = import_exported(with_cache("llama", "sdpa", 1))
    assert [(i.name, i.shape) for i in imported.inputs] == [("input_ids", (1, CONTEXT))]


def misused(merge: bool) -> ExportedProgram:
    inputs = torch.ones(1, 1, dtype=torch.int64), torch.zeros(1, dtype=torch.int64)
    with torch.no_grad():
        return torch.export.export(Misused(merge), inputs, strict=True)


BAD = {
    "written_elsewhere": lambda: misused(merge=False),
    "merged_with_features": lambda: misused(merge=True),
    "caches_are_constants": lambda: with_cache("llama", "sdpa", 1, strict=False),
}


@pytest.mark.parametrize("case", BAD)
def test_another_use_gets_a_diagnostic(case):
    with pytest.raises(MeshError) as caught:
        import_exported(BAD[case]())
    assert caught.value.diagnostic.code in CATALOG
    assert str(caught.value) + "\n" == (GOLDENS / f"{case}.err").read_text(encoding="utf-8")
