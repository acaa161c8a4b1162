"""The README keeps its word: its commands exist, and the tour prints what it shows."""

from __future__ import annotations

import re

import pytest

from tools.readme_tour import README, ROOT, refreshed, run, steps

TEXT = README.read_text(encoding="utf-8")


def shape(output: str) -> str:
    """Text without its figures, bars and spacing: these change with the machine and with every better kernel."""
    output = re.sub(r"[█▏▎▍▌▋▊▉]+", " ", output)
    output = re.sub(r"<?-?\d[\d.,]*(e-?\d+)?( [kMGT]\b)?", "#", output)
    output = re.sub(r"(?<!\S)-(?!\S)", "#", output)
    return "\n".join(" ".join(line.split()) for line in output.splitlines())


@pytest.mark.slow
def test_the_tour_prints_what_it_shows(tmp_path):
    shown = steps(TEXT)
    assert len(shown) >= 4
    for step in shown:
        assert shape(run(step.command, tmp_path)) == shape(step.output), f"`make docs` renews the tour: {step.command}"


def test_refreshing_replaces_outputs_only(tmp_path):
    text = "\n".join(
        (
            "# x", "", "## A short tour", "Say:", "", "    $ echo one", "    old", "    $ printf ''", "", "and", "",
            "    $ printf 'two\\n\\nlines'", "    older", "", "    oldest", "", "## end", "", "    $ false", "",
        )
    )  # fmt: skip
    fresh = refreshed(text, tmp_path)
    assert fresh == text.replace("old\n", "one\n", 1).replace("    older\n\n    oldest", "    two\n\n    lines")
    assert refreshed(fresh, tmp_path) == fresh
    assert [step.output for step in steps(fresh)] == ["one\n", "", "two\n\nlines\n"]


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
