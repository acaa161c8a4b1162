"""``python -m meshrt BUILD``: the runtime runs a build where neither meshc nor transformers can be imported."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import numpy as np
import pytest
from safetensors.numpy import load_file

from meshrt.__main__ import main, parser

#: Runs meshrt as `python -m` does, with the packages it must do without made impossible to import.
ALONE = """
import runpy, sys
for name in ("meshc", "transformers", "tokenizers", "gguf"):
    sys.modules[name] = None
sys.argv = ["meshrt", *sys.argv[1:]]
runpy.run_module("meshrt", run_name="__main__")
"""


def alone(*arguments, **options) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-c", textwrap.dedent(ALONE), *map(str, arguments)]
    return subprocess.run(line, capture_output=True, text=True, timeout=600, **options)


def test_it_gives_the_models_answer(tiny_build, tmp_path):
    outputs = tmp_path / "out.safetensors"
    done = alone(
        tiny_build.build, "--inputs", tiny_build.inputs, "--outputs", outputs, "--expect", tiny_build.expected,
        cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("tiny-llama on tiny, 2x2 PEs\n")
    expected = load_file(tiny_build.expected)["logits"]
    np.testing.assert_allclose(load_file(outputs)["logits"], expected, atol=1e-4 * np.abs(expected).max())


def test_a_diagnostic_looks_the_same_and_has_the_same_status(tiny_build, capsys):
    assert main([str(tiny_build.build / "absent")]) == 1
    assert capsys.readouterr().err.startswith("error[M0350]:")


def test_a_wrong_command_line_ends_with_status_2(capsys):
    with pytest.raises(SystemExit) as raised:
        main(["build", "--rtol", "close"])
    assert raised.value.code == 2
    assert "--rtol" in capsys.readouterr().err


def test_it_has_the_options_of_meshc_run():
    from meshc.cli.run import command

    theirs = {option for parameter in command.params for option in parameter.opts if option.startswith("--")}
    ours = {option for action in parser()._actions for option in action.option_strings if option.startswith("--")}
    assert theirs - ours == {"--prompt", "--raw", "--quiet"}
    assert ours - theirs == {"--help", "--ids", "--stop-id"}
