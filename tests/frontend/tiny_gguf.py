"""Writes a tiny Llama as a GGUF file, as llama.cpp's converter would."""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np
import torch

from tests.models import tiny_model

#: transformers' name of a tensor -> GGUF's.
_NAMES = {
    "model.embed_tokens": "token_embd",
    "model.norm": "output_norm",
    "lm_head": "output",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}

SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
TEMPLATE = "{% for m in messages %}<|im_start|>{{ m['content'] }}<|im_end|>{% endfor %}"


def gguf_name(name: str) -> str:
    """``model.layers.1.mlp.up_proj.weight`` -> ``blk.1.ffn_up.weight``."""
    stem, _, suffix = name.rpartition(".")
    if stem.startswith("model.layers."):
        _, _, layer, part = stem.split(".", 3)
        return f"blk.{layer}.{_NAMES[part]}.{suffix}"
    return f"{_NAMES[stem]}.{suffix}"


def stored_values(weight: torch.Tensor, name: str, heads: int, kv_heads: int) -> np.ndarray:
    """A weight as GGUF holds it: the rows of q and k with rotary pairs side by side."""
    values = weight.detach().numpy()
    count = heads if "q_proj" in name else kv_heads if "k_proj" in name else 0
    if not count:
        return values
    return values.reshape(count, 2, -1, values.shape[1]).swapaxes(1, 2).reshape(values.shape)


def tiny_gguf(path: Path, quantised: bool = False) -> Path:
    """The file, of the model ``tiny_model("llama")``; ``quantised`` stores its matrices in blocks (Q8_0)."""
    model = tiny_model("llama")
    config = model.config
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name("tiny")
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_dimension_count(config.hidden_size // config.num_attention_heads)
    writer.add_rope_freq_base(10000.0)
    letters = [chr(code) for code in range(ord("!"), ord("!") + config.vocab_size - len(SPECIAL))]
    letters[-1] = "ab"
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list([*SPECIAL, *letters])
    writer.add_token_types([3] * len(SPECIAL) + [1] * len(letters))
    writer.add_token_merges(["a b"])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_chat_template(TEMPLATE)
    for name, weight in model.state_dict().items():
        values = stored_values(weight, name, config.num_attention_heads, config.num_key_value_heads)
        blocks = quantised and values.ndim == 2 and values.shape[1] % 32 == 0
        kind = gguf.GGMLQuantizationType.Q8_0 if blocks else gguf.GGMLQuantizationType.F32
        writer.add_tensor(gguf_name(name), gguf.quantize(values, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path
