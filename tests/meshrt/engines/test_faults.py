"""Faults injected into runs: each is noticed, with place and time, or changes nothing.

``faults/*.toml`` names a program of docs/machine.md and a fault; the text it gets stands beside it.
"""

from __future__ import annotations

import tomllib
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from meshc.kernels.builder import MeshBuffer, MeshBuilder
from meshc.kernels.chain import chain_all_reduce, whole_axis
from meshc.kernels.collectives import broadcast
from meshc.kernels.collectives.line import whole
from meshc.kernels.collectives.reductions import REDUCTIONS
from meshc.standalone.collective import collective_program
from meshrt.diagnostics import CATALOG, MeshError
from meshrt.engines import faults
from meshrt.engines.faults import LINK_SIDES, DamagedWord, DeafLink, Fault, LostWord, ShortSram, StoppedPe, StuckLink
from meshrt.program.model import Program
from meshrt.program.parser import parse_program
from meshrt.run import RunOptions, run_program
from meshrt.target import load_target

HERE = Path(__file__).parent
GOLDENS = HERE / "faults"
MACHINE = HERE.parent / "machine"
TARGET = load_target(MACHINE / "machine.toml")
NAMES = sorted(path.stem for path in GOLDENS.glob("*.toml"))
#: More cycles than any of these runs takes.
BOUND = 20_000


def given_of(name: str) -> tuple[str, dict[str, np.ndarray], dict[str, np.ndarray]]:
    """The text of a program of docs/machine.md, its weights and its inputs."""
    expected = tomllib.loads((MACHINE / f"{name}.toml").read_text(encoding="utf-8"))
    tensors = [
        {n: np.array(v, np.float32) for n, v in expected.get(kind, {}).items()} for kind in ("weights", "inputs")
    ]
    return (MACHINE / f"{name}.mesh").read_text(encoding="utf-8"), tensors[0], tensors[1]


def failure(name: str, checked: bool = True) -> MeshError:
    case = tomllib.loads((GOLDENS / f"{name}.toml").read_text(encoding="utf-8"))
    text, weights, inputs = given_of(case.pop("program"))
    ((kind, fields),) = case.items()
    options = RunOptions("reference", checked=checked, max_cycles=BOUND, faults=(getattr(faults, kind)(**fields),))
    with pytest.raises(MeshError) as caught:
        run_program(parse_program(text), TARGET, weights, inputs, options=options, text=text.splitlines())
    return caught.value


@pytest.mark.parametrize("name", NAMES)
def test_a_fault_gets_its_text(name):
    found = failure(name)
    assert found.diagnostic.code in CATALOG
    assert found.diagnostic.render() + "\n" == (GOLDENS / f"{name}.err").read_text(encoding="utf-8")


def test_every_golden_has_its_fault():
    assert sorted(path.stem for path in GOLDENS.glob("*.err")) == NAMES


@pytest.mark.parametrize("name", ["stuck_link", "stuck_ramp", "stopped_pe", "deaf_link", "short_sram"])
def test_parts_that_break_are_noticed_without_checking_too(name):
    assert failure(name, checked=False).diagnostic.code == failure(name).diagnostic.code


def test_a_damaged_word_is_silent_without_checking():
    """What ``--checked`` is for."""
    text, weights, inputs = given_of("stream_through")
    program = parse_program(text)
    fault = DamagedWord(0, 0, "E", bit=30)
    plain = run_program(program, TARGET, weights, inputs, options=RunOptions("reference"))
    damaged = run_program(program, TARGET, weights, inputs, options=RunOptions("reference", faults=(fault,)))
    assert damaged.outputs["a"].tolist() != plain.outputs["a"].tolist()
    assert damaged.clocks.tolist() == plain.clocks.tolist()


def test_the_batched_engine_injects_none():
    text, weights, inputs = given_of("chain")
    with pytest.raises(MeshError) as caught:
        run_program(parse_program(text), TARGET, weights, inputs, options=RunOptions(faults=(StoppedPe(0, 0),)))
    assert caught.value.diagnostic.code == "M0541"


