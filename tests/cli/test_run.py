"""``meshc run``: files in, files out, statuses, and text by way of a tokenizer."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from meshc.cli.main import status_of_line
from meshc.cli.prompt import Tokenizer
from meshrt.diagnostics import MeshError
from meshrt.report_schema import check_report


def run(build, *options):
    return status_of_line(["run", str(build), *map(str, options)])


def test_outputs_report_and_table(tiny_build, tmp_path, capsys):
    outputs, report = tmp_path / "out.safetensors", tmp_path / "report.json"
    files = ("--inputs", tiny_build.inputs, "--outputs", outputs, "--json", report)
    assert run(tiny_build.build, *files, "--expect", tiny_build.expected, "--rtol", "1e-4") == 0
    captured = capsys.readouterr()
    assert captured.out.startswith("tiny-llama on tiny, 2x2 PEs\n")
    assert "logits: as expected, within" in captured.err
    assert load_file(outputs)["logits"].shape == load_file(tiny_build.expected)["logits"].shape
    told = json.loads(report.read_text())
    check_report(told)
    assert sum(row["cycles"] for row in told["ops"]) == told["cycles"]
    assert "modeling_llama.py" in told["ops"][5]["location"]


def test_json_alone_on_standard_output(tiny_build, capsys):
    assert run(tiny_build.build, "--inputs", tiny_build.inputs, "--json", "-") == 0
    captured = capsys.readouterr()
    check_report(json.loads(captured.out))
    assert captured.err == ""


def test_a_difference_ends_with_status_4_and_leaves_the_outputs(tiny_build, tmp_path, capsys):
    expected = {"logits": load_file(tiny_build.expected)["logits"].copy()}
    expected["logits"][0, 3, 7] += 100
    save_file(expected, tmp_path / "expected.safetensors")
    files = ("--inputs", tiny_build.inputs, "--outputs", tmp_path / "out.safetensors", "--no-table")
    assert run(tiny_build.build, *files, "--expect", tmp_path / "expected.safetensors") == 4
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("error[M0560]: 'logits' differs from what was expected in 1 of 768 elements\n")
    assert "first at logits[0, 3, 7]" in captured.err
    assert (tmp_path / "out.safetensors").is_file()


def test_too_many_cycles_end_with_status_3(tiny_build, capsys):
    assert run(tiny_build.build, "--inputs", tiny_build.inputs, "--max-cycles", 100) == 3
    assert capsys.readouterr().err.startswith("error[M0530]:")


@pytest.mark.parametrize(
    ("tensors", "code"),
    [
        ({}, "M0551"),
        ({"ids": np.zeros((1, 8), np.int64)}, "M0514"),
        ({"input_ids": np.zeros((1, 8), np.float32)}, "M0514"),
        ({"input_ids": np.zeros((2, 8), np.int64)}, "M0514"),
        ({"input_ids": np.zeros((1, 9), np.int64)}, "M0515"),
    ],
)
def test_wrong_inputs_are_told_before_the_run(tiny_build, tmp_path, capsys, tensors, code):
    save_file(tensors, tmp_path / "inputs.safetensors")
    assert run(tiny_build.build, "--inputs", tmp_path / "inputs.safetensors") == 1
    captured = capsys.readouterr()
    assert captured.err.startswith(f"error[{code}]:")
    assert captured.out == ""


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ((), "M0551"),
        (("--inputs", "absent.safetensors"), "M0550"),
        (("--prompt", "hello"), "M0552"),
        (("--expect", "absent.safetensors"), "M0550"),
        (("--target", "wse4"), "M0610"),
        (("--engine", "quantum"), "M0519"),
    ],
)
def test_wrong_options_are_told_before_the_run(tiny_build, capsys, options, code):
    given = options if "--inputs" in options or "--prompt" in options or not options else (
        *options, "--inputs", tiny_build.inputs
    )  # fmt: skip
    assert run(tiny_build.build, *given) == 1
    assert capsys.readouterr().err.startswith(f"error[{code}]:")


def test_a_prompt_and_inputs_exclude_each_other(tiny_build, capsys):
    assert run(tiny_build.build, "--prompt", "hello", "--inputs", tiny_build.inputs) == 2
    assert "exclude each other" in capsys.readouterr().err


def test_what_is_no_build_is_told(tmp_path, capsys):
    for build in (tmp_path, tmp_path / "absent"):
        assert run(build, "--prompt", "hello") == 1
        assert capsys.readouterr().err.startswith("error[M0350]:")


WORDS = ("<unk>", "user", ":", "assistant", "why", "is", "the", "sky", "blue", "?")
TEMPLATE = (
    "{% for m in messages %}{{ m['role'] }} : {{ m['content'] }} {% endfor %}"
    "{% if add_generation_prompt %}assistant :{% endif %}"
)


@pytest.fixture
def talking_build(tiny_build, tmp_path):
    """The tiny build with a tokenizer of ten words."""
    import tokenizers
    import transformers

    build = tmp_path / "build"
    shutil.copytree(tiny_build.build, build)
    model = tokenizers.models.WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="<unk>")
    plain = tokenizers.Tokenizer(model)
    plain.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    fast = transformers.PreTrainedTokenizerFast(tokenizer_object=plain, unk_token="<unk>", chat_template=TEMPLATE)
    fast.save_pretrained(build / "tokenizer")
    return build


def test_a_prompt_is_wrapped_in_the_chat_template_unless_raw(talking_build):
    tokenizer = Tokenizer.of_build(talking_build)
    wrapped = tokenizer.inputs("why")["input_ids"]
    assert [WORDS[i] for i in wrapped[0]] == ["user", ":", "why", "assistant", ":"]
    assert wrapped.dtype == np.int64
    raw = tokenizer.inputs("why is the sky blue ?", raw=True)["input_ids"]
    assert raw.tolist() == [[4, 5, 6, 7, 8, 9]]
    with pytest.raises(MeshError, match="M0551"):
        tokenizer.inputs("", raw=True)


def test_next_tokens_are_those_of_the_last_position(talking_build):
    logits = np.zeros((1, 2, len(WORDS)), np.float32)
    logits[0, 0, 4] = 9
    logits[0, 1, 7] = 2
    logits[0, 1, 8] = 1
    (first, p), (second, q), *rest = Tokenizer.of_build(talking_build).next_tokens({"logits": logits}, 3)
    assert (first, second, len(rest)) == ("sky", "blue", 1)
    assert p / q == pytest.approx(np.e)


def test_a_prompt_runs_and_shows_what_follows(talking_build, capsys):
    assert run(talking_build, "--prompt", "why", "--no-table") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1] == "next token"
    assert len(lines) == 7
    assert all("%" in line for line in lines[2:])


def test_a_prompt_that_is_too_long_is_told(talking_build, capsys):
    assert run(talking_build, "--prompt", "why " * 9, "--raw") == 1
    assert capsys.readouterr().err.startswith("error[M0515]:")


def test_a_spoilt_tokenizer_is_told(talking_build, capsys):
    (talking_build / "tokenizer" / "tokenizer.json").write_text("{}")
    assert run(talking_build, "--prompt", "why") == 1
    captured = capsys.readouterr()
    assert captured.err.startswith("error[M0553]:")
    assert "Traceback" not in captured.err
