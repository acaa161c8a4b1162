"""The weights of a build: each source tensor that the program places, once, in its stored dtype."""

from __future__ import annotations

import itertools
from collections.abc import Mapping

import numpy as np
import torch

from meshc.ir.name_templates import NameTemplate
from meshrt.program.model import Placement, Program
from meshrt.weights import StoredTensor

#: From the widest to the narrowest: a tensor that buffers of several dtypes hold is stored in the widest.
_WIDTH_ORDER = ("f32", "f16", "bf16")
_TORCH = {"f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16}


def tensor_names(placement: Placement) -> list[str]:
    """Every tensor that a placement's name template stands for, in order."""
    template = NameTemplate.of(placement.tensor)
    read = template.counters
    ranges = {r.name: range(r.start, r.stop) for r in placement.ranges if r.name in read}
    return [template.name(dict(zip(ranges, point, strict=True))) for point in itertools.product(*ranges.values())]


def stored_weights(program: Program, weights: Mapping[str, torch.Tensor]) -> dict[str, StoredTensor]:
    """The program's tensors in the dtype of the buffers that hold them, by name, sorted."""
    dtypes: dict[str, str] = {}
    for region in program.regions:
        buffers = {b.name: b.dtype for b in region.buffers}
        for placement in region.placements:
            dtype = buffers[placement.buffer]
            for name in tensor_names(placement):
                known = dtypes.get(name)
                if known is None or _WIDTH_ORDER.index(dtype) < _WIDTH_ORDER.index(known):
                    dtypes[name] = dtype
    return {name: _stored(weights[name], dtypes[name]) for name in sorted(dtypes)}


def _stored(tensor: torch.Tensor, dtype: str) -> StoredTensor:
    narrowed = tensor.detach().to(_TORCH[dtype]).contiguous()
    if dtype == "bf16":
        return StoredTensor("BF16", narrowed.view(torch.int16).numpy().view(np.uint16))
    return StoredTensor.of(narrowed.numpy())
