"""Shapes of WaferLLM's decode, without weights, for `meshc trace` and timing-only builds:

    meshc trace examples/waferllm_decode/models.py:artifact_420 -o out/artifact.pt2
    meshc compile out/artifact.pt2 -o out/artifact --phase decode --seq 2 --grid 420x420 --dtype f16 --strategy waferllm
    meshc trace examples/waferllm_decode/models.py:llama3_8b -o out/llama3.pt2
    meshc compile out/llama3.pt2 -o out/llama3 --phase decode --seq 2 --grid 420x420 --dtype f16 --layers 0:1

WaferLLM's artifact times one layer of LLaMA3-8B with a single head as wide as the model, and pads the width, the
context and the FFN's width until they divide the grid. `llama3_8b` has the model's real shapes and heads. The
vocabulary is a small one: a layer is timed; embedding, output head and sampling are outside the loop over layers.
"""

from __future__ import annotations

import torch
import transformers

#: Layers of LLaMA3-8B, and how many of them are traced.
MODEL_LAYERS, LAYERS = 32, 2
#: Padded width, which is also the padded context, and padded width of the FFN, by the PEs of a side of the grid.
PADDED = {
    360: (4320, 14400),
    420: (4200, 14700),
    540: (4320, 14580),
    600: (4200, 14400),
    660: (4620, 14520),
    720: (4320, 14400),
}
#: The real shapes, but for the vocabulary of 128,256.
CONTEXT, VOCABULARY = 4096, 1000

Model = tuple[torch.nn.Module, tuple[torch.Tensor]]


def model(context: int, hidden: int, inner: int, heads: int, kv_heads: int) -> Model:
    """A Llama on the meta device, and token ids [1, context]."""
    config = transformers.LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=hidden,
        intermediate_size=inner,
        num_hidden_layers=LAYERS,
        num_attention_heads=heads,
        num_key_value_heads=kv_heads,
        head_dim=hidden // heads,
        max_position_embeddings=context,
        rope_theta=500000.0,
    )
    with torch.device("meta"):
        return transformers.LlamaForCausalLM(config).eval(), (torch.zeros(1, context, dtype=torch.int64),)


def artifact(side: int) -> Model:
    """The artifact's layers on a grid of that side."""
    width, inner = PADDED[side]
    return model(width, width, inner, 1, 1)


def artifact_360() -> Model:
    """The artifact's layers on 360 x 360 PEs."""
    return artifact(360)


def artifact_420() -> Model:
    """The artifact's layers on 420 x 420 PEs."""
    return artifact(420)


def artifact_540() -> Model:
    """The artifact's layers on 540 x 540 PEs."""
    return artifact(540)


def artifact_600() -> Model:
    """The artifact's layers on 600 x 600 PEs."""
    return artifact(600)


def artifact_660() -> Model:
    """The artifact's layers on 660 x 660 PEs."""
    return artifact(660)


def artifact_720() -> Model:
    """The artifact's layers on 720 x 720 PEs."""
    return artifact(720)


def llama3_8b() -> Model:
    """Layers of LLaMA3-8B: 32 heads of 128, 8 KV heads, an FFN of 14,336."""
    return model(CONTEXT, 4096, 14336, 32, 8)
