"""Regions that touch share the links between them: values and cycles of programs of two regions on both engines."""

from __future__ import annotations

import numpy as np
import pytest

from meshrt.engines.batched import fast_forward
from meshrt.program.check import check_program
from meshrt.program.model import Program
from meshrt.program.parser import parse_program
from meshrt.run import RunOptions, RunResult, run_program
from meshrt.target import load_target
from tests.meshrt.engines.same_time import same_time
from tests.meshrt.engines.two_regions import hand_over, handed, ring, vectors

TINY = load_target("tiny")


@pytest.fixture
def skipped(monkeypatch):
    """Rounds that were skipped since the test began."""
    rounds: list[int] = []
    skip = fast_forward.FastForward.skip

    def noted(self, loop, found):
        rounds.append(found.periods * found.rounds[loop])
        skip(self, loop, found)

    monkeypatch.setattr(fast_forward.FastForward, "skip", noted)
    return rounds


def sound(text: str) -> Program:
    program = parse_program(text)
    check_program(program, TINY)
    return program


def both(program: Program, weights: dict[str, np.ndarray]) -> RunResult:
    """Runs on both engines, plain and checked: the same values, clocks and counts; gives one of them."""
    runs = [
        run_program(program, TINY, weights, options=RunOptions(engine=engine, checked=checked))
        for engine in ("reference", "batched")
        for checked in (False, True)
    ]
    first = runs[0]
    assert first.report["routing"]["contended_words"] == 0
    for other in runs[1:]:
        assert {n: v.tobytes() for n, v in other.outputs.items()} == {n: v.tobytes() for n, v in first.outputs.items()}
        assert other.clocks.tolist() == first.clocks.tolist()
        for key in ("colors_peak", "route_writes", "max_link_words", "max_link"):
            assert other.report["routing"][key] == first.report["routing"][key]
        for key in ("critical_hops", "critical_stages"):
            assert other.report["latency"][key] == first.report["latency"][key]
    return first


@pytest.mark.parametrize(("width", "height", "entries"), [(1, 1, 1), (2, 1, 3), (3, 2, 2), (4, 3, 5)])
def test_vectors_handed_over_the_border(width, height, entries):
    program = sound(hand_over(width, height, entries))
    given = {"own": vectors(width, height, entries)}
    result = both(program, given)
    assert np.array_equal(result.outputs["own"], handed(width, height, entries))
    same_time(program, TINY, given)


def test_the_border_costs_a_hop_as_any_other_link():
    """The same PEs as one region: the same values, clocks and critical path."""
    values = {"v": np.arange(48, dtype=np.float32).reshape(6, 8)}
    apart = both(sound(ring([2, 4], "7")), values)
    together = both(sound(ring([6], "7")), values)
    assert apart.clocks.tolist() == together.clocks.tolist()
    assert apart.report["latency"] == together.report["latency"]
    assert {n: v.tolist() for n, v in apart.outputs.items()} == {n: v.tolist() for n, v in together.outputs.items()}


def test_the_busiest_link_says_of_which_region_it_is():
    result = run_program(sound(hand_over(2, 1, 3)), TINY, {"own": vectors(2, 1, 3)})
    assert result.report["routing"]["max_link"] == "1,0 E of a"
    assert result.report["routing"]["max_link_words"] == 2 * 3 * 4


@pytest.mark.parametrize("slow", ["", "if x == 1 {\nmul z, v, 0.5\n}"])
def test_a_ring_through_both_regions_is_skipped(skipped, slow):
    values = {"v": np.zeros((6, 8), np.float32)}
    same_time(sound(ring([3, 3], "400", slow)), TINY, values)
    assert sum(skipped) > 300


@pytest.mark.parametrize("between", ["", "mul other, own[0](4), 2.0"])
def test_rounds_of_handing_over_are_skipped(skipped, between):
    program = sound(hand_over(3, 2, 2, "200", between))
    same_time(program, TINY, {"own": vectors(3, 2, 2)})
    assert sum(skipped) > 100
