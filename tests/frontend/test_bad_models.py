"""Every bad model file or source beside the diagnostic it gets; the files are made here, as most are binary."""

from __future__ import annotations

import pickle
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import safetensors.torch
import torch

from meshc.frontend.export import export_module
from meshc.frontend.extents import symbol_values
from meshc.frontend.load import load_exported
from meshc.frontend.trace import trace
from meshrt.diagnostics import CATALOG, MeshError
from tests.frontend.small_models import Apart, Branching, FixedPositions, Nothing, Scorer, TwoInputs, tokens
from tests.frontend.tiny_gguf import tiny_gguf

pytestmark = pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")

GOLDENS = Path(__file__).parent / "errors"
SOURCES = GOLDENS / "sources"

#: A static export and a dynamic one with 2 to 32 tokens.
STATIC, DYNAMIC = {}, {1: torch.export.Dim("seq", min=2, max=32)}


def exported(directory: Path, shapes: dict = STATIC) -> Path:
    program = export_module(Scorer(), tokens(), dynamic_shapes=(shapes,) if shapes else None)
    torch.export.save(program, directory / "model.pt2")
    return directory / "model.pt2"


def scripted(directory: Path, module: torch.nn.Module) -> Path:
    torch.jit.script(module).save(directory / "model.pt")
    return directory / "model.pt"


def jit_traced(directory: Path) -> Path:
    torch.jit.trace(FixedPositions(), tokens(1)).save(directory / "model.pt")
    return directory / "model.pt"


def truncated_weights(directory: Path) -> Path:
    model = folder(directory, config__json=LLAMA)
    safetensors.torch.save_file(Scorer().state_dict(), model / "model.safetensors")
    cut(model / "model.safetensors", 0.5)
    return model


def two_dynamic_inputs() -> torch.export.ExportedProgram:
    shapes = ({}, {0: torch.export.Dim("other", min=2, max=9)})
    return export_module(Apart(), (tokens(), torch.zeros(4)), dynamic_shapes=shapes)


def written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def cut(path: Path, keep: float) -> Path:
    content = path.read_bytes()
    return written(path, content[: int(len(content) * keep)])


def with_member(path: Path, ending: str, content: bytes) -> Path:
    """The same archive with one member replaced, or added beside the others."""
    replaced = path.with_name("changed.pt2")
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(replaced, "w") as new:
        names = old.namelist()
        for name in names:
            new.writestr(name, content if name.endswith(ending) else old.read(name))
        if not any(name.endswith(ending) for name in names):
            new.writestr(f"model/{ending}", content)
    return replaced


