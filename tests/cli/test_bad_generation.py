"""Generation that cannot be done: each file of ``bad_generation/`` is a line as one types it and what is printed.

It is the same for builds of the phases decode and generate, but where the file's name ends with one of them.
"""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from meshc.cli.main import status_of_line
from meshrt.__main__ import main as meshrt_main

CASES = {path.name: path for path in sorted((Path(__file__).parent / "bad_generation").glob("*.txt"))}
PHASES = ("decode", "generate")
#: Every phase with the cases that are not another one's.
OF_PHASES = [(phase, name) for phase in PHASES for name in CASES if name.split(".")[1] in (phase, "txt")]


@pytest.fixture(scope="module", params=PHASES)
def phase(request: pytest.FixtureRequest) -> str:
    """What the build does with a prompt."""
    return request.param


@pytest.fixture(scope="module")
def build(phase: str, text_build: Callable[[str], Path]) -> Path:
    return text_build(phase)


@pytest.mark.parametrize(("phase", "case"), OF_PHASES, indirect=["phase"])
def test_it_is_said_before_the_run_or_behind_what_was_written(
    case, phase, build, traced_model, tiny_build, tmp_path, capsys
):
    line, _, expected = CASES[case].read_text(encoding="utf-8").partition("\n")
    known = {
        "BUILD": build,
        "MODEL": traced_model,
        "PREFILL": tiny_build.build,
        "PHASE": phase,
        "OUT": tmp_path / "out",
    }
    words = [str(known.get(word, word)) for word in shlex.split(line.removeprefix("$ "))]
    if words[0] == "meshc":
        status = status_of_line(words[1:])
    else:
        assert words[:3] == ["python", "-m", "meshrt"]
        status = meshrt_main(words[3:])
    captured = capsys.readouterr()
    assert captured.out + captured.err == expected
    assert status == 1


def test_ctrl_c_leaves_the_text_with_its_line_ended(build):
    line = [sys.executable, "-m", "meshrt", str(build), "--ids", "3 4 5", "--max-new-tokens", "60"]
    process = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ})
    assert process.stdout is not None
    first = process.stdout.read(8)
    process.send_signal(signal.SIGINT)
    rest, errors = process.communicate(timeout=300)
    text = (first + rest).decode()
    assert process.returncode == 130 and errors.decode() == "interrupted\n"
    assert text.endswith("\n") and 3 <= len(text.split()) < 60
