"""``meshc opt``."""

from __future__ import annotations

import io

import pytest

from meshc.cli.main import status_of_line

TEXT = """module graph

func() {name = "forward"} (%x: tensor<4xf32>) {
  %a = graph.silu(%x) : tensor<4xf32> loc("model.py":3 "act")
  return(%a)
}
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "model.mir"
    path.write_text(TEXT)
    return path


def test_without_a_pipeline_the_text_is_checked_and_printed(file, capsys):
    file.write_text("// comment\n" + TEXT.replace("  ", " "))
    assert status_of_line(["opt", str(file)]) == 0
    assert capsys.readouterr().out == TEXT


def test_from_stdin(monkeypatch, capsys):
    monkeypatch.setattr("sys.stdin", io.StringIO(TEXT))
    assert status_of_line(["opt", "-"]) == 0
    assert capsys.readouterr().out == TEXT


def test_a_pass_runs_and_is_timed_and_dumped(file, tmp_path, capsys):
    out, dump = tmp_path / "out.mir", tmp_path / "ir"
    arguments = ["--pipeline", "canonicalize", "-o", str(out), "--dump-ir", str(dump), "--time-passes"]
    assert status_of_line(["opt", str(file), *arguments]) == 0
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err.startswith("pass ") and "canonicalize" in captured.err
    assert sorted(path.name for path in dump.iterdir()) == ["00-input.mir", "01-canonicalize.mir"]
    assert out.read_text() == TEXT


@pytest.mark.parametrize(
    ("arguments", "text", "expected"),
    [
        ([], TEXT.replace("(%x)", "(%y)"), "error[M0202]: %y is not defined here"),
        ([], TEXT.replace("silu", "sliu"), "error[M0211]: graph.sliu is no operation of the graph level"),
        (["--pipeline", "canonicalise"], TEXT, "did you mean 'canonicalize'?"),
        (["--pipeline", "canonicalize{"], TEXT, "error[M0660]"),
        (["--target", "wse9"], TEXT, "error[M0610]"),
    ],
)
def test_bad_input_gets_a_diagnostic_and_no_output(file, tmp_path, capsys, arguments, text, expected):
    file.write_text(text)
    out = tmp_path / "out.mir"
    assert status_of_line(["opt", str(file), "-o", str(out), *arguments]) == 1
    captured = capsys.readouterr()
    assert captured.out == "" and expected in captured.err
    assert not out.exists()


def test_a_missing_file(tmp_path, capsys):
    assert status_of_line(["opt", str(tmp_path / "none.mir")]) == 1
    assert "error[M0209]: cannot read IR" in capsys.readouterr().err


def test_a_file_that_is_no_text(tmp_path, capsys):
    (tmp_path / "model.mir").write_bytes(b"\xff\xfe\x00")
    assert status_of_line(["opt", str(tmp_path / "model.mir")]) == 1
    assert "it is not UTF-8 text" in capsys.readouterr().err


def test_weights_that_are_none(file, tmp_path, capsys):
    (tmp_path / "w.safetensors").write_bytes(b"no tensors")
    assert status_of_line(["opt", str(file), "--weights", str(tmp_path / "w.safetensors")]) == 1
    assert "error[M0102]" in capsys.readouterr().err
