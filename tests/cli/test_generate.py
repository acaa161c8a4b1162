"""``meshc run --prompt`` and ``python -m meshrt --ids`` on builds that write: streams, several prompts, endings."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from meshc.cli.main import status_of_line
from meshrt.__main__ import main as meshrt_main
from meshrt.build import write_build
from meshrt.generation import NewToken
from meshrt.report_schema import check_report
from meshrt.writing import Writing, as_numbers
from tests.cli.conftest import WORDS, tokenizer_files
from tests.kernels.bigram import Bigram

#: Words in a row, the last one ends the text.
NEXT = (np.roll(np.eye(len(WORDS)), 1, axis=1) * 4).astype(np.float32)


@pytest.fixture(scope="session")
def writing_build(tmp_path_factory) -> Path:
    """A build that says the words in a row, for two prompts of up to 4 tokens, and a context of 12."""
    folder = tmp_path_factory.mktemp("writing")
    model = Bigram(2, 1, 2, len(WORDS), prompt=4, context=12)
    write_build(folder / "build", model.build(NEXT, tokenizer_files(folder / "tokenizer")))
    return folder / "build"


def run(build, *options):
    return status_of_line(["run", str(build), *map(str, options)])


def test_text_is_written_then_the_table(writing_build, tmp_path, capsys):
    report = tmp_path / "report.json"
    assert run(writing_build, "--prompt", "why is", "--max-new-tokens", 3, "--json", report) == 0
    out = capsys.readouterr().out
    assert out.startswith("the sky blue\nbigram on tiny, 2x1 PEs\n")
    assert "Generation" in out and "prompt of 2 tokens, 3 new; first token after" in out
    told = json.loads(report.read_text())
    check_report(told)
    assert told["generation"]["new_tokens"] == [3]


def test_the_end_token_ends_the_text_and_is_not_shown(writing_build, capsys):
    assert run(writing_build, "--prompt", "the sky", "--no-table") == 0
    assert capsys.readouterr().out == "blue today ?\n"


def test_several_prompts_one_after_the_other(writing_build, capsys):
    prompts = ("--prompt", "why is", "--prompt", "sky")
    assert run(writing_build, *prompts, "--max-new-tokens", 2, "--no-table") == 0
    assert capsys.readouterr().out == "> why is\nthe sky\n> sky\nblue today\n"


def test_a_full_context_is_told_behind_what_was_written(writing_build, capsys):
    assert meshrt_main([str(writing_build), "--ids", "3 4", "--no-table", "--max-new-tokens", "40"]) == 1
    captured = capsys.readouterr()
    assert captured.out == "5 6 7 8 9 0 1 2 3 4 5\n"
    assert captured.err.startswith("error[M0545]: the context of 12 tokens is full: the prompt of 2 tokens got 11")


def test_the_seed_decides(writing_build, capsys):
    def text(*options) -> str:
        assert run(writing_build, "--prompt", "why", "--max-new-tokens", 8, "--no-table", *options) == 0
        return capsys.readouterr().out

    assert text("--temperature", 3, "--seed", 1) == text("--temperature", 3, "--seed", 1)
    assert text("--temperature", 3, "--seed", 1) != text("--temperature", 3, "--seed", 2)
    assert text("--temperature", 0) == text("--top-k", 1) == text()


def test_json_on_standard_output_stands_alone(writing_build, tmp_path, capsys):
    outputs = tmp_path / "out.safetensors"
    options = ("--prompt", "why", "--max-new-tokens", 3, "--json", "-", "--outputs", outputs)
    assert run(writing_build, *options) == 0
    captured = capsys.readouterr()
    check_report(json.loads(captured.out))
    assert captured.err == "is the sky\n"
    assert load_file(outputs)["tokens"].tolist() == [[4, 5, 6]] * 2


def test_timing_alone_writes_no_text(writing_build, capsys):
    assert run(writing_build, "--prompt", "why", "--max-new-tokens", 5, "--timing-only") == 0
    out = capsys.readouterr().out
    assert out.startswith("bigram on tiny, 2x1 PEs (timing only)\n") and "1 tokens, 5 new" in out


@pytest.mark.parametrize(
    ("options", "code"),
    [
        (("--prompt", "why is the sky blue"), "M0515"),
        (("--prompt", ""), "M0551"),
        (("--prompt", "a", "--prompt", "b", "--prompt", "c"), "M0547"),
        (("--prompt", "why", "--top-k", "99"), "M0546"),
        (("--prompt", "why", "--temperature", "-1"), "M0546"),
        (("--prompt", "why", "--seed", "5"), "M0546"),
        (("--prompt", "why", "--max-new-tokens", "0"), "M0546"),
    ],
)
def test_what_cannot_be_done_is_told_before_the_run(writing_build, capsys, options, code):
    assert run(writing_build, *options) == 1
    captured = capsys.readouterr()
    assert captured.err.startswith(f"error[{code}]:") and captured.out == ""


def test_a_build_of_another_phase_shows_the_next_token_only(tiny_build, writing_build, tmp_path, capsys):
    build = tmp_path / "build"
    shutil.copytree(tiny_build.build, build)
    shutil.copytree(writing_build / "tokenizer", build / "tokenizer")
    assert run(build, "--prompt", "why", "--no-table") == 0
    assert "next token" in capsys.readouterr().out
    assert run(build, "--prompt", "why", "--max-new-tokens", 3) == 1
    assert capsys.readouterr().err.startswith("error[M0543]: the build is of the phase prefill, which writes no text\n")


def test_options_of_writing_want_a_prompt(writing_build, capsys):
    assert run(writing_build, "--top-k", 3) == 2
    assert "go with --prompt" in capsys.readouterr().err


def test_the_runtime_alone_writes_ids(writing_build, capsys):
    line = [str(writing_build), "--ids", "3,4", "--ids", "6", "--max-new-tokens", "4", "--stop-id", "8", "--no-table"]
    assert meshrt_main(line) == 0
    assert capsys.readouterr().out == "> 3 4\n5 6 7 8\n> 6\n7 8\n"
    assert meshrt_main([str(writing_build), "--ids", "3 99"]) == 1
    assert capsys.readouterr().err.startswith("error[M0544]: a token id of the prompt is 99; the model knows 10 tokens")


def test_half_a_character_waits_for_the_rest():
    def decode(ids):
        return bytes(ids).decode("utf-8", errors="replace")

    out = io.StringIO()
    writing = Writing(out, decode, ["p"])
    shown = []
    for number, byte in enumerate("aé\u20acb".encode()):
        writing.take(NewToken(0, number, byte, 0, False))
        shown.append(out.getvalue())
    assert shown == ["a", "a", "aé", "aé", "aé", "aé€", "aé€b"]
    writing.take(NewToken(0, 7, 0xC3, 0, False))
    writing.close()
    assert out.getvalue() == "aé€b\ufffd\n"


def test_prompts_that_end_early_wait_for_those_before_them():
    out = io.StringIO()
    writing = Writing(out, as_numbers, ["a", "b", "c"])
    steps = [(2, 7, True), (0, 1, False), (1, 5, False), (0, 2, True), (1, 6, True)]
    shown = []
    for prompt, id, last in steps:
        writing.take(NewToken(prompt, 0, id, 0, last))
        shown.append(out.getvalue())
    writing.close()
    assert shown[:3] == ["> a\n", "> a\n1", "> a\n1"]
    assert shown[3] == "> a\n1 2\n> b\n5"
    assert out.getvalue() == "> a\n1 2\n> b\n5 6\n> c\n7\n"


def test_ctrl_c_leaves_the_text_and_the_terminal(tmp_path):
    """A long text is interrupted: what was written stays, with its line ended, and the status is that of Ctrl-C."""
    model = Bigram(1, 1, 1, len(WORDS), prompt=4, context=100_000, top_k=1)
    write_build(tmp_path / "build", model.build(NEXT))
    line = [sys.executable, "-m", "meshrt", str(tmp_path / "build"), "--ids", "3", "--max-new-tokens", "99999"]
    process = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ})
    assert process.stdout is not None
    first = process.stdout.read(20)
    process.send_signal(signal.SIGINT)
    rest, errors = process.communicate(timeout=120)
    text = (first + rest).decode()
    assert process.returncode == 130 and errors.decode() == "interrupted\n"
    assert text.endswith("\n")
    ids = [int(word) for word in text.split()]
    assert 10 < len(ids) < 99_999 and ids == [(4 + i) % 10 for i in range(len(ids))]


def test_what_writes_is_proven_for_every_prompt_and_seed(writing_build, capsys):
    assert status_of_line(["check", str(writing_build)]) == 0
    out = capsys.readouterr().out
    assert re.search(r"run to their end for all values of its scalars \([23] classes\); ", out)
