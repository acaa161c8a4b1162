"""Loops that are skipped over give the clocks and counts that running them gives."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshrt.engines.batched import fast_forward
from meshrt.program.check import check_program
from meshrt.program.parser import parse_program
from meshrt.run import RunOptions, run_program
from meshrt.target import load_target
from tests.meshrt.engines.same_time import same_time

TINY = load_target("tiny")
PLAIN = RunOptions(timing_only=True, fast_forward=False)
FORWARD = RunOptions(timing_only=True)


@pytest.fixture
def skipped(monkeypatch):
    """Rounds that runs without values skipped since the test began."""
    rounds: list[int] = []
    skip = fast_forward.FastForward.skip

    def noted(self, loop, found):
        if self._recorder is None:
            rounds.append(found.periods * found.rounds[loop])
        skip(self, loop, found)

    monkeypatch.setattr(fast_forward.FastForward, "skip", noted)
    return rounds


def row(width: int, body: str, more: str = "", buffers: str = "") -> str:
    return f"""mesh 1

region main {width} x 1 at (0, 0) {{
buffer (0:{width}, 0) a: f32[8] @ 16384
buffer (0:{width}, 0) b: f32[8] @ 16416
buffer (0:{width}, 0) c: f32[64] @ 16448
{buffers}
{ring_routes(width)}
{more}
code (0:{width}, 0) main {{
{body}
}}
}}
"""


def ring_routes(width: int) -> str:
    """Colors 0 and 1 lead from each PE to its eastern neighbour, color 2 from the last back to the first."""
    lines = []
    for x in range(width - 1):
        lines += [f"route ({x}, 0) color {x % 2}: RAMP -> E", f"route ({x + 1}, 0) color {x % 2}: W -> RAMP"]
    lines += [f"route ({width - 1}, 0) color 2: RAMP -> W", "route (0, 0) color 2: E -> RAMP"]
    lines += [f"route ({x}, 0) color 2: E -> W" for x in range(1, width - 1)]
    return "\n".join(lines)


SHIFT = """recv b, color=select(x == 0, 2, (x - 1) % 2), async=got
send a, color=select(x == W - 1, 2, x % 2), async=out
DELAY
wait handle=got
wait handle=out
rotate a, b"""


def ring(width: int, rounds: str, delay: str) -> str:
    body = f"for l in 0..{rounds} {{\n{SHIFT.replace('DELAY', delay).replace('W', str(width))}\n}}"
    return row(width, "fill a, value=1.0\nfill b, value=0.0\nfill c, value=0.0\n" + body)


def test_a_ring_of_equal_pes_is_skipped(skipped):
    same_time(parse_program(ring(6, "500", "add c, c, 1.0")), TINY)
    assert sum(skipped) > 480


def test_a_slow_pe_holds_the_ring_up_and_it_is_skipped_all_the_same(skipped):
    same_time(parse_program(ring(5, "500", "if x == 2 {\nadd c, c, 1.0\n}")), TINY)
    assert sum(skipped) > 400


def test_a_body_that_takes_longer_and_longer_is_run(skipped):
    same_time(parse_program(ring(4, "60", "add c[0](l + 1), c[0](l + 1), 1.0")), TINY)
    assert not skipped


def test_views_of_skipped_rounds_are_looked_at():
    text = ring(4, "200", "add c[l](8), c[l](8), 1.0")
    program = parse_program(text)
    said = []
    for options in (PLAIN, FORWARD):
        with pytest.raises(Exception, match="M0523") as caught:
            run_program(program, TINY, options=options)
        said.append(str(caught.value))
    assert said[0] == said[1]


def test_a_limit_on_cycles_is_met_in_the_same_place():
    program = parse_program(ring(4, "5000", "add c, c, 1.0"))
    full = run_program(program, TINY, options=PLAIN).report["cycles"]
    run_program(program, TINY, options=RunOptions(timing_only=True, max_cycles=full))
    with pytest.raises(Exception, match="M0530"):
        run_program(program, TINY, options=RunOptions(timing_only=True, max_cycles=full - 1))


def test_loops_in_loops(skipped):
    inner = ring(5, "40", "add c, c, 1.0").split("for l")[1].rsplit("}\n}\n", 1)[0]
    body = (
        f"fill a, value=1.0\nfill b, value=0.0\nfill c, value=0.0\nfor k in 0..30 {{\nfor l{inner}\nadd c, c, 1.0\n}}"
    )
    same_time(parse_program(row(5, body)), TINY)
    assert len(skipped) < 10 and sum(skipped) > 20


def test_the_rows_of_layers_are_kept(skipped):
    inner = ring(5, "40", "add c, c, 1.0").split("for l")[1].rsplit("}\n}\n", 1)[0]
    body = f"fill a, value=1.0\nfill b, value=0.0\nfill c, value=0.0\nfor k in 0..6 {{\nfor l{inner}\nadd c, c, 1.0\n}}"
    same_time(parse_program(row(5, body)), TINY, options=RunOptions(per_layer=True))
    assert len(skipped) == 6


def test_an_until_is_timed_for_the_rounds_that_are_given():
    body = "fill a, value=1.0\nuntil c[0](1) {\nadd a, a, 1.0\n}"
    program = parse_program(row(2, "fill c, value=0.0\n" + body))
    few, many = (
        run_program(program, TINY, options=RunOptions(timing_only=True, until_rounds=n)).report["cycles"]
        for n in (2, 12)
    )
    counted = program_of_rounds(10)
    once = program_of_rounds(0)
    assert many - few == 10 * TINY.branch_cycles + counted - once


@pytest.mark.parametrize(("last", "until_rounds"), [(-1, None), (39, 40)])
def test_a_counted_loop_with_a_flag_is_skipped_as_far_as_it_goes(skipped, last, until_rounds):
    text = ring(5, "60", f"fill c[0](1), value=1.0, where=l == {last}")
    text = text.replace("in 0..60 {", "in 0..60 until c[0](1) {")
    same_time(parse_program(text), TINY, options=RunOptions(until_rounds=until_rounds))
    assert sum(skipped) > (until_rounds or 60) // 2


def program_of_rounds(rounds: int) -> int:
    body = "fill c, value=0.0\nfill a, value=1.0\n" + "add a, a, 1.0\n" * rounds
    return run_program(parse_program(row(2, body)), TINY, options=PLAIN).report["cycles"]


@st.composite
def loops(draw) -> str:
    """Rings, chains and pairs in loops, of PEs that are not equally fast."""
    width = draw(st.integers(2, 6))
    rounds = draw(st.integers(8, 60))
    slow = draw(st.lists(st.integers(0, 24), min_size=width, max_size=width))
    delay = "\n".join(f"if x == {x} {{\nadd c[0]({n}), c[0]({n}), 1.0\n}}" for x, n in enumerate(slow) if n)
    words = draw(st.sampled_from([1, 3, 8]))
    kinds = {
        "ring": SHIFT.replace("DELAY", delay).replace(" a,", f" a[0]({words}),", 1).replace("rotate a, b", ""),
        "ring_blocking": f"send a[0]({words}), color=select(x == W - 1, 2, x % 2)\n{delay}\n"
        f"recv b[0]({words}), color=select(x == 0, 2, (x - 1) % 2)",
        "chain": f"{delay}\nif x == 0 {{\nsend a[0]({words}), color=0\n}} else if x == W - 1 {{\n"
        f"recv_add a[0]({words}), color=(x - 1) % 2\n}} else {{\n"
        f"stream_add a[0]({words}), in=(x - 1) % 2, out=x % 2\n}}",
        "pairs": f"{delay}\nif x < W - 1 {{\nsend a[0]({words}), color=x % 2, async=out\n}}\nif x > 0 {{\n"
        f"recv b[0]({words}), color=(x - 1) % 2\n}}\nif x < W - 1 {{\nwait handle=out\n}}",
    }
    kinds["ring"] = kinds["ring"].replace("recv b,", f"recv b[0]({words}),")
    chosen = draw(st.lists(st.sampled_from(sorted(kinds)), min_size=1, max_size=2))
    body = "\n".join(kinds[k] for k in chosen)
    stop = draw(st.sampled_from([str(rounds), f"{rounds} + x // W", f"select(x < W, {rounds}, 3)"]))
    text = f"for l in 0..{stop} {{\n{body}\n}}"
    if draw(st.booleans()):
        text = f"for k in 0..{draw(st.integers(1, 9))} {{\n{text}\nadd c[0](x + 1), c[0](x + 1), 1.0\n}}"
        text = text.replace("c[0](x + 1)", "c[0](8)")
    start = "fill a, value=1.0\nfill b, value=0.0\nfill c, value=0.0\n"
    return row(width, (start + text).replace("W", str(width)))


@given(loops())
@settings(max_examples=60, deadline=None, derandomize=True)
def test_skipping_changes_nothing(text):
    program = parse_program(text)
    check_program(program, TINY)
    same_time(program, TINY)
