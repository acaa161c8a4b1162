"""Hugging Face model folders: ``config.json`` with safetensors or bin weights, and a tokenizer."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import torch

from meshc.frontend.bundle import read_tokenizer_files
from meshc.frontend.transformers_loading import (
    CheckpointDiagnostics,
    attention_for,
    import_transformers,
    quiet_transformers,
)
from meshrt.diagnostics import MeshError, Place

#: Tokenizers of these files alone are converted to ``tokenizer.json`` by transformers.
_OTHER_VOCABULARIES = ("tokenizer.model", "vocab.txt", "spiece.model", "vocab.json")


def is_model_folder(path: Path) -> bool:
    """Whether a folder says what model it holds."""
    return (path / "config.json").is_file()


def huggingface_model(folder: Path, weights: bool = True) -> Any:
    """The causal language model of a folder, on the CPU, in the dtype that its weights are stored in.

    Nothing is downloaded, and code that comes with a checkpoint is never run. Without ``weights`` only the
    configuration is read: parameters are then on the meta device, and buffers (rotary frequencies) are real.
    Raises M0115, M0116 and M0117.
    """
    if not is_model_folder(folder):
        raise MeshError(
            "M0115",
            f"{folder.name or folder} has no config.json: it is not a Hugging Face model folder",
            place=Place(str(folder)),
            helps=["give the folder that holds config.json and the weights (of a hub cache: snapshots/...)"],
        )
    transformers = import_transformers()
    with quiet_transformers(), CheckpointDiagnostics(folder):
        config = transformers.AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        attention = attention_for(config)
        if not weights:
            return weightless_model(config, attention)
        return transformers.AutoModelForCausalLM.from_pretrained(
            folder, dtype="auto", local_files_only=True, trust_remote_code=False, attn_implementation=attention
        ).eval()


def weightless_model(config: Any, attention: str) -> Any:
    """A model with the shapes of a configuration, no weights, and real buffers.

    Every parameter is one number seen as a whole tensor, so no memory is held, and torch.export sees one
    device only (real buffers and meta parameters do not mix). :func:`forget_weights` makes them meta tensors.
    """
    transformers = import_transformers()
    with torch.device("meta"):
        model = transformers.AutoModelForCausalLM.from_config(config, attn_implementation=attention).eval()
    buffers = {name for name, _ in model.named_buffers()}
    state = {
        name: torch.zeros((), dtype=held.dtype).expand(held.shape)
        for name, held in model.state_dict().items()
        if name not in buffers
    }
    kind = type(model)
    return kind.from_pretrained(None, config=model.config, state_dict=state, attn_implementation=attention).eval()


def huggingface_tokenizer(folder: Path) -> dict[str, str]:
    """A folder's tokenizer and chat template as text files; empty when it has none that can be read."""
    found = read_tokenizer_files(folder)
    if "tokenizer.json" in found or not any((folder / name).is_file() for name in _OTHER_VOCABULARIES):
        return found
    transformers = import_transformers()
    with quiet_transformers(), tempfile.TemporaryDirectory() as directory:
        try:
            tokenizer = transformers.AutoTokenizer.from_pretrained(
                folder, local_files_only=True, trust_remote_code=False
            )
        except (OSError, ValueError, ImportError, LookupError, TypeError, AttributeError):
            return found  # converting needs packages (sentencepiece, tiktoken) that may be missing
        tokenizer.save_pretrained(directory)
        return {**found, **read_tokenizer_files(Path(directory))}
