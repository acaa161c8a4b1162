"""Bad programs beside what ``prove`` says of them, and what the runtime says when they are run all the same.

``rejected/`` holds programs that fail in every timing, so that a run ends with the same code; ``timing/`` those that
the batched engine happens to run well, or that fail in another way there, and that another timing would break.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from meshrt.diagnostics import CATALOG, MeshError
from meshrt.diagnostics.source_text import SourceText
from meshrt.program.check import check_program
from meshrt.program.parser import parse_program
from meshrt.program.proofs import prove
from meshrt.run import RunOptions, run_program
from meshrt.target import load_target

HERE = Path(__file__).parent
TESTS = HERE.parents[1]
TARGET = load_target(TESTS / "machine" / "machine.toml")
WEIGHTS = {"a": np.arange(24, dtype=np.float32)}
REJECTED = sorted((HERE / "rejected").glob("*.mesh"))
TIMING = sorted((HERE / "timing").glob("*.mesh"))
#: What the runtime tells of these has to do with values or with the run, not with what is proven.
_OF_VALUES = (
    "M0500",
    "M0502",
    "M0504",
    "M0505",
    "M0506",
    "M0507",
    "M0508",
    "M0509",
    "M0510",
    "M0511",
    "M0512",
    "M0518",
)
RUN = [
    path
    for path in sorted((TESTS / "engines" / "diagnostics").glob("*.mesh"))
    if path.with_suffix(".err").read_text(encoding="utf-8")[6:11] in _OF_VALUES
]


def program_of(path: Path):
    text = path.read_text(encoding="utf-8")
    source = SourceText(text, path.name)
    program = parse_program(text, path.name)
    check_program(program, TARGET, source)
    return program, source


@pytest.mark.parametrize("path", REJECTED + TIMING, ids=lambda path: path.stem)
def test_a_bad_program_gets_its_text(path):
    program, source = program_of(path)
    (found,) = prove(program, TARGET, source).findings
    assert found.code in CATALOG
    assert found.render() + "\n" == path.with_suffix(".err").read_text(encoding="utf-8")


@pytest.mark.parametrize("path", REJECTED, ids=lambda path: path.stem)
def test_a_run_stops_with_the_same_code(path):
    program, source = program_of(path)
    (found,) = prove(program, TARGET, source).findings
    scalars = {r.name: {s.name: s.high for s in r.scalars} for r in program.regions}
    with pytest.raises(MeshError) as caught:
        run_program(program, TARGET, WEIGHTS, scalars=scalars, options=RunOptions(checked=True))
    assert caught.value.diagnostic.code == found.code


@pytest.mark.parametrize("path", RUN, ids=lambda path: path.stem)
def test_what_fails_in_a_run_is_found_before_it(path):
    program, source = program_of(path)
    (found,) = prove(program, TARGET, source).findings
    assert path.with_suffix(".err").read_text(encoding="utf-8").startswith(f"error[{found.code}]")


def test_every_golden_has_its_program():
    for folder in ("rejected", "timing"):
        names = [sorted(p.stem for p in (HERE / folder).glob(f"*.{kind}")) for kind in ("mesh", "err")]
        assert names[0] == names[1]
