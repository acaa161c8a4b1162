"""The import check finds what points the wrong way, wherever the import stands."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools import check_imports, check_sizes


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty project with the layout that the check expects."""
    packages = {"meshc": tmp_path / "meshc", "meshrt": tmp_path / "runtime" / "meshrt"}
    monkeypatch.setattr(check_imports, "ROOT", tmp_path)
    monkeypatch.setattr(check_imports, "PACKAGES", packages)
    return tmp_path


@pytest.mark.parametrize(
    ("file", "text", "found"),
    [
        ("runtime/meshrt/run.py", "import meshc.ir", "meshrt must not import meshc.ir"),
        ("runtime/meshrt/engines/a.py", "def f():\n    import transformers", "meshrt must not import transformers"),
        ("runtime/meshrt/program/a.py", "from meshrt.run import x", "meshrt.program must not import meshrt.run"),
        ("meshc/ir/a.py", "from meshc.passes.base import Pass", "meshc.ir must not import meshc.passes.base"),
        ("meshc/ir/a.py", "from meshc import passes", "meshc.ir must not import meshc.passes"),
        ("meshc/report/a.py", "from meshrt.engines import x", "meshc.report must not import meshrt.engines"),
        ("meshc/passes/a.py", "from meshc.emit import x", "meshc.passes must not import meshc.emit"),
        ("meshc/driver.py", "import meshc.cli.main", "meshc must not import meshc.cli.main"),
        ("meshc/cli/a.py", "from meshc.driver import x\nimport torch, meshrt.run", ""),
        ("meshc/passes/a.py", "from meshc.ir.core import x\nfrom meshrt.program.model import y", ""),
        ("meshc/ir/a.py", "from meshc.ir import core\nimport math", ""),
    ],
)
def test_directions(tree, file, text, found):
    path = tree / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    violations = check_imports.violations()
    if found:
        assert len(violations) == 1
        assert violations[0].startswith(f"{file}:")
        assert violations[0].endswith(found)
    else:
        assert violations == []


def test_every_part_that_is_named_has_its_row():
    for part, allowed in check_imports.MAY_IMPORT.items():
        assert set(allowed) <= set(check_imports.MAY_IMPORT), part


@pytest.mark.parametrize(
    ("name", "lines", "status", "says"),
    [
        ("meshc/short.py", 400, 0, ""),
        ("meshc/long.py", 401, 0, "401 lines (warning"),
        ("meshc/longer.py", 701, 1, "701 lines; past 700"),
        ("runtime/meshrt/utils.py", 1, 1, "does not say what is inside"),
        ("tests/helpers/a.txt", 1, 1, "does not say what is inside"),
    ],
)
def test_sizes_and_names(tmp_path, monkeypatch, capsys, name, lines, status, says):
    monkeypatch.setattr(check_sizes, "ROOT", tmp_path)
    path = tmp_path / name
    path.parent.mkdir(parents=True)
    path.write_text("\n" * lines)
    assert check_sizes.main() == status
    captured = capsys.readouterr()
    assert says in captured.out + captured.err
