"""Builds: what is written is read back, the same bytes every time, whole or not at all."""

from __future__ import annotations

import json
import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy

from meshrt.build import Build, is_replaceable, modified_files, read_build, write_build
from meshrt.diagnostics import CATALOG, MeshError
from meshrt.manifest import Manifest, ScalarBinding, TensorBinding, manifest_from_json, manifest_to_json
from meshrt.program.parser import parse_program
from meshrt.target import load_target
from meshrt.weights import StoredTensor, WeightFile, write_weights

PROGRAM = (Path(__file__).parent / "program" / "legal.mesh").read_text(encoding="utf-8")
MANIFEST = Manifest(
    model="tiny",
    model_digest="0" * 64,
    phase="prefill",
    inputs=(TensorBinding("input_ids", "i64", (1, 64), "main", "ids"),),
    outputs=(),
    scalars=(ScalarBinding("main", "length", "input_ids", 1),),
    options={"seq": 64, "dtype": "mixed", "grid": [4, 4]},
    versions={"meshc": "0.1.0"},
    details={"padding": {"seq": 0.25}},
)


def build() -> Build:
    generator = np.random.default_rng(0)
    weights = {
        "layers.1.weight": StoredTensor.of(generator.standard_normal(24).astype(np.float16)),
        "layers.0.weight": StoredTensor.of(generator.standard_normal(24).astype(np.float16)),
        "const.scale": StoredTensor.of(np.float32(2.5).reshape(())),
        "bias": StoredTensor("BF16", np.array([[0x3F80, 0xC000]], np.uint16)),
    }
    return Build(parse_program(PROGRAM), weights, MANIFEST, load_target("tiny"), {"tokenizer.json": b"{}"})


def code_of(call, *args) -> str:
    with pytest.raises(MeshError) as caught:
        call(*args)
    assert caught.value.diagnostic.code in CATALOG
    return caught.value.diagnostic.code


def test_what_is_written_is_read_back(tmp_path):
    written = build()
    manifest = write_build(tmp_path / "out", written)
    read = read_build(tmp_path / "out")
    assert read.program == written.program
    assert read.target == written.target
    assert read.tokenizer == written.tokenizer
    assert read.manifest == manifest
    assert replace(manifest, target="", target_digest="", files={}) == MANIFEST
    assert (manifest.target, manifest.target_digest) == ("tiny", written.target.digest)
    assert set(manifest.files) == {"program.mesh", "target.toml", "weights.safetensors", "tokenizer/tokenizer.json"}
    assert read.modified == () and modified_files(tmp_path / "out", manifest) == ()
    assert read.source.line(1) == "mesh 1"
    assert set(read.weights) == set(written.weights)
    for name, tensor in written.weights.items():
        assert read.weights[name].dtype == tensor.dtype
        np.testing.assert_array_equal(read.weights[name].array, tensor.array)


def test_the_same_build_gives_the_same_bytes(tmp_path):
    write_build(tmp_path / "a", build())
    other = build()
    backwards = {name: other.weights[name] for name in reversed(list(other.weights))}
    options = dict(reversed(list(MANIFEST.options.items())))
    write_build(tmp_path / "b", replace(other, weights=backwards, manifest=replace(MANIFEST, options=options)))
    files = sorted(path.relative_to(tmp_path / "a") for path in (tmp_path / "a").rglob("*") if path.is_file())
    assert len(files) == 5
    for name in files:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_other_tools_read_the_weights(tmp_path):
    tensors = {name: tensor for name, tensor in build().weights.items() if tensor.dtype != "BF16"}
    digest = write_weights(tmp_path / "weights.safetensors", tensors)
    loaded = safetensors.numpy.load_file(tmp_path / "weights.safetensors")
    assert set(loaded) == set(tensors) and len(digest) == 64
    for name, array in loaded.items():
        np.testing.assert_array_equal(array, tensors[name].array)


def test_weights_of_other_tools_are_read(tmp_path):
    arrays = {"a": np.arange(6, dtype=np.int64).reshape(2, 3), "b": np.ones(3, np.float32)}
    safetensors.numpy.save_file(arrays, tmp_path / "w.safetensors", metadata={"format": "np"})
    weights = WeightFile(tmp_path / "w.safetensors")
    assert weights.shapes() == {"a": (2, 3), "b": (3,)}
    np.testing.assert_array_equal(weights["a"].array, arrays["a"])


def test_bf16_reads_as_f32():
    values = StoredTensor("BF16", np.array([0x3F80, 0xC000, 0x7F80, 0x8000], np.uint16)).values()
    assert values.dtype == np.float32
    assert values.tolist() == [1.0, -2.0, float("inf"), -0.0]


def test_a_weight_file_pickles_by_its_path(tmp_path):
    write_build(tmp_path / "out", build())
    weights = read_build(tmp_path / "out").weights
    again = pickle.loads(pickle.dumps(weights))  # noqa: S301 - bytes of this very line
    np.testing.assert_array_equal(again["bias"].array, weights["bias"].array)


