"""``meshc check``."""

from __future__ import annotations

import json
import shutil

import pytest

from meshc.cli.main import status_of_line


@pytest.fixture
def build(tiny_build, tmp_path):
    """A copy of the tiny build, to be spoilt."""
    return shutil.copytree(tiny_build.build, tmp_path / "build")


def test_a_sound_build_shows_its_memory_map(build, capsys):
    assert status_of_line(["check", str(build)]) == 0
    captured = capsys.readouterr()
    assert captured.out.startswith(f"{build}: nothing wrong on tiny\nregion main: ")
    assert "run to their end" in captured.out
    assert "\nSRAM of PE (" in captured.out
    assert "code and runtime" in captured.out
    assert captured.err == ""


def test_what_is_wrong_is_told_with_its_line(build, capsys):
    program = build / "program.mesh"
    lines = program.read_text().splitlines(keepends=True)
    number = next(i for i, line in enumerate(lines) if " buffer " in f" {line}")
    address = lines[number].rstrip().rpartition(" ")[2]
    lines[number] = lines[number].replace(address, "65536")
    program.write_text("".join(lines))
    assert status_of_line(["check", str(build)]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("warning: program.mesh is not as meshc compile wrote it\nerror[M0")
    assert f"program.mesh:{number + 1}" in captured.err


def test_another_target_may_be_too_small(build, tmp_path, capsys):
    assert status_of_line(["targets", "tiny", "--toml"]) == 0
    text = capsys.readouterr().out.replace("sram_bytes = { value = 65536", "sram_bytes = { value = 8192")
    (tmp_path / "small.toml").write_text(text)
    assert status_of_line(["check", str(build), "--target", str(tmp_path / "small.toml")]) == 1
    assert "error[M0" in capsys.readouterr().err


def test_json(build, capsys):
    assert status_of_line(["check", str(build), "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert (printed["target"], printed["findings"], printed["modified"]) == ("tiny", [], [])
    assert [region["region"] for region in printed["proven"]] == ["main"]
    assert len(printed["program_digest"]) == 64
    (build / "weights.safetensors").write_bytes((build / "weights.safetensors").read_bytes()[:-4] + b"\1\2\3\4")
    assert status_of_line(["check", str(build), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["modified"] == ["weights.safetensors"]
