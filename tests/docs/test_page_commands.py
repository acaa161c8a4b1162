"""Commands that pages show print what the pages show."""

from __future__ import annotations

import re

import pytest

from tools.page_commands import PAGES, ROOT, refreshed, run, steps


def shape(output: str) -> str:
    """Text without its figures, bars and spacing: these change with the machine and with every better kernel."""
    output = re.sub(r"[█▏▎▍▌▋▊▉]+", " ", output)
    output = re.sub(r"<?-?\d[\d.,]*(e-?\d+)?( [kMGT]\b)?", "#", output)
    output = re.sub(r"(?<!\S)-(?!\S)", "#", output)
    return "\n".join(" ".join(line.split()) for line in output.splitlines())


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_print_what_the_page_shows(page, tmp_path):
    shown = steps(page.read_text(encoding="utf-8"), PAGES[page])
    assert shown
    for step in shown:
        assert shape(run(step.command, tmp_path)) == shape(step.output), f"`make docs` renews it: {step.command}"


def test_refreshing_replaces_outputs_only(tmp_path):
    text = "\n".join(
        (
            "# x", "", "    $ not this", "", "## A section", "Say:", "", "    $ echo one", "    old", "    $ printf ''",
            "", "and", "", "    $ printf 'two\\n\\nlines'", "    older", "", "    oldest", "", "## end", "",
            "    $ false", "",
        )
    )  # fmt: skip
    section = "## A section"
    fresh = refreshed(text, tmp_path, section)
    assert fresh == text.replace("old\n", "one\n", 1).replace("    older\n\n    oldest", "    two\n\n    lines")
    assert refreshed(fresh, tmp_path, section) == fresh
    assert [step.output for step in steps(fresh, section)] == ["one\n", "", "two\n\nlines\n"]
    assert next(step.command for step in steps(text)) == "not this"
