"""The README keeps its word: what it names exists, and links lead somewhere."""

from __future__ import annotations

import re

from tools.page_commands import README, ROOT

TEXT = README.read_text(encoding="utf-8")


def test_make_has_what_the_readme_names():
    targets = set(re.findall(r"(?m)^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8")))
    named = set(re.findall(r"\bmake ([a-z]+)\b", TEXT))
    assert {"demo", "test"} <= named <= targets


def test_links_lead_somewhere():
    pages = [README, *sorted((ROOT / "docs").rglob("*.md"))]
    for page in pages:
        prose = re.sub(r"(?ms)^```.*?^```|^    .*?$|`[^`\n]*`", "", page.read_text(encoding="utf-8"))
        for link in re.findall(r"\]\(([^)#]+)[^)]*\)", prose):
            if "://" not in link:
                assert (page.parent / link).exists(), f"{page.relative_to(ROOT)} links to {link}"


def test_every_page_is_in_the_index():
    index = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    for page in sorted((ROOT / "docs").glob("*.md")):
        assert page.name == "index.md" or f"]({page.name})" in index, page.name
