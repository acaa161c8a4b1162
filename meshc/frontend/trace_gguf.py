"""GGUF files, through transformers' tables of names and the gguf package's dequantisation.

Quantised weights are dequantised to f32 and rounded to f16; a file of one floating-point type keeps it. The
file's header is read directly, not with ``AutoModelForCausalLM.from_pretrained(gguf_file=...)``, which parses
every token of the vocabulary several times (half a minute for 49,152 of them) and needs one more package.
"""

from __future__ import annotations

import struct
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from meshc.frontend.bundle import read_tokenizer_files
from meshc.frontend.transformers_loading import (
    CheckpointDiagnostics,
    attention_for,
    import_transformers,
    quiet_transformers,
)
from meshrt.diagnostics import MeshError, Place

MAGIC = b"GGUF"

#: Architectures whose configuration follows from transformers' table of keys alone. For the others
#: transformers derives more, in its slower reader.
_PLAIN_ARCHITECTURES = ("llama", "qwen2", "qwen3", "gpt2", "phi3", "gemma2", "starcoder2")

_DTYPES = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}


def is_gguf(path: Path) -> bool:
    """Whether a file begins as GGUF files do."""
    with path.open("rb") as file:
        return file.read(len(MAGIC)) == MAGIC


def gguf_model(path: Path) -> Any:
    """The causal language model of a GGUF file, on the CPU. Raises M0116 and M0117."""
    transformers = import_transformers()
    _require_gguf()
    _check_whole(path)
    with quiet_transformers(), CheckpointDiagnostics(path):
        config = _config(path)
        attention = attention_for(config)
        with torch.device("meta"):
            shapes = transformers.AutoModelForCausalLM.from_config(config)
        state = _state_dict(path, shapes)
        model, report = type(shapes).from_pretrained(
            None,
            config=config,
            state_dict=state,
            dtype=_stored_dtype(state),
            attn_implementation=attention,
            output_loading_info=True,
        )
        if report["missing_keys"]:
            missing = ", ".join(sorted(report["missing_keys"])[:4])
            raise ValueError(f"the file has no weights for {missing}")
    return model.eval()


def gguf_tokenizer(path: Path) -> dict[str, str]:
    """The file's tokenizer as ``tokenizer.json`` with its settings and chat template; empty when it has none."""
    transformers = import_transformers()
    from transformers.integrations.gguf.gguf_tokenizer_mapping import convert_gguf_tokenizer, get_gguf_tokenizer
    from transformers.integrations.gguf.reader import read_gguf_metadata

    with quiet_transformers(), CheckpointDiagnostics(path):
        metadata, _ = read_gguf_metadata(str(path))
        if "tokenizer.ggml.tokens" not in metadata:
            return {}
        architecture, vocabulary, settings = get_gguf_tokenizer(str(path))
        backend, more = convert_gguf_tokenizer(architecture, vocabulary)
        tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=backend, **{**settings, **more})
        with tempfile.TemporaryDirectory() as directory:
            tokenizer.save_pretrained(directory)
            return read_tokenizer_files(Path(directory))


def _check_whole(path: Path) -> None:
    """Raise M0102 when the file ends before the tensors that its header lists."""
    from transformers.integrations.gguf.reader import GgufHeader

    size = path.stat().st_size
    try:
        header = GgufHeader.from_file(str(path))
        end = header.data_start + max((info.offset + info.nbytes for info in header.tensors), default=0)
    except (struct.error, ValueError, LookupError) as failure:
        # The reader runs into the end of the file in one of these ways, or finds nonsense.
        raise MeshError(
            "M0102",
            f"{path.name} is cut off or damaged: its header cannot be read",
            place=Place(str(path)),
            notes=[f"the file has {size:,} bytes", str(failure)],
            helps=["copy the file again, and compare the sizes"],
        ) from failure
    if size < end:
        raise MeshError(
            "M0102",
            f"{path.name} is cut off: it has {size:,} bytes and its tensors end at {end:,}",
            place=Place(str(path)),
            helps=["copy the file again, and compare the sizes"],
        )


def _require_gguf() -> None:
    try:
        import gguf  # noqa: F401
    except ImportError as failure:
        raise MeshError(
            "M0116",
            "tracing a GGUF file needs the gguf package, which is not installed",
            helps=["pip install 'meshc[hf]'"],
        ) from failure


