"""Every code M05xx that the runtime raises is in the catalog, and some test of the runtime asks for it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import meshrt
from meshrt.diagnostics import CATALOG

RUNTIME = Path(meshrt.__file__).parent
TESTS = Path(__file__).parents[2]
#: Codes as string constants, not as they stand in docstrings.
CODE = re.compile(r'"(M05\d\d)"')


def raised() -> list[str]:
    found: set[str] = set()
    for path in RUNTIME.rglob("*.py"):
        if path.name not in ("catalog.py", "exit_status.py"):
            found |= set(CODE.findall(path.read_text(encoding="utf-8")))
    return sorted(found)


#: Defensive: a router takes one input port, so a ring of routers cannot be entered.
CANNOT_HAPPEN = {"M0503"}


@pytest.mark.parametrize("code", raised())
def test_a_code_is_explained_and_tested(code):
    assert code in CATALOG
    tested = [
        path
        for pattern in ("*.py", "*.err")
        for path in sorted(TESTS.rglob(pattern))
        if path != Path(__file__) and code in path.read_text(encoding="utf-8")
    ]
    assert tested or code in CANNOT_HAPPEN
