"""What is proven, or found, of a region is so of its two halves as regions that touch, wherever it is cut."""

from __future__ import annotations

from pathlib import Path

import pytest

from meshrt.program.check import diagnose
from meshrt.program.parser import parse_program
from meshrt.program.proofs import prove
from meshrt.target import load_target
from tests.meshrt.splitting import split

TESTS = Path(__file__).parents[2]
TARGET = load_target(TESTS / "machine" / "machine.toml")
PATHS = [
    path
    for folder in ("machine", "engines/diagnostics", "program/proofs/rejected", "program/proofs/timing")
    for path in sorted((TESTS / folder).glob("*.mesh"))
]


#: Programs without loops that flags end, cut before each column. Only one of linked regions may have such loops.
CUT = [
    (path, column)
    for path in PATHS
    for text in [path.read_text(encoding="utf-8")]
    for program in [parse_program(text)]
    if len(program.regions) == 1 and "until" not in text
    for column in range(1, program.regions[0].width)
]


@pytest.mark.parametrize(("path", "column"), CUT, ids=lambda value: getattr(value, "stem", str(value)))
def test_the_halves_get_the_same_code(path, column):
    whole = parse_program(path.read_text(encoding="utf-8"))
    halves = split(whole, column)
    if diagnose(halves, TARGET):
        # A half without the buffer that it names is told so before.
        assert path.stem == "no_such_buffer"
        return
    assert [f.code for f in prove(halves, TARGET).findings] == [f.code for f in prove(whole, TARGET).findings]


def test_enough_are_cut():
    races = [path.stem for path, _ in CUT if path.parent.name == "timing"]
    assert len(CUT) > 60 and len(set(races)) >= 2
