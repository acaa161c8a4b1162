"""Regions that touch share the links between them: values and cycles of programs of two regions on both engines."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshrt.diagnostics import MeshError
from meshrt.engines.batched import fast_forward
from meshrt.program.check import check_program
from meshrt.program.fabric import linked
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
    values = {"v": np.arange(48, dtype=np.float32).reshape(6, 8) * np.float32(1e-30)}
    same_time(sound(ring([3, 3], "400", slow)), TINY, values)
    assert sum(skipped) > 300


@pytest.mark.parametrize("between", ["", "mul other, own[0](4), 2.0"])
def test_rounds_of_handing_over_are_skipped(skipped, between):
    program = sound(hand_over(3, 2, 2, "200", between))
    same_time(program, TINY, {"own": vectors(3, 2, 2)})
    assert sum(skipped) > 100


def test_linked_regions_are_given_one_value_of_a_scalar():
    text = hand_over(1, 1, 1).replace("  buffer (0:1, 0:1) own", "  scalar length from 1 to 6\n  buffer (0:1, 0:1) own")
    given = {"own": vectors(1, 1, 1)}
    assert run_program(sound(text), TINY, given, scalars={"a": {"length": 3}, "b": {"length": 3}}).report["cycles"]
    with pytest.raises(MeshError) as caught:
        run_program(sound(text), TINY, given, scalars={"a": {"length": 3}, "b": {"length": 2}})
    assert str(caught.value) == (
        "error[M0516]: scalar length is 3 in region a and 2 in region b; words go between the two, so they share it"
    )
    apart = parse_program(text.replace("at (1, 0)", "at (2, 0)"))
    assert linked(apart.regions) == [[0], [1]]


def test_causes_of_cycles_are_counted_alike_over_a_border():
    """Counts by cause of both engines, and of the batched one with and without skipping."""
    values = {"v": np.zeros((6, 8), np.float32)}
    same_time(sound(ring([2, 4], "60")), TINY, values, options=RunOptions(events=True))


@st.composite
def lines_of_regions(draw) -> str:
    """Two or three regions in a row, each with loops of its own and words to its neighbours, not equally fast."""
    widths = draw(st.lists(st.integers(1, 3), min_size=2, max_size=3))
    rounds = draw(st.integers(8, 60))
    starts = [sum(widths[:i]) for i in range(len(widths))]
    columns = sum(widths)
    streams = draw(st.sampled_from(["chain", "pairs", "ring"]))
    before = [draw(st.sampled_from([0, 0, 3, 40])) for _ in widths]
    after = [draw(st.sampled_from([0, 0, 3, 40])) for _ in widths]
    words = draw(st.sampled_from([1, 3, 8]))
    regions = []
    for number, (width, first) in enumerate(zip(widths, starts, strict=True)):
        slow = draw(st.integers(0, 24))
        at, last, view = f"(x + {first})", columns - 1, f"[0]({words})"
        routes = []
        for x in range(width):
            column = first + x
            if column < last:
                routes.append(f"route ({x}, 0) color {column % 2}: RAMP -> E")
            if column > 0:
                routes.append(f"route ({x}, 0) color {(column - 1) % 2}: W -> RAMP")
            ways = {0: "E -> RAMP", last: "RAMP -> W"}
            routes.append(f"route ({x}, 0) color 2: {ways.get(column, 'E -> W')}")
        out, came = f"{at} % 2", f"({at} + 1) % 2"
        bodies = {
            "chain": f"if {at} == 0 {{\nsend a{view}, color=0\n}} else if {at} == {last} {{\n"
            f"recv_add a{view}, color={came}\n}} else {{\nstream_add a{view}, in={came}, out={out}\n}}",
            "pairs": f"if {at} < {last} {{\nsend a{view}, color={out}, async=out\n}}\nif {at} > 0 {{\n"
            f"recv b{view}, color={came}\n}}\nif {at} < {last} {{\nwait handle=out\n}}",
            "ring": f"recv b{view}, color=select({at} == 0, 2, {came}), async=got\n"
            f"send a{view}, color=select({at} == {last}, 2, {out}), async=out\nDELAY\nwait handle=got\nwait handle=out",
        }
        delay = f"add c[0]({slow}), c[0]({slow}), 1.0" if slow else ""
        body = bodies[streams].replace("DELAY", delay) if streams == "ring" else f"{delay}\n{bodies[streams]}"
        own = "for k in 0..N {\nadd c, c, 1.0\n}"
        regions.append(
            f"region r{number} {width} x 1 at ({first}, 0) {{\n"
            f"buffer (0:{width}, 0) a: f32[8] @ 16384\nbuffer (0:{width}, 0) b: f32[8] @ 16416\n"
            f"buffer (0:{width}, 0) c: f32[64] @ 16448\n" + "\n".join(routes) + f"\ncode (0:{width}, 0) main {{\n"
            "fill a, value=1.0\nfill b, value=0.0\nfill c, value=0.0\n"
            + own.replace("N", str(before[number]))
            + f"\nfor l in 0..{rounds} {{\n{body}\n}}\n"
            + own.replace("N", str(after[number]))
            + "\n}\n}\n"
        )
    return "mesh 1\n" + "\n".join(regions)


@given(lines_of_regions())
@settings(max_examples=60, deadline=None, derandomize=True)
def test_skipping_changes_nothing_where_regions_are_linked(text):
    same_time(sound(text), TINY)
