"""What docs/ir.md shows can be parsed, is legal, and is what meshc prints."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest

from meshc.dialects.levels import parse_module, verify
from meshc.ir.attributes import _KINDS
from meshc.ir.printer import print_module
from meshc.ir.types import DTYPES
from meshc.passes.pipeline import parse_pipeline, run_pipeline
from meshrt.diagnostics import MeshError

PAGE = (Path(__file__).parents[2] / "docs" / "ir.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("text", blocks("mir"))
def test_an_example_is_legal_and_printed_so(text):
    module = parse_module(text, "docs/ir.md")
    verify(module)
    assert print_module(module).replace("\n\n", "\n") == text.replace("\n\n", "\n")


@pytest.mark.parametrize("text", blocks("pipeline"))
def test_a_pipeline_can_be_read(text):
    assert parse_pipeline(text)


def test_the_python_example_runs(tmp_path):
    (tmp_path / "example.py").write_text(*blocks("python"))
    runpy.run_path(str(tmp_path / "example.py"), {"text": blocks("mir")[0]})


def test_the_tables_are_whole():
    assert f"`{' '.join(DTYPES)}`" in PAGE
    for _, kind in _KINDS:
        assert re.search(rf"^\|[^|]*\b{kind}\b[^|]*\|", PAGE, re.MULTILINE), kind


def test_the_diagnostic_is_what_the_verifier_says():
    (shown,) = blocks("text")
    lines = re.findall(r"^  [> ] +\d+ \| (.*)$", shown, re.MULTILINE)
    broken = parse_module("module graph\n" + "\n".join(lines))

    (guilty,) = parse_pipeline("fuse-linear")
    with pytest.raises(MeshError) as caught:
        run_pipeline(broken, [guilty])
    # The same IR as input: only the blame differs.
    assert caught.value.diagnostic.message in shown
    assert "\n".join(shown.splitlines()[4:10]) in str(caught.value)
