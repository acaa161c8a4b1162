"""The reference pages are current, and the catalog they are drawn from is whole."""

from __future__ import annotations

import ast
import re

import pytest

from meshrt.diagnostics import CATALOG
from meshrt.exit_status import STATUS_OF_CODE
from tools.reference_docs import DOCS, PAGES, RANGES

ROOT = DOCS.parent


@pytest.mark.parametrize("name", PAGES)
def test_the_page_is_current(name):
    assert (DOCS / name).read_text(encoding="utf-8") == PAGES[name](), f"docs/{name} is out of date: run `make docs`"


def test_codes_are_in_their_ranges_and_say_something():
    for code, entry in CATALOG.items():
        assert re.fullmatch(r"M\d{4}", code)
        assert code[:3] in RANGES
        assert entry.title and not entry.title.endswith(".")
        assert entry.explanation.strip().endswith((".", ")", "`"))
    assert set(STATUS_OF_CODE) <= set(CATALOG)


def raised_codes() -> dict[str, str]:
    """Every code that the source raises, with the first file that does."""
    found: dict[str, str] = {}
    for folder in (ROOT / "meshc", ROOT / "runtime"):
        for path in sorted(folder.rglob("*.py")):
            if path.name == "catalog.py":
                continue
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if (
                    isinstance(node, ast.Constant)
                    and isinstance(node.value, str)
                    and re.fullmatch(r"M\d{4}", node.value)
                ):
                    found.setdefault(node.value, str(path.relative_to(ROOT)))
    return found


def test_the_catalog_is_what_the_source_raises():
    raised = raised_codes()
    assert {code: where for code, where in raised.items() if code not in CATALOG} == {}
    assert sorted(set(CATALOG) - set(raised)) == []
