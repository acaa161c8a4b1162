"""``meshc compile``: its options and its refusals; what it compiles is tested elsewhere."""

from __future__ import annotations

import pytest

from meshc.cli.main import status_of_line


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ([], "Missing option '-o'"),
        (["-o", "b", "--grid", "24"], "is not a grid; write width x height"),
        (["-o", "b", "--grid", "0x4"], "is not a grid"),
        (["-o", "b", "--layers", "4"], "is no slice of layers"),
        (["-o", "b", "--layers", "4:4"], "is no slice of layers"),
        (["-o", "b", "--seq", "0"], "--seq"),
        (["-o", "b", "--dtype", "f8"], "'mixed', 'f16', 'bf16', 'f32'"),
        (["--emit", "assembly"], "--emit"),
    ],
)
def test_a_wrong_command_line_is_a_usage_error(options, says, capsys):
    assert status_of_line(["compile", "model.pt2", *options]) == 2
    captured = capsys.readouterr()
    assert says in captured.err
    assert captured.out == ""


def test_a_directory_that_is_no_build_is_left_alone(tmp_path, capsys):
    (tmp_path / "thesis.tex").write_text("irreplaceable")
    assert status_of_line(["compile", "model.pt2", "-o", str(tmp_path)]) == 1
    assert capsys.readouterr().err.startswith("error[M0353]:")
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_missing_model_leaves_nothing_behind(tmp_path, capsys):
    assert status_of_line(["compile", str(tmp_path / "absent.pt2"), "-o", str(tmp_path / "build")]) == 1
    captured = capsys.readouterr()
    assert captured.err.startswith("error[M0101]:")
    assert "Traceback" not in captured.err
    assert list(tmp_path.iterdir()) == []
