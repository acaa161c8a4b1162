"""Reads and writes the safetensors files a run takes and gives: named numpy arrays."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import safetensors
import safetensors.numpy

from meshrt.diagnostics import MeshError


def read_tensors(path: Path) -> dict[str, np.ndarray]:
    """Every tensor of a safetensors file by name. Raises M0550 when it is not one."""
    if not path.is_file():
        reason = "it is a directory" if path.is_dir() else "there is no such file"
        raise MeshError("M0550", f"cannot read tensors from {path}: {reason}")
    try:
        return safetensors.numpy.load_file(path)
    except safetensors.SafetensorError as error:
        raise MeshError(
            "M0550",
            f"cannot read tensors from {path}: not a whole safetensors file",
            notes=[str(error)],
        ) from None
    except (AttributeError, KeyError, TypeError):
        # numpy has no bfloat16 and no float8.
        raise MeshError(
            "M0550",
            f"cannot read tensors from {path}: it holds a dtype that numpy has not",
            helps=["write f32, f16 or integers"],
        ) from None


def write_tensors(path: Path, tensors: Mapping[str, np.ndarray]) -> None:
    """Write a safetensors file, whole or not at all. The same tensors give the same bytes."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    data = {name: np.ascontiguousarray(array) for name, array in sorted(tensors.items())}
    try:
        partial.write_bytes(safetensors.numpy.save(data))
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
