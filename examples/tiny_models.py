"""Two tiny models with random weights, for `meshc trace`:

    meshc trace examples/tiny_models.py:llama -o out/llama.pt2
    meshc compile out/llama.pt2 -o out/llama --target tiny --grid 8x8 --dtype f32 --seq 16

A function for `meshc trace` takes nothing and returns the module and its example inputs.
`python examples/tiny_models.py llama out` writes these inputs, and PyTorch's answer to them, for
`meshc run --inputs out/llama.inputs.safetensors --expect out/llama.expected.safetensors`.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
import transformers
from safetensors.torch import save_file

VOCABULARY = 256
TOKENS = 16


def example_ids() -> torch.Tensor:
    """Token ids, int64 [1, TOKENS]."""
    return torch.arange(TOKENS).reshape(1, -1) * 7 % VOCABULARY


def llama() -> tuple[torch.nn.Module, tuple[torch.Tensor]]:
    """Two layers, 8 query heads on 4 key-value heads."""
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=64,
        intermediate_size=160,
        num_hidden_layers=2,
        num_attention_heads=8,
        num_key_value_heads=4,
        max_position_embeddings=128,
    )
    return transformers.LlamaForCausalLM(config).eval(), (example_ids(),)


def gpt2() -> tuple[torch.nn.Module, tuple[torch.Tensor]]:
    """Two layers, LayerNorm, learned positions, embedding and head share one table."""
    torch.manual_seed(0)
    config = transformers.GPT2Config(vocab_size=VOCABULARY, n_embd=64, n_layer=2, n_head=4, n_positions=128)
    return transformers.GPT2LMHeadModel(config).eval(), (example_ids(),)


def main() -> None:
    """Write the example inputs of one model, and PyTorch's logits, to a folder."""
    name, folder = sys.argv[1], Path(sys.argv[2])
    module, (ids,) = {"llama": llama, "gpt2": gpt2}[name]()
    folder.mkdir(parents=True, exist_ok=True)
    with torch.no_grad():
        logits = module(ids).logits
    save_file({"input_ids": ids}, folder / f"{name}.inputs.safetensors")
    save_file({"logits": logits.contiguous()}, folder / f"{name}.expected.safetensors")


if __name__ == "__main__":
    main()
