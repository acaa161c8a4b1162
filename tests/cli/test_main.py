"""The command line itself: help, exit statuses, endings; not what each command does."""

from __future__ import annotations

import importlib
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import click
import pytest

from meshc.cli.main import COMMANDS, group, status_of_line
from meshrt.diagnostics import MeshError
from meshrt.exit_status import DIFFERS, INTERRUPTED, MAX_CYCLES
from meshrt.terminal import exit_status_of


def _meshc(*arguments: str, **options) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", "meshc", *arguments]
    return subprocess.run(line, capture_output=True, text=True, timeout=120, **options)


def test_help_lists_every_command_in_the_order_of_its_use(capsys):
    assert status_of_line(["--help"]) == 0
    out = capsys.readouterr().out
    places = [out.index(f"\n  {name} ") for name in COMMANDS]
    assert places == sorted(places)


def test_no_arguments_show_the_help(capsys):
    assert status_of_line([]) == 0
    assert capsys.readouterr().out.startswith("Usage: meshc")


def test_help_needs_neither_torch_nor_numba():
    code = """
    import sys
    from meshc.cli.main import status_of_line
    assert status_of_line(["--help"]) == 0
    heavy = [name for name in ("torch", "numba", "numpy", "transformers", "rich") if name in sys.modules]
    assert not heavy, heavy
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=True, capture_output=True, timeout=60)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself(name, capsys):
    command = importlib.import_module(f"meshc.cli.{name}").command
    assert isinstance(command, click.Command)
    assert group.get_command(click.Context(group), name) is command
    assert status_of_line([name, "--help"]) == 0
    out = capsys.readouterr().out
    assert f"Usage: meshc {name}" in out
    assert all(option.help for option in command.params if isinstance(option, click.Option))


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (["complie"], "Did you mean 'compile'?"),
        (["--nonsense"], "No such option"),
        (["targets", "--nonsense"], "No such option"),
        (["run"], "Missing argument"),
    ],
)
def test_usage_errors_end_with_status_2(line, says, capsys):
    assert status_of_line(line) == 2
    captured = capsys.readouterr()
    assert says in captured.err
    assert captured.out == ""


def test_a_diagnostic_goes_to_stderr_and_ends_with_status_1(capsys):
    assert status_of_line(["targets", "wse4"]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("error[M0610]: there is no target 'wse4'\n")
    assert "Traceback" not in captured.err


@pytest.mark.parametrize(("code", "status"), [("M0101", 1), ("M0530", MAX_CYCLES), ("M0560", DIFFERS)])
def test_the_diagnostic_decides_the_status(code, status):
    def fails() -> int:
        raise MeshError(code, "as it happens")

    assert exit_status_of(fails) == status


def test_what_the_system_refuses_is_a_diagnostic(tmp_path, capsys):
    def reads() -> int:
        return len((tmp_path / "absent").read_text())

    assert exit_status_of(reads) == 1
    assert capsys.readouterr().err == (
        f"error[M0100]: cannot read or write {tmp_path}/absent: no such file or directory\n"
    )


def test_ctrl_c_ends_quietly(capsys):
    def interrupted() -> int:
        signal.raise_signal(signal.SIGINT)
        return 0

    assert exit_status_of(interrupted) == INTERRUPTED
    assert capsys.readouterr().err == "interrupted\n"


def test_a_defect_of_the_program_keeps_its_traceback():
    with pytest.raises(ZeroDivisionError):
        exit_status_of(lambda: 1 // 0)


def test_a_reader_that_leaves_early_is_no_failure():
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-m", "meshc", "explain"], stdout=writer, stderr=subprocess.PIPE, text=True, timeout=60
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_module_and_the_script_are_the_same(tmp_path):
    by_module = _meshc("--version", cwd=tmp_path)
    script = Path(sys.executable).with_name("meshc")
    by_script = subprocess.run([script, "--version"], capture_output=True, text=True, cwd=tmp_path, timeout=60)
    assert by_module.stdout == by_script.stdout
    assert by_module.stdout.startswith("meshc 0.")
