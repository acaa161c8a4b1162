"""Every bad text beside the diagnostic it gets: ``errors/`` cannot be read, ``illegal/`` is read but not legal."""

from __future__ import annotations

from pathlib import Path

import pytest

from meshc.dialects import levels
from meshrt.diagnostics import CATALOG, MeshError

HERE = Path(__file__).parent
CASES = sorted((*HERE.glob("errors/*.mir"), *HERE.glob("illegal/*.mir")))


def diagnostic(path: Path) -> str:
    with pytest.raises(MeshError) as caught:
        module = levels.parse_module(path.read_text(encoding="utf-8"), path.name)
        assert path.parent.name == "illegal", "this text can be read"
        levels.verify(module, path.name)
    assert caught.value.diagnostic.code in CATALOG
    return str(caught.value)


@pytest.mark.parametrize("path", CASES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_bad_text_gets_its_diagnostic(path):
    assert diagnostic(path) + "\n" == path.with_suffix(".err").read_text(encoding="utf-8")


def test_every_golden_has_its_text():
    goldens = {path.with_suffix(".mir") for folder in ("errors", "illegal") for path in (HERE / folder).glob("*.err")}
    assert goldens == set(CASES)
