"""Tiny random-weight transformers models, built from their configurations: what the tests compile.

Nothing is downloaded, and the same call gives the same weights on every machine. Weights are larger than
transformers initialises them, and norm weights and biases are not trivial, so that an error shows in the logits.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
import transformers

from meshc.frontend.export import logits_only


@dataclass(frozen=True)
class Family:
    """A model family: its configuration and model classes by name, and what it needs beyond the base sizes."""

    config: str
    model: str
    settings: dict[str, Any] = field(default_factory=dict)
    renamed: dict[str, str] = field(default_factory=dict)


#: Sizes that every family starts from; a family renames or drops what it calls otherwise.
BASE: dict[str, Any] = {
    "vocab_size": 96,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
    "pad_token_id": None,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "tie_word_embeddings": False,
}

_GPT2_NAMES = {
    "hidden_size": "n_embd",
    "intermediate_size": "n_inner",
    "num_hidden_layers": "n_layer",
    "num_attention_heads": "n_head",
    "max_position_embeddings": "n_positions",
    "num_key_value_heads": "",
}

FAMILIES: dict[str, Family] = {
    "llama": Family("LlamaConfig", "LlamaForCausalLM"),
    "mistral": Family("MistralConfig", "MistralForCausalLM", {"sliding_window": None, "head_dim": 8}),
    "qwen2": Family("Qwen2Config", "Qwen2ForCausalLM"),
    "qwen3": Family("Qwen3Config", "Qwen3ForCausalLM", {"head_dim": 8}),
    "gpt2": Family(
        "GPT2Config",
        "GPT2LMHeadModel",
        {"tie_word_embeddings": True, "embd_pdrop": 0.0, "attn_pdrop": 0.0, "resid_pdrop": 0.0},
        _GPT2_NAMES,
    ),
    "phi3": Family("Phi3Config", "Phi3ForCausalLM", {"original_max_position_embeddings": 128, "sliding_window": None}),
    "gemma": Family("GemmaConfig", "GemmaForCausalLM", {"head_dim": 8, "tie_word_embeddings": True}),
    "gemma2": Family(
        "Gemma2Config",
        "Gemma2ForCausalLM",
        {"head_dim": 8, "tie_word_embeddings": True, "sliding_window": 6, "query_pre_attn_scalar": 8},
    ),
    "stablelm": Family("StableLmConfig", "StableLmForCausalLM"),
    "olmo2": Family("Olmo2Config", "Olmo2ForCausalLM"),
    "gpt_neox": Family("GPTNeoXConfig", "GPTNeoXForCausalLM", {}, {"num_key_value_heads": ""}),
    "granite": Family(
        "GraniteConfig",
        "GraniteForCausalLM",
        {"embedding_multiplier": 3.0, "residual_multiplier": 0.5, "attention_multiplier": 0.3, "logits_scaling": 2.0},
    ),
    "smollm3": Family("SmolLM3Config", "SmolLM3ForCausalLM", {"use_sliding_window": False, "no_rope_layers": [1, 0]}),
}

#: The families that must agree with PyTorch; the others of the table are made of the same ingredients.
REQUIRED = ("llama", "mistral", "qwen2", "qwen3", "gpt2", "phi3", "gemma")


def tiny_config(family: str, attention: str = "eager", **overrides: Any) -> Any:
    """The configuration of a tiny model. ``overrides`` go by their usual (Llama's) names in every family."""
    entry = FAMILIES[family]
    settings = {**BASE, **entry.settings, **overrides}
    named = {entry.renamed.get(key, key): value for key, value in settings.items()}
    named.pop("", None)
    config = getattr(transformers, entry.config)(**named)
    config._attn_implementation = attention
    return config


def tiny_model(family: str, attention: str = "eager", *, seed: int = 0, **overrides: Any) -> Any:
    """The transformers model itself, in evaluation mode, f32, with reproducible random weights."""
    config = tiny_config(family, attention, **overrides)
    model = getattr(transformers, FAMILIES[family].model)(config).eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            if parameter.dim() > 1:
                parameter.copy_(noise * (1.0 if "embed" in name or "wte" in name else 0.2))
            elif "norm" in name or "ln_" in name:
                parameter.add_(noise * 0.2)
            else:
                parameter.copy_(noise * 0.2)
    return model


def tiny(family: str, attention: str = "eager", *, seed: int = 0, **overrides: Any) -> torch.nn.Module:
    """A tiny model whose ``forward(input_ids)`` takes int64 [batch, seq] and returns logits [batch, seq, vocab].

    ``overrides`` are configuration fields under Llama's names (``hidden_size=40, num_hidden_layers=3``);
    ``attention`` is ``eager`` or ``sdpa``. Weights keep the names of the transformers model.
    """
    return logits_only(tiny_model(family, attention, seed=seed, **overrides))


def token_ids(batch: int, seq: int, vocab: int = BASE["vocab_size"], seed: int = 0) -> torch.Tensor:
    """Random token ids, int64 [batch, seq]."""
    return torch.randint(0, vocab, (batch, seq), generator=torch.Generator().manual_seed(seed))
