"""Every program that fails while it runs beside the diagnostic it gets (``diagnostics/*.mesh`` and ``*.err``).

All of them pass the checker: what it can find before the run is tested in tests/meshrt/program.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from meshrt.diagnostics import CATALOG, MeshError
from meshrt.diagnostics.source_text import SourceText
from meshrt.exit_status import MAX_CYCLES, STATUS_OF_CODE
from meshrt.program.check import check_program
from meshrt.program.parser import parse_program
from meshrt.run import RunOptions, run_program
from meshrt.target import load_target

HERE = Path(__file__).parent / "diagnostics"
NAMES = sorted(path.stem for path in HERE.glob("*.mesh"))
TARGET = load_target(HERE.parents[1] / "machine" / "machine.toml")
WEIGHTS = {"a": np.arange(24, dtype=np.float32)}
CHECKED = RunOptions(checked=True)
OPTIONS = {
    "max_cycles": RunOptions(max_cycles=500),
    "held_buffer_read": CHECKED,
    "held_buffer_written": CHECKED,
}


#: What an engine says in words of its own, beside the text of the batched engine.
ENGINES = ("batched", "reference")


def expected(name: str, engine: str) -> str:
    own = HERE / f"{name}.{engine}.err"
    return (own if own.exists() else HERE / f"{name}.err").read_text(encoding="utf-8")


def failure(name: str, engine: str = "batched") -> MeshError:
    text = (HERE / f"{name}.mesh").read_text(encoding="utf-8")
    program = parse_program(text, f"{name}.mesh")
    check_program(program, TARGET, SourceText(text, f"{name}.mesh"))
    options = replace(OPTIONS.get(name, RunOptions()), engine=engine)
    with pytest.raises(MeshError) as caught:
        run_program(program, TARGET, WEIGHTS, options=options, text=text.splitlines())
    return caught.value


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", NAMES)
def test_a_program_that_fails_gets_its_text(name, engine):
    found = failure(name, engine)
    assert found.diagnostic.code in CATALOG
    assert found.diagnostic.render() + "\n" == expected(name, engine)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", NAMES)
def test_the_text_is_the_same_again(name, engine):
    assert str(failure(name, engine)) == str(failure(name, engine))


@pytest.mark.parametrize("name", NAMES)
def test_engines_agree_on_the_code(name):
    assert expected(name, "reference").split("]")[0] == expected(name, "batched").split("]")[0]


def test_a_deadlock_names_rectangles_color_and_line():
    said = str(failure("deadlock_missing_send"))
    assert "(1:4, 0:2)" in said and "color 0" in said and "line 10: recv a, color=0" in said


def test_too_many_cycles_have_an_exit_status_of_their_own():
    assert STATUS_OF_CODE[failure("max_cycles").diagnostic.code] == MAX_CYCLES == 3


def test_every_golden_has_its_program():
    assert sorted({path.name.split(".")[0] for path in HERE.glob("*.err")}) == NAMES
