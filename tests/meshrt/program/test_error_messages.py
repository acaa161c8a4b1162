"""Every bad program beside the diagnostics it gets.

``errors/`` cannot be read; ``illegal/`` is read, and the checker says what is wrong with it
on the target ``tiny`` with the weights below.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from meshrt.diagnostics import CATALOG, Diagnostic, MeshError
from meshrt.diagnostics.source_text import SourceText
from meshrt.program.check import check_program, diagnose
from meshrt.program.parser import parse_program
from meshrt.target import load_target

HERE = Path(__file__).parent
CASES = sorted((*HERE.glob("errors/*.mesh"), *HERE.glob("illegal/*.mesh")))
TENSORS = {"layers.0.weight": (24,), "layers.1.weight": (24,), "bias": (6,)}


def diagnostics(path: Path) -> tuple[Diagnostic, ...]:
    text = path.read_text(encoding="utf-8")
    try:
        program = parse_program(text, path.name)
    except MeshError as error:
        return (error.diagnostic,)
    return diagnose(program, load_target("tiny"), SourceText(text, path.name), TENSORS)


def rendered(path: Path) -> str:
    return "".join(found.render() + "\n" for found in diagnostics(path))


@pytest.mark.parametrize("path", CASES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_bad_text_gets_its_diagnostics(path):
    assert rendered(path) == path.with_suffix(".err").read_text(encoding="utf-8")


@pytest.mark.parametrize("path", CASES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_the_folder_says_where_it_fails(path):
    found = diagnostics(path)
    assert found
    assert all(diagnostic.code in CATALOG and diagnostic.place is not None for diagnostic in found)
    unreadable = {"M0301", "M0302", "M0303", "M0304", "M0310", "M0311"}
    if path.parent.name == "errors":
        assert found[0].code in unreadable
    else:
        with pytest.raises(MeshError) as caught:
            text = path.read_text(encoding="utf-8")
            check_program(parse_program(text), load_target("tiny"), SourceText(text, path.name), TENSORS)
        assert caught.value.diagnostic == found[0]


def test_every_golden_has_its_text():
    goldens = {path.with_suffix(".mesh") for folder in ("errors", "illegal") for path in (HERE / folder).glob("*.err")}
    assert goldens == set(CASES)


def test_the_program_that_the_illegal_ones_vary_is_legal():
    text = (HERE / "legal.mesh").read_text(encoding="utf-8")
    assert diagnose(parse_program(text), load_target("tiny"), SourceText(text), TENSORS) == ()
