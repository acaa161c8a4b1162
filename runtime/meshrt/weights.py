"""``weights.safetensors`` of a build: each source tensor once, in its stored dtype.

Written with sorted names and no metadata, so that the same tensors give the same bytes;
read through a memory map, so that only what is used is loaded. bf16, which numpy lacks,
is stored as its 16 bits and read as f32 (exact).
"""

from __future__ import annotations

import hashlib
import json
import math
import mmap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from meshrt.diagnostics import MeshError

#: Numpy's type of each stored dtype; BF16 is held as its bits.
STORED_DTYPES: dict[str, np.dtype[Any]] = {
    "F64": np.dtype("<f8"),
    "I64": np.dtype("<i8"),
    "F32": np.dtype("<f4"),
    "I32": np.dtype("<i4"),
    "F16": np.dtype("<f2"),
    "BF16": np.dtype("<u2"),
    "I16": np.dtype("<i2"),
    "I8": np.dtype("i1"),
    "U8": np.dtype("u1"),
    "BOOL": np.dtype("?"),
}
_HEADER_ALIGNMENT = 8
#: Longest header that is read, in bytes; a longer one means that the file is something else.
_MAX_HEADER = 100_000_000


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """A tensor as it is stored: the dtype by its safetensors name and an array of that width.

    For ``BF16`` the array holds the 16 bits of each element (uint16).
    """

    dtype: str
    array: np.ndarray

    @staticmethod
    def of(array: np.ndarray) -> StoredTensor:
        """A numpy array under its own dtype. Raises ValueError for a dtype that is not stored."""
        for name, dtype in STORED_DTYPES.items():
            if name != "BF16" and array.dtype == dtype:
                return StoredTensor(name, array)
        raise ValueError(f"{array.dtype} is not stored")

    @property
    def shape(self) -> tuple[int, ...]:
        return self.array.shape

    def values(self) -> np.ndarray:
        """The elements as numbers: bf16 becomes f32, everything else keeps its dtype."""
        if self.dtype == "BF16":
            return (self.array.astype(np.uint32) << 16).view(np.float32)
        return self.array


class WeightFile(Mapping[str, StoredTensor]):
    """The tensors of a weight file by name, read when asked for. The file stays open with the object."""

    def __init__(self, path: Path):
        self._path = path
        try:
            with path.open("rb") as file:
                size = path.stat().st_size
                # An empty file cannot be mapped; it is too short in any case.
                self._data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if size else b""
        except OSError as error:
            raise MeshError("M0351", f"cannot read {path.name}: {error.strerror}") from error
        self._entries, self._start = self._read_header()

    def _damaged(self, reason: str) -> MeshError:
        return MeshError(
            "M0351",
            f"{self._path.name} is damaged: {reason}",
            helps=["copy the build again, or compile the model again"],
        )

    def _read_header(self) -> tuple[dict[str, dict[str, Any]], int]:
        data = self._data
        length = int.from_bytes(data[:8], "little") if len(data) >= 8 else -1
        if not 0 < length <= min(_MAX_HEADER, len(data) - 8):
            raise self._damaged("its header is cut off")
        try:
            header = json.loads(data[8 : 8 + length])
        except ValueError as error:
            raise self._damaged("its header is not JSON") from error
        if not isinstance(header, dict):
            raise self._damaged("its header lists no tensors")
        entries = {name: entry for name, entry in header.items() if name != "__metadata__"}
        start = 8 + length
        for name, entry in entries.items():
            if not _is_entry(entry):
                raise self._damaged(f"the entry of tensor {name!r} is wrong")
            if entry["data_offsets"][1] > len(data) - start:
                missing = entry["data_offsets"][1] - (len(data) - start)
                raise self._damaged(f"tensor {name!r} ends {missing} bytes behind the end of the file")
        return entries, start

    def __getitem__(self, name: str) -> StoredTensor:
        entry = self._entries[name]
        dtype = STORED_DTYPES[entry["dtype"]]
        shape = tuple(entry["shape"])
        array = np.frombuffer(self._data, dtype, count=math.prod(shape), offset=self._start + entry["data_offsets"][0])
        return StoredTensor(entry["dtype"], array.reshape(shape))

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def __reduce__(self):
        return (WeightFile, (self._path,))

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shape of every tensor, without reading any."""
        return {name: tuple(entry["shape"]) for name, entry in self._entries.items()}


def write_weights(path: Path, tensors: Mapping[str, StoredTensor]) -> str:
    """Write the file and return its SHA-256; wide elements first, then by name, so that all are aligned."""
    order = sorted(tensors, key=lambda name: (-STORED_DTYPES[tensors[name].dtype].itemsize, name))
    header: dict[str, Any] = {}
    offset = 0
    for name in order:
        tensor = tensors[name]
        end = offset + math.prod(tensor.shape) * STORED_DTYPES[tensor.dtype].itemsize
        header[name] = {"dtype": tensor.dtype, "shape": list(tensor.shape), "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % _HEADER_ALIGNMENT)
    digest = hashlib.sha256()
    with path.open("wb") as file:
        for part in (len(text).to_bytes(8, "little"), text):
            digest.update(part)
            file.write(part)
        for name in order:
            tensor = tensors[name]
            content = np.ascontiguousarray(tensor.array, STORED_DTYPES[tensor.dtype]).reshape(-1).view(np.uint8)
            digest.update(content.data)
            file.write(content.data)
    return digest.hexdigest()


def _is_entry(entry: Any) -> bool:
    if not isinstance(entry, dict) or entry.get("dtype") not in STORED_DTYPES:
        return False
    shape, offsets = entry.get("shape"), entry.get("data_offsets")
    if not isinstance(shape, list) or not isinstance(offsets, list) or len(offsets) != 2:
        return False
    if not all(type(number) is int and number >= 0 for number in (*shape, *offsets)):
        return False
    return offsets[1] - offsets[0] == math.prod(shape) * STORED_DTYPES[entry["dtype"]].itemsize
