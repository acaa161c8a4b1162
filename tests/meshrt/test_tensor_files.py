"""Tensor files: whole or not at all, and a clear word about what is not one."""

from __future__ import annotations

import numpy as np
import pytest

from meshrt.diagnostics import MeshError
from meshrt.tensor_files import read_tensors, write_tensors


def test_what_is_written_reads_back(tmp_path):
    tensors = {"ids": np.arange(6, dtype=np.int64).reshape(1, 6), "x": np.array([[1.5]], dtype=np.float32)}
    write_tensors(tmp_path / "t.safetensors", tensors)
    read = read_tensors(tmp_path / "t.safetensors")
    assert sorted(read) == ["ids", "x"]
    for name, array in tensors.items():
        assert read[name].dtype == array.dtype
        np.testing.assert_array_equal(read[name], array)


def test_a_transposed_array_keeps_its_values(tmp_path):
    array = np.arange(6, dtype=np.float32).reshape(2, 3).T
    write_tensors(tmp_path / "t.safetensors", {"x": array})
    np.testing.assert_array_equal(read_tensors(tmp_path / "t.safetensors")["x"], array)


def test_the_same_tensors_give_the_same_bytes(tmp_path):
    write_tensors(tmp_path / "a", {"x": np.ones(3), "y": np.zeros(2)})
    write_tensors(tmp_path / "b", {"y": np.zeros(2), "x": np.ones(3)})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_nothing_is_left_where_it_cannot_be_written(tmp_path):
    (tmp_path / "taken").mkdir()
    with pytest.raises(OSError):
        write_tensors(tmp_path / "taken", {"x": np.ones(1)})
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda path: None, "no such file"),
        (lambda path: path.mkdir(), "directory"),
        (lambda path: path.write_bytes(b""), "not a whole safetensors file"),
        (lambda path: path.write_bytes(b"PK\x03\x04 something else entirely"), "not a whole safetensors file"),
    ],
)
def test_what_is_not_one_is_told(tmp_path, make, says):
    path = tmp_path / "t.safetensors"
    make(path)
    with pytest.raises(MeshError, match=says) as raised:
        read_tensors(path)
    assert raised.value.diagnostic.code == "M0550"


def test_a_truncated_file_is_told(tmp_path):
    path = tmp_path / "t.safetensors"
    write_tensors(path, {"x": np.ones(100)})
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(MeshError, match="not a whole safetensors file"):
        read_tensors(path)


def test_a_dtype_that_numpy_lacks_is_told(tmp_path):
    import safetensors.torch
    import torch

    safetensors.torch.save_file({"x": torch.ones(2, dtype=torch.bfloat16)}, tmp_path / "t.safetensors")
    with pytest.raises(MeshError, match="numpy"):
        read_tensors(tmp_path / "t.safetensors")