def test_faults_that_come_too_late_change_nothing():
    text, weights, inputs = given_of("chain")
    program = parse_program(text)
    late = tuple(kind(1, 0, "E", cycle=1000) for kind in (StuckLink, LostWord, DamagedWord, DeafLink))
    late += (StoppedPe(1, 0, cycle=1000), ShortSram(1, 0, 0, cycle=1000))
    runs = [
        run_program(program, TARGET, weights, inputs, options=RunOptions("reference", checked=True, faults=given))
        for given in ((), late)
    ]
    assert runs[0].outputs["a"].tolist() == runs[1].outputs["a"].tolist()
    assert runs[0].report == runs[1].report


# Any single fault, anywhere, at any time.


def _all_reduce(builder: MeshBuilder, data: MeshBuffer) -> None:
    chain_all_reduce(builder, whole_axis(builder, "x"), data, "add")
    chain_all_reduce(builder, whole_axis(builder, "y"), data, "max")


def _from_the_middle(builder: MeshBuilder, data: MeshBuffer) -> None:
    broadcast.emit_rectangle(builder, builder.everywhere, (1, 1), data)


#: Programs by name: width, height, what runs.
SUBJECTS = {
    **{
        name: (9 if name == "reduce.two_phase" else 8, 1, lambda b, d, r=r: r.emit(b, whole(b, "x"), 0, d, "add"))
        for name, r in REDUCTIONS.items()
    },
    "all_reduce": (3, 4, _all_reduce),
    "broadcast": (4, 3, _from_the_middle),
}


@cache
def subject(name: str, elements: int, dtype: str) -> tuple[Program, dict[str, np.ndarray], np.ndarray, int]:
    """A program, its data, what comes out of an undisturbed run, and how long that takes."""
    width, height, append = SUBJECTS[name]
    program = collective_program(width, height, TARGET, append, elements, dtype)
    data = {"data": np.random.default_rng(elements).integers(-9, 10, (height, width, elements)).astype(np.float32)}
    result = run_program(program, TARGET, data, options=RunOptions("reference", checked=True))
    return program, data, result.outputs["result"], int(result.clocks.max())


@st.composite
def any_fault(draw: st.DrawFn, width: int, height: int, cycles: int) -> Fault:
    x, y, cycle = draw(st.integers(0, width - 1)), draw(st.integers(0, height - 1)), draw(st.integers(0, cycles))
    kind = draw(st.sampled_from(("link", "word", "PE", "SRAM")))
    if kind == "PE":
        return StoppedPe(x, y, cycle)
    if kind == "SRAM":
        return ShortSram(x, y, draw(st.integers(4000, 9000)), cycle)
    side = draw(st.sampled_from(LINK_SIDES))
    if kind == "word" and draw(st.booleans()):
        return DamagedWord(x, y, side, cycle, draw(st.integers(0, 31)))
    return draw(st.sampled_from((StuckLink, DeafLink) if kind == "link" else (LostWord,)))(x, y, side, cycle)


@settings(max_examples=300, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(st.data(), st.sampled_from(sorted(SUBJECTS)), st.sampled_from([1, 6, 13]), st.sampled_from(["f32", "f16"]))
def test_any_fault_is_noticed_or_changes_nothing(draws, name, elements, dtype):
    program, data, wanted, cycles = subject(name, elements, dtype)
    region = program.regions[0]
    fault = draws.draw(any_fault(region.width, region.height, cycles))
    options = RunOptions("reference", checked=True, max_cycles=BOUND, faults=(fault,))
    try:
        found = run_program(program, TARGET, data, options=options)
    except MeshError as error:
        assert error.diagnostic.code in CATALOG
        assert error.diagnostic.code != "M0530", "a run that does not end"
    else:
        assert found.outputs["result"].tobytes() == wanted.tobytes()
