"""What importing a traced model gives: its graph, its weights and its inputs."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch

from meshc.ir.core import Module


@dataclass(frozen=True, slots=True)
class ImportedInput:
    """One input of the model's forward: its name there, its extents and its dtype (``i64``, ``f32``, ``i1``)."""

    name: str
    shape: tuple[int, ...]
    dtype: str


@dataclass(frozen=True)
class ImportedModel:
    """A model as the compiler sees it.

    ``module`` is at the graph level. ``weights`` holds the source tensors by their own names and the constants
    that the trace computes under ``const.*``; on the meta device when the model was traced without weights.
    ``digest`` identifies the model: SHA-256 of the graph and of the weights.
    """

    module: Module
    weights: Mapping[str, torch.Tensor]
    inputs: tuple[ImportedInput, ...]
    digest: str
    name: str = "model"
    tokenizer_files: Mapping[str, bytes] = field(default_factory=dict)


def weights_digest(text: str, weights: Mapping[str, torch.Tensor]) -> str:
    """SHA-256 (hexadecimal) of a graph's text and of the weights' names, shapes, dtypes and bytes."""
    digest = hashlib.sha256(text.encode())
    for name in sorted(weights):
        tensor = weights[name]
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}\n".encode())
        if tensor.device.type != "meta":
            flat = tensor.detach().contiguous().reshape(-1)
            digest.update(memoryview(flat.view(torch.uint8).numpy()) if flat.numel() else b"")
    return digest.hexdigest()