class Harmful:
    """Unpickling it writes a file."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return (Path.write_text, (self.path, "unpickled"))


def harmful_inputs(directory: Path) -> Path:
    path = directory / "harm.pt"
    torch.save((Harmful(directory / "unpickled"),), path)
    return with_member(exported(directory), "data/sample_inputs/model.pt", path.read_bytes())


def legacy_pickle(directory: Path) -> Path:
    torch.save(Scorer().state_dict(), directory / "old.pth", _use_new_zipfile_serialization=False)
    return directory / "old.pth"


def state_dict(directory: Path) -> Path:
    torch.save(Scorer().state_dict(), directory / "pytorch_model.bin")
    return directory / "pytorch_model.bin"


def weights_only(directory: Path) -> Path:
    safetensors.torch.save_file(Scorer().state_dict(), directory / "model.safetensors")
    return directory / "model.safetensors"


def zip_of_text(directory: Path) -> Path:
    with zipfile.ZipFile(directory / "notes.pt2", "w") as archive:
        archive.writestr("notes.txt", "nothing of a model")
    return directory / "notes.pt2"


def folder(directory: Path, **files: str) -> Path:
    (directory / "model").mkdir()
    for name, text in files.items():
        (directory / "model" / name.replace("__", ".")).write_text(text)
    return directory / "model"


LLAMA = (SOURCES / "llama_config.json").read_text()


def loading(make: Callable[[Path], Path], **extents: int) -> Callable[[Path], object]:
    return lambda directory: load_exported(make(directory), **extents)


def specialising(shapes: dict, **extents: int | None) -> Callable[[Path], object]:
    def act(directory: Path) -> object:
        wanted = {"batch": None, "seq": None, **extents}
        return symbol_values(load_exported(exported(directory, shapes)).exported_program, **wanted)

    return act


def tracing(make: Callable[[Path], object], **options: object) -> Callable[[Path], object]:
    return lambda directory: trace(str(make(directory)), directory / "out.pt2", **options)


def source(name: str, function: str = "build") -> Callable[[Path], object]:
    def copy(directory: Path) -> str:
        shutil.copyfile(SOURCES / f"{name}.py.in", directory / f"{name}.py")
        return f"{directory / name}.py:{function}"

    return tracing(copy)


CASES: dict[str, Callable[[Path], object]] = {
    "missing_file": loading(lambda d: exported(d).with_name("modle.pt2")),
    "missing_directory": loading(lambda d: d / "models" / "model.pt2"),
    "directory": loading(folder),
    "model_folder": loading(lambda d: folder(d, config__json=LLAMA)),
    "empty_file": loading(lambda d: written(d / "model.pt2", b"")),
    "truncated_export": loading(lambda d: cut(exported(d), 0.6)),
    "truncated_to_bytes": loading(lambda d: cut(exported(d), 0.001)),
    "damaged_export": loading(lambda d: with_member(exported(d), "models/model.json", b'{"graph": ')),
    "text_file": loading(lambda d: written(d / "model.pt2", b"import torch\n")),
    "zip_of_text": loading(zip_of_text),
    "weights_only": loading(weights_only),
    "gguf_file": loading(lambda d: written(d / "model.gguf", b"GGUF\x03\x00\x00\x00" + bytes(64))),
    "legacy_pickle": loading(legacy_pickle),
    "plain_pickle": loading(lambda d: written(d / "model.pkl", pickle.dumps({"weight": [1.0]}))),
    "state_dict": loading(state_dict),
    "pickled_inputs": loading(harmful_inputs),
    "pickled_constant": loading(lambda d: with_member(exported(d), "data/constants/opaque_obj_0", b"\x80")),
    "torchscript_without_seq": loading(lambda d: scripted(d, Scorer())),
    "torchscript_of_two_inputs": loading(lambda d: scripted(d, TwoInputs()), seq=8),
    "torchscript_traced_for_another_seq": loading(jit_traced, seq=16),
    "truncated_torchscript": loading(lambda d: cut(scripted(d, Scorer()), 0.6), seq=8),
    "dynamic_without_seq": specialising(DYNAMIC),
    "static_other_seq": specialising(STATIC, seq=16),
    "static_other_batch": specialising(STATIC, batch=3),
    "seq_out_of_range": specialising(DYNAMIC, seq=33),
    "seq_too_small": specialising(DYNAMIC, seq=1),
    "seq_not_a_multiple": specialising({1: 2 * torch.export.Dim("half", min=1, max=16)}, seq=7),
    "multiple_out_of_range": specialising({1: 2 * torch.export.Dim("half", min=1, max=16)}, seq=34),
    "other_dynamic_input": lambda d: symbol_values(two_dynamic_inputs(), None, 8),
    "no_tensor_input": lambda d: symbol_values(export_module(Nothing(), (3,)), None, 8),
    "not_exportable": lambda d: export_module(Branching(), tokens()),
    "trace_missing": tracing(lambda d: d / "model"),
    "trace_text": tracing(lambda d: written(d / "notes.txt", b"notes")),
    "trace_exported": tracing(exported),
    "trace_python_without_function": tracing(lambda d: written(d / "model.py", b"")),
    "trace_folder_without_config": tracing(lambda d: folder(d, notes__txt="")),
    "trace_folder_without_weights": tracing(lambda d: folder(d, config__json=LLAMA)),
    "trace_folder_of_unknown_model": tracing(lambda d: folder(d, config__json='{"model_type": "unheard_of"}')),
    "trace_truncated_gguf": tracing(lambda d: written(d / "model.gguf", b"GGUF\x03\x00\x00\x00\x09")),
    "trace_gguf_without_its_tensors": tracing(lambda d: cut(tiny_gguf(d / "model.gguf"), 0.9)),
    "trace_folder_with_truncated_weights": tracing(truncated_weights),
    "trace_seq_too_long": tracing(lambda d: folder(d, config__json=LLAMA), seq=4096, weights=False),
    "trace_python_without_weights": tracing(lambda d: d / "model.py:build", weights=False),
    "trace_no_such_function": source("raises", "biuld"),
    "trace_function_raises": source("raises"),
    "trace_function_returns_module_only": source("module_only"),
    "trace_file_with_syntax_error": source("syntax_error"),
    "trace_into_missing_directory": lambda d: trace(str(d), d / "no" / "out.pt2"),
    "trace_into_directory": lambda d: trace(str(d), folder(d)),
}


@pytest.mark.parametrize("name", CASES)
def test_bad_model_gets_its_diagnostic(name, tmp_path):
    with pytest.raises(MeshError) as caught:
        CASES[name](tmp_path)
    assert caught.value.diagnostic.code in CATALOG
    text = str(caught.value).replace(str(tmp_path), "DIRECTORY")
    assert text + "\n" == (GOLDENS / f"{name}.err").read_text(encoding="utf-8")
    assert not (tmp_path / "unpickled").exists()
    assert not (tmp_path / "out.pt2").exists()


def test_every_golden_has_its_case():
    assert {path.stem for path in GOLDENS.glob("*.err")} == set(CASES)