def _config(path: Path) -> Any:
    """The model's transformers configuration."""
    transformers = import_transformers()
    from transformers.integrations.ggml import GGUF_CONFIG_MAPPING
    from transformers.integrations.gguf.reader import read_gguf_metadata
    from transformers.modeling_gguf_pytorch_utils import load_gguf_checkpoint

    metadata, names = read_gguf_metadata(str(path))
    architecture = metadata.get("general.architecture", "")
    plain = architecture in _PLAIN_ARCHITECTURES and "mistral" not in str(metadata.get("general.name", "")).lower()
    if plain:
        settings = _plain_settings(metadata, GGUF_CONFIG_MAPPING[architecture], architecture)
        settings["tie_word_embeddings"] = "output.weight" not in names
    else:
        settings = dict(load_gguf_checkpoint(str(path))["config"])
        architecture = settings.pop("model_type")
    return transformers.AutoConfig.for_model(architecture, **settings)


def _plain_settings(metadata: Mapping[str, Any], keys: Mapping[str, str | None], architecture: str) -> dict[str, Any]:
    settings = {
        name: metadata[f"{architecture}.{key}"]
        for key, name in keys.items()
        if name is not None and f"{architecture}.{key}" in metadata
    }
    tokens = metadata.get("tokenizer.ggml.tokens")
    if "vocab_size" not in settings and tokens is not None:
        settings["vocab_size"] = tokens if isinstance(tokens, int) else len(tokens)
    for token in ("bos", "eos", "padding", "unknown"):
        identity = metadata.get(f"tokenizer.ggml.{token}_token_id")
        if identity is not None:
            settings[{"padding": "pad", "unknown": "unk"}.get(token, token) + "_token_id"] = identity
    return settings


def _state_dict(path: Path, model: Any) -> dict[str, torch.Tensor]:
    """The file's tensors under transformers' names: f16 where they were quantised, else as they are stored."""
    import gguf
    from transformers.integrations.gguf.reader import GgufHeader, load_gguf_state_dict
    from transformers.modeling_gguf_pytorch_utils import TENSOR_PROCESSORS, TensorProcessor

    header = GgufHeader.from_file(str(path))
    processor = TENSOR_PROCESSORS.get(header.architecture, TensorProcessor)(config=model.config.to_dict())
    names = _tensor_names(model, processor, header.architecture)
    types = header.ggml_types
    state: dict[str, torch.Tensor] = {}
    for name, held in load_gguf_state_dict(header).items():
        kind = gguf.GGMLQuantizationType(types[name])
        values = gguf.dequantize(_shaped(held, kind), kind)
        result = processor.process(weights=values, name=name, tensor_key_mapping=names, parsed_parameters={})
        if result.name in names:
            tensor = torch.from_numpy(np.array(result.weights))
            state[names[result.name]] = tensor.to(_DTYPES.get(kind.name, torch.float16))
    return state


def _tensor_names(model: Any, processor: Any, architecture: str) -> dict[str, str]:
    """GGUF's tensor names -> transformers' names."""
    import gguf

    (known,) = [arch for arch, name in gguf.MODEL_ARCH_NAMES.items() if name == architecture]
    table = gguf.get_tensor_name_map(known, model.config.num_hidden_layers)
    names: dict[str, str] = {}
    for name in model.state_dict():
        name = processor.preprocess_name(name)
        stem, dot, last = name.rpartition(".")
        stem, suffix = (stem, dot + last) if last in ("weight", "bias") else (name, "")
        found = table.get_name(stem)
        if found is None:
            processor.perform_fallback_tensor_mapping(names, suffix, "", name)
        else:
            names[found + suffix] = name
    return names


def _shaped(held: Any, kind: Any) -> np.ndarray:
    """A tensor's bytes as gguf.dequantize takes them: rows of blocks, or of numbers."""
    data = np.frombuffer(bytes(held.data), dtype=np.uint8)
    if kind.name == "F32":
        return data.view(np.float32).reshape(held.shape)
    if kind.name == "F16":
        return data.view(np.float16).reshape(held.shape)
    return data.reshape(*held.shape[:-1], -1)


def _stored_dtype(state: Mapping[str, torch.Tensor]) -> torch.dtype:
    """The dtype of the matrices: norms and biases are often kept in f32 beside them."""
    matrices = {tensor.dtype for tensor in state.values() if tensor.dim() > 1}
    for dtype in (torch.float16, torch.bfloat16):
        if dtype in matrices:
            return dtype
    return torch.float32