def test_a_timing_only_build_has_no_weights(tmp_path):
    manifest = write_build(tmp_path / "out", replace(build(), weights={}, manifest=replace(MANIFEST, timing_only=True)))
    assert not (tmp_path / "out" / "weights.safetensors").exists()
    assert "weights.safetensors" not in manifest.files
    assert dict(read_build(tmp_path / "out").weights) == {}


def test_another_target_times_the_same_program(tmp_path):
    write_build(tmp_path / "out", build())
    assert read_build(tmp_path / "out", load_target("wse3")).target == load_target("wse3")


def test_an_older_build_and_an_empty_directory_are_replaced(tmp_path):
    (tmp_path / "out").mkdir()
    write_build(tmp_path / "out", build())
    write_build(tmp_path / "out", replace(build(), tokenizer={}))
    assert not (tmp_path / "out" / "tokenizer").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_anything_else_is_left_alone(tmp_path):
    (tmp_path / "file").write_text("mine")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").write_text("mine")
    for name in ("file", "full"):
        assert not is_replaceable(tmp_path / name)
        assert code_of(write_build, tmp_path / name, build()) == "M0353"
    assert (tmp_path / "full" / "thesis.tex").read_text() == "mine"
    assert code_of(write_build, tmp_path / "no" / "where", build()) == "M0353"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "full"]


def test_a_write_that_fails_leaves_nothing_behind(tmp_path):
    write_build(tmp_path / "out", build())
    before = (tmp_path / "out" / "manifest.json").read_bytes()
    broken = replace(build(), tokenizer={"../evil": b""})
    assert code_of(write_build, tmp_path / "out", broken) == "M0353"
    assert code_of(write_build, tmp_path / "new", broken) == "M0353"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert (tmp_path / "out" / "manifest.json").read_bytes() == before


def test_what_is_not_a_build(tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "empty").mkdir()
    for name in ("none", "file", "empty"):
        assert code_of(read_build, tmp_path / name) == "M0350"


@pytest.mark.parametrize("name", ["program.mesh", "target.toml", "weights.safetensors"])
def test_a_file_that_is_missing_or_cut_off(tmp_path, name):
    write_build(tmp_path / "out", build())
    path = tmp_path / "out" / name
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    assert code_of(read_build, tmp_path / "out") in ("M0301", "M0351", "M0611", "M0613")
    path.write_bytes(b"\xff\xfe" * 10)
    assert code_of(read_build, tmp_path / "out") == "M0351"
    path.unlink()
    assert code_of(read_build, tmp_path / "out") == "M0351"


def weight_file(header: object, data: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"abc",
        (10**12).to_bytes(8, "little") + b"{}",
        weight_file(b"not json"),
        weight_file([1, 2]),
        weight_file({"a": 3}),
        weight_file({"a": {"dtype": "F16", "shape": [4], "data_offsets": [0, 8]}}, b"1234567"),
        weight_file({"a": {"dtype": "F16", "shape": [4], "data_offsets": [0, 6]}}, b"12345678"),
        weight_file({"a": {"dtype": "F16", "shape": [-4], "data_offsets": [0, -8]}}, b"12345678"),
        weight_file({"a": {"dtype": "Q4", "shape": [4], "data_offsets": [0, 8]}}, b"12345678"),
        weight_file({"a": {"dtype": "F16", "shape": 4, "data_offsets": [0, 8]}}, b"12345678"),
        weight_file({"a": {"dtype": "F16", "shape": [4], "data_offsets": [8]}}, b"12345678"),
    ],
)
def test_a_damaged_weight_file(tmp_path, content):
    path = tmp_path / "weights.safetensors"
    path.write_bytes(content)
    assert code_of(WeightFile, path) == "M0351"


def test_a_program_that_was_edited_is_known_by_its_digest(tmp_path):
    manifest = write_build(tmp_path / "out", build())
    path = tmp_path / "out" / "program.mesh"
    path.write_text(path.read_text().replace("W -> RAMP", "W -> N"), encoding="utf-8")
    assert read_build(tmp_path / "out").modified == ("program.mesh",)
    (tmp_path / "out" / "tokenizer" / "tokenizer.json").unlink()
    assert modified_files(tmp_path / "out", manifest) == ("program.mesh", "tokenizer/tokenizer.json")


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text[: len(text) // 2],
        lambda text: "",
        lambda text: "[]",
        lambda text: text.replace("meshc.build/1", "meshc.build/9"),
        lambda text: text.replace('"inputs"', '"imports"'),
        lambda text: text.replace('"phase"', '"stage"'),
        lambda text: text.replace('"dimension"', '"axis"'),
        lambda text: text.replace('"shape": [', '"shape": 3, "more": ['),
    ],
)
def test_a_damaged_manifest(change):
    text = manifest_to_json(MANIFEST)
    assert manifest_from_json(text) == MANIFEST
    assert code_of(manifest_from_json, change(text)) == "M0352"
