"""``meshc check``."""

from __future__ import annotations

import json
import re
import shutil

import pytest
import torch

from meshc.cli.main import status_of_line
from meshc.driver import compile_model
from meshc.options import CompileOptions
from tests.models import tiny, token_ids


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


def test_without_a_proof_the_memory_is_shown_all_the_same(build, capsys):
    assert status_of_line(["check", str(build), "--no-proof"]) == 0
    first, second = capsys.readouterr().out.splitlines()[:2]
    assert first == f"{build}: nothing wrong on tiny, as far as one sees without a proof"
    assert second.startswith("SRAM of PE (")
    assert status_of_line(["check", str(build), "--no-proof", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["proven"] == []


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


@pytest.fixture(scope="module")
def decoding_build(tmp_path_factory):
    """A build that decodes, on 3 x 4 PEs, with a cache for 7 tokens in the last row."""
    folder = tmp_path_factory.mktemp("decoding")
    options = CompileOptions(target="tiny", grid=(3, 4), dtype="f32", phase="decode", seq=5, kv="append")
    exported = torch.export.export(tiny("llama", num_hidden_layers=1), (token_ids(1, 7),))
    return compile_model(exported, options).save(folder / "build")


CAPACITY = re.compile(
    r"""
KV cache by append: 7 tokens in 7 slots of the last row
longest context on this grid, prompts of up to 5 tokens:
  append  ([\d,]+) tokens in ([\d,]+) slots of the last row: ([\d,]+) bytes of a PE, beside ([\d,]+) of code and \
runtime and ([\d,]+) of all else;
          (\d+) are free, and one more slot takes (\d+) \(64 of it cache\)
  shift   ([\d,]+) tokens in ([\d,]+) slots of each of 4 rows: ([\d,]+) bytes of a PE, beside ([\d,]+) of code and \
runtime and ([\d,]+) of all else;
          (\d+) are free, and one more slot takes (\d+) \(64 of it cache\)
$""".replace("\\\n", "")
)


def test_the_longest_context_of_each_policy_with_what_limits_it(decoding_build, tmp_path, capsys):
    assert status_of_line(["check", str(decoding_build)]) == 0
    found = CAPACITY.search(capsys.readouterr().out)
    assert found is not None
    told = [int(number.replace(",", "")) for number in found.groups()]
    for context, slots, cache, code, other, free, one_more in (told[:7], told[7:]):
        assert context in (slots, 4 * slots)
        # Keys and values in f32, of which a column has 8 dimensions of 16 each, and a row's scores of two heads.
        assert cache == slots * 2 * 8 * 4 and cache + code + other + free == 65536
        assert one_more == 2 * 8 * 4 + 2 * 4 > free
    assert status_of_line(["check", str(decoding_build), "--json"]) == 0
    capacity = json.loads(capsys.readouterr().out)["capacity"]
    assert (capacity["policy"], capacity["context"], capacity["slots"], capacity["rows"]) == ("append", 7, 7, 4)
    assert capacity["longest"]["append"]["context"] == told[0]
    # Of another machine the build does not know it.
    assert status_of_line(["targets", "tiny", "--toml"]) == 0
    (tmp_path / "other.toml").write_text(capsys.readouterr().out.replace("65536", "60000"))
    assert status_of_line(["check", str(decoding_build), "--target", str(tmp_path / "other.toml"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["capacity"] is None


def test_a_build_without_a_cache_has_no_longest_context(build, capsys):
    assert status_of_line(["check", str(build), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["capacity"] is None
