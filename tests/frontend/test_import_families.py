"""Tiny models of the families that transformers has: their fused and rolled graphs give PyTorch's logits."""

from __future__ import annotations

import pytest
import torch

from meshc.frontend.export import export_module
from meshc.frontend.importer import import_exported
from meshc.ir.printer import print_module
from tests.frontend.comparison import agreeing_graph, graph_of, only, operations
from tests.models import REQUIRED, tiny, token_ids

OTHERS = ("gemma2", "stablelm", "olmo2", "gpt_neox", "granite")


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@pytest.mark.parametrize("family", REQUIRED)
def test_a_required_family_agrees(family, attention):
    module = agreeing_graph(tiny(family, attention, num_hidden_layers=3), token_ids(2, 11))
    assert operations(module).count("repeat") == 1


@pytest.mark.parametrize("family", OTHERS)
def test_another_family_agrees(family):
    module = agreeing_graph(tiny(family, num_hidden_layers=4), token_ids(1, 13))
    assert operations(module).count("repeat") == 1


@pytest.mark.parametrize(
    ("heads", "kv_heads", "hidden", "seq"), [(3, 1, 30, 7), (6, 3, 36, 5), (5, 5, 20, 2), (4, 2, 24, 1)]
)
def test_sizes_that_do_not_divide_each_other_agree(heads, kv_heads, hidden, seq):
    model = tiny("llama", num_attention_heads=heads, num_key_value_heads=kv_heads, hidden_size=hidden)
    module = agreeing_graph(model, token_ids(2, seq))
    assert (only(module, "attention")["heads"], only(module, "attention")["kv_heads"]) == (heads, kv_heads)


def test_the_text_does_not_grow_with_the_layers():
    texts = []
    for layers in (2, 5):
        module, _ = graph_of(export_module(tiny("llama", num_hidden_layers=layers), token_ids(1, 6)))
        texts.append(print_module(module).replace(f"count = {layers}", "count = N"))
    assert texts[0] == texts[1]


def test_a_sliding_window_is_recognised_by_the_mask():
    module = agreeing_graph(tiny("mistral", sliding_window=4), token_ids(1, 9))
    assert (only(module, "attention")["mask"], only(module, "attention")["window"]) == ("window", 4)


def test_a_window_as_long_as_the_sequence_is_causal():
    module = agreeing_graph(tiny("mistral", sliding_window=9), token_ids(1, 9))
    assert only(module, "attention")["mask"] == "causal"


def test_layers_of_two_kinds_roll_with_a_period_of_two():
    module = agreeing_graph(tiny("gemma2", num_hidden_layers=6, sliding_window=4), token_ids(1, 9))
    assert only(module, "repeat")["count"] == 3
    masks = [op.attributes["mask"] for op in module.walk() if op.name == "graph.attention"]
    assert sorted(masks) == ["causal", "window"]
    names = [op.attributes["name"] for op in module.walk() if op.name == "graph.weight"]
    assert "model.layers.{2*l}.mlp.up_proj.weight" in names
    assert "model.layers.{2*l+1}.mlp.up_proj.weight" in names


def test_soft_caps_and_offsets_of_gemma_are_kept():
    module = agreeing_graph(tiny("gemma2"), token_ids(1, 5))
    assert only(module, "attention")["softcap"] == 50.0
    assert only(module, "rms_norm")["unit_offset"] is True


def test_fused_projections_are_rows_of_one_weight():
    module = agreeing_graph(tiny("phi3"), token_ids(1, 5))
    rows = [op.attributes["rows"] for op in module.walk() if "rows" in op.attributes]
    assert rows == [(0, 32), (32, 48), (48, 64), (0, 48), (48, 96)]


def test_norms_of_queries_and_keys_are_norms_of_heads():
    module = agreeing_graph(tiny("qwen3"), token_ids(1, 5))
    heads = [op.attributes["heads"] for op in module.walk() if "heads" in op.attributes and op.name == "graph.rms_norm"]
    assert heads == [4, 2]


def test_a_tied_head_is_one_weight():
    module = agreeing_graph(tiny("gpt2"), token_ids(1, 5))
    names = [op.attributes["name"] for op in module.walk() if op.name == "graph.weight"]
    assert len(names) == len(set(names))
    table = next(op for op in module.walk() if op.name == "graph.embedding").operands[0]
    head = [op for op in module.walk() if op.name == "graph.linear"][-1].operands[1]
    assert table is head


def test_a_head_with_the_content_of_the_embedding_is_tied():
    model = tiny("llama", tie_word_embeddings=False)
    model.lm_head.weight = torch.nn.Parameter(model.model.embed_tokens.weight.detach().clone())
    _, weights = graph_of(export_module(model, token_ids(1, 5)))
    assert "lm_head.weight" not in weights


def test_positions_stay_a_value_of_the_graph():
    for family in ("llama", "gpt2"):
        module = agreeing_graph(tiny(family), token_ids(1, 5))
        assert operations(module).count("positions") == 1


@pytest.mark.parametrize(
    "scaling",
    [
        {"rope_type": "linear", "factor": 4.0},
        {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32},
        {
            "rope_type": "llama3",
            "factor": 8.0,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": 64,
        },
    ],
    ids=lambda scaling: scaling["rope_type"],
)
def test_scaled_rotary_embeddings_are_recognised_by_their_tables(scaling):
    module = agreeing_graph(tiny("llama", rope_scaling=scaling), token_ids(1, 24))
    scale = only(module, "rope")["scale"]
    assert (scale != 1.0) == (scaling["rope_type"] == "yarn")


def test_a_dynamic_export_takes_its_extents_when_imported():
    model = tiny("llama", "sdpa")
    shapes = ({0: torch.export.Dim("batch", max=8), 1: torch.export.Dim("seq", max=64)},)
    exported = export_module(model, token_ids(2, 9), dynamic_shapes=shapes)
    agreeing_graph(model, token_ids(3, 7), exported)
    agreeing_graph(model, token_ids(1, 20), exported)


def test_a_model_in_bf16_becomes_a_graph_in_f32():
    model = tiny("llama").to(torch.bfloat16)
    ids = token_ids(1, 9)
    exported = export_module(model, ids)
    module, weights = graph_of(exported)
    assert weights["model.norm.weight"].dtype == torch.bfloat16
    assert "cast" not in operations(module)
    # The same weights in f32: the graph rounds nothing on the way.
    agreeing_graph(model.float(), ids, exported)


@pytest.mark.parametrize("family", ["llama", "qwen3"])
def test_a_model_without_weights_has_the_same_operations(family):
    ids = token_ids(1, 9)
    full, _ = graph_of(export_module(tiny(family, "sdpa"), ids))
    empty, weights = graph_of(export_module(tiny(family, "sdpa").to("meta"), ids.to("meta")))
    assert operations(empty) == operations(full)
    assert all(t.device.type == "meta" for name, t in weights.items() if not name.startswith("const."))


def test_imports_of_one_model_are_equal():
    first, second = (import_exported(export_module(tiny("qwen2"), token_ids(1, 6))) for _ in range(2))
    assert first.digest == second.digest
    assert print_module(first.module) == print_module(second.module)
    other = import_exported(export_module(tiny("qwen2", seed=1), token_ids(1, 6)))
    assert other.digest != first.digest
