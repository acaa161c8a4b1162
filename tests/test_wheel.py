"""The wheel works by itself: installed in an empty environment, run from another directory.

The environment's own site-packages holds nothing but the wheel; the dependencies are read
from the environment that runs the tests (a .pth line adds their folder, but not what an
editable installation added to it), so that nothing is downloaded.
"""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

pytestmark = pytest.mark.slow


def call(*line: str | Path, cwd: Path) -> str:
    """Run a command outside the checkout; its standard output. Fails the test with what it said."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "VIRTUAL_ENV"))}
    done = subprocess.run(
        [str(part) for part in line], cwd=cwd, env=environment, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, f"{line}: status {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    call(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, ROOT, cwd=folder)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The ``bin`` folder of an environment with the wheel."""
    folder = tmp_path_factory.mktemp("installed") / "venv"
    venv.create(folder, symlinks=True, with_pip=False)
    python = folder / "bin" / "python"
    call(sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps", wheel, cwd=folder)
    (site,) = folder.glob("lib/python3*/site-packages")
    (site / "dependencies.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    return folder / "bin"


def test_the_wheel_holds_the_packages_and_their_data_and_nothing_else(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert {name.partition("/")[0] for name in names} == {"meshc", "meshrt", f"{wheel.name.split('-py3')[0]}.dist-info"}
    for name in ("meshrt/grammars/mir.lark", "meshrt/grammars/mesh.lark", "meshrt/target/presets/wse2.toml"):
        assert name in names
    assert any(name.endswith("/licenses/LICENSE") for name in names)
    assert not [name for name in names if "__pycache__" in name or "tests" in name]


def test_everything_comes_from_the_wheel(installed, tmp_path):
    code = """
import meshc, meshrt, importlib.metadata as metadata
from meshrt.grammar import grammar_text
print(meshc.__file__, meshrt.__file__, len(grammar_text("mir.lark")) > 0 < len(grammar_text("mesh.lark")))
"""
    first, second, found = call(installed / "python", "-c", code, cwd=tmp_path).split()
    assert Path(first).is_relative_to(installed.parent)
    assert Path(second).is_relative_to(installed.parent)
    assert found == "True"


@pytest.mark.parametrize("line", ["--version", "--help", "targets", "passes", "kernels", "explain M0101"])
def test_commands_work_from_any_directory(installed, tmp_path, line):
    assert call(installed / "meshc", *line.split(), cwd=tmp_path)


def test_a_model_is_compiled_and_run(installed, tmp_path):
    import torch
    from safetensors.torch import save_file

    from tests.models import tiny, token_ids

    model, ids = tiny("llama"), token_ids(1, 8)
    torch.export.save(torch.export.export(model, (ids,)), tmp_path / "model.pt2")
    with torch.no_grad():
        save_file({"logits": model(ids).contiguous()}, tmp_path / "expected.safetensors")
    save_file({"input_ids": ids}, tmp_path / "inputs.safetensors")
    options = ["--target", "tiny", "--grid", "4x4", "--dtype", "f32"]
    call(installed / "meshc", "compile", "model.pt2", "-o", "build", *options, cwd=tmp_path)
    files = ("--inputs", "inputs.safetensors", "--expect", "expected.safetensors", "--rtol", "1e-4")
    assert "cycles" in call(installed / "meshc", "run", "build", *files, cwd=tmp_path)
    assert "cycles" in call(installed / "python", "-m", "meshrt", "build", *files, cwd=tmp_path)
