"""Every program of docs/machine.md: its values, the cycle in which each PE ends, and what the page says of it.

The expectations are those of the machine's word-by-word definition. An engine may be off by ``tolerance``; where the
batched engine is, ``engines.batched`` holds what it says instead, to the cycle.
"""

from __future__ import annotations

import re
import tomllib
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from meshrt.diagnostics.source_text import SourceText
from meshrt.program.check import check_program
from meshrt.program.parser import parse_program
from meshrt.program.printer import print_program
from meshrt.run import RunOptions, RunResult, run_program
from meshrt.target import load_target

HERE = Path(__file__).parent
PAGE = HERE.parents[2] / "docs" / "machine.md"
NAMES = sorted(path.stem for path in HERE.glob("*.mesh"))
TARGET = load_target(HERE / "machine.toml")
ENGINES = ("batched", "reference")


def expected(name: str) -> dict:
    return tomllib.loads((HERE / f"{name}.toml").read_text(encoding="utf-8"))


@cache
def run(name: str, engine: str, checked: bool = False) -> RunResult:
    text = (HERE / f"{name}.mesh").read_text(encoding="utf-8")
    program = parse_program(text, f"{name}.mesh")
    check_program(program, TARGET, SourceText(text, f"{name}.mesh"))
    given = {key: {n: np.array(v, np.float32) for n, v in expected(name).get(key, {}).items()} for key in KINDS}
    options = RunOptions(engine=engine, checked=checked)
    return run_program(program, TARGET, given["weights"], given["inputs"], options=options)


KINDS = ("weights", "inputs")


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", NAMES)
def test_values(name, engine):
    wanted = expected(name)["outputs"]
    found = run(name, engine).outputs
    assert sorted(found) == sorted(wanted)
    for port, values in wanted.items():
        assert found[port].tolist() == values


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", NAMES)
def test_the_cycle_in_which_each_pe_ends(name, engine):
    wanted = expected(name)
    clocks = np.array(wanted["clocks"]).reshape(-1)
    found = run(name, engine).clocks
    assert np.abs(found - clocks).max() <= wanted["tolerance"]["cycles"]
    said = wanted.get("engines", {}).get(engine, wanted)
    assert found.tolist() == np.array(said["clocks"]).reshape(-1).tolist()


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", NAMES)
def test_words_that_had_to_wait(name, engine):
    wanted = expected(name)
    said = wanted.get("engines", {}).get(engine, wanted)
    for key in ("contended_words", "stalled_words"):
        found = run(name, engine).report["routing"][key]
        assert abs(found - wanted[key]) <= wanted["tolerance"]["words"]
        assert found == said[key]


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", NAMES)
def test_checking_changes_nothing(name, engine):
    plain, watched = run(name, engine), run(name, engine, checked=True)
    assert watched.clocks.tolist() == plain.clocks.tolist()
    assert {n: v.tolist() for n, v in watched.outputs.items()} == {n: v.tolist() for n, v in plain.outputs.items()}


@pytest.mark.parametrize("name", NAMES)
def test_only_contended_or_stalled_programs_have_a_tolerance(name):
    wanted = expected(name)
    waits = wanted["contended_words"] + wanted["stalled_words"] > 0
    assert waits or wanted["tolerance"] == {"cycles": 0, "words": 0}
    assert wanted["tolerance"]["cycles"] in (0, 16)
    assert "engines" not in wanted or wanted["tolerance"]["cycles"]


def test_the_page_shows_these_programs():
    shown = re.findall(r"^```mesh\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.S | re.M)
    files = {name: (HERE / f"{name}.mesh").read_text(encoding="utf-8") for name in NAMES}
    assert sorted(shown) == sorted(files.values())


@pytest.mark.parametrize("name", NAMES)
def test_the_page_gives_these_clocks(name):
    """After a program the page says ``Clocks at the end: ..``, and what the batched engine says where it differs."""
    text = (HERE / f"{name}.mesh").read_text(encoding="utf-8")
    after = PAGE.read_text(encoding="utf-8").split(f"```mesh\n{text}```\n", 1)[1]
    wanted = expected(name)
    clocks = " ".join(str(c) for row in wanted["clocks"] for c in row)
    section = after.split("```mesh", 1)[0]
    said = re.findall(r"^Clocks at the end: `([\d ]+)`(?:; batched engine: `([\d ]+)`)?\.", section, re.M)
    batched = wanted.get("engines", {}).get("batched")
    also = " ".join(str(c) for row in batched["clocks"] for c in row) if batched else ""
    assert said == [(clocks, also)]


@pytest.mark.parametrize("name", NAMES)
def test_the_programs_are_printed_as_they_stand(name):
    text = (HERE / f"{name}.mesh").read_text(encoding="utf-8")
    assert parse_program(print_program(parse_program(text))) == parse_program(text)
