"""Layers of LLaMA3-8B without their weights, for `meshc trace`: how long a context does a region of them hold?

    meshc trace examples/llama3_layers.py:layers -o out/llama3.pt2
    meshc compile out/llama3.pt2 -o out/llama3 --phase decode --layers 0:3 --grid 360x360 --dtype f16

`details.capacity` of `out/llama3/manifest.json` is the answer, which `meshc check` also shows, behind its proof.
What is traced on the meta device has shapes alone. The vocabulary is a small one, because a region of layers has
neither the embedding nor the output head.
"""

from __future__ import annotations

import torch
import transformers

#: As many as fit on 360 x 360 PEs of a WSE-2; the whole model has 32.
LAYERS = 8
#: Longer contexts take more memory, but no other graph.
TOKENS = 16


def layers() -> tuple[torch.nn.Module, tuple[torch.Tensor]]:
    """Layers of the model's real shapes, and token ids [1, TOKENS]."""
    config = transformers.LlamaConfig(
        vocab_size=1000,
        hidden_size=4096,
        intermediate_size=14336,
        num_hidden_layers=LAYERS,
        num_attention_heads=32,
        num_key_value_heads=8,
        head_dim=128,
        rope_theta=500000.0,
    )
    with torch.device("meta"):
        return transformers.LlamaForCausalLM(config).eval(), (torch.zeros(1, TOKENS, dtype=torch.int64),)
