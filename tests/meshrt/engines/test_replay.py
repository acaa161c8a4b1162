"""Loops whose time is skipped over have the values of every round all the same."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshrt.engines.batched import fast_forward, state
from meshrt.program.check import check_program
from meshrt.program.parser import parse_program
from meshrt.run import RunOptions, run_program
from meshrt.target import load_target
from tests.meshrt.engines.same_time import same_time
from tests.meshrt.engines.test_fast_forward import ring_routes

TINY = load_target("tiny")
W = 5
#: Neighbours of a ring: where a PE hears its western one, and where it sends to its eastern one.
HEARS, SENDS = "select(x == 0, 2, (x - 1) % 2)", f"select(x == {W} - 1, 2, x % 2)"
SHIFT = f"""recv b, color={HEARS}, async=got
send a, color={SENDS}, async=out
wait handle=got
wait handle=out"""

#: The eastern end answers the western one, which so cannot get ahead.
ANSWER = f"""
if x == {W} - 1 {{
send a[0](2), color=2
}}
if x == 0 {{
recv b[6](2), color=2
}}"""


def looped(body: str, rounds: str = "30", elements: int = 8) -> str:
    """PEs in a row that do the body so often and send their buffers to the host; table is written round by round."""
    width, size = W, 4 * elements
    return f"""mesh 1

region main {width} x 1 at (0, 0) {{
buffer (0:{width}, 0) a: f32[{elements}] @ 16384
buffer (0:{width}, 0) b: f32[{elements}] @ {16384 + size}
buffer (0:{width}, 0) half: f16[{elements}] @ {16384 + 2 * size}
buffer (0:{width}, 0) number: i32[{elements}] @ {16384 + 3 * size}
buffer (0:{width}, 0) table: f32[{32 * elements}] @ {16384 + 4 * size}
{ring_routes(width)}
port out half side S (0:{width}, 0) color 21: f16[{width}, {elements}] count {elements} at [x, e]
port out number side S (0:{width}, 0) color 22: i32[{width}, {elements}] count {elements} at [x, e]
port out table side S (0:{width}, 0) color 23: f32[{width}, {32 * elements}] count {32 * elements} at [x, e]
route (0:{width}, 0) color 21: RAMP -> S
route (0:{width}, 0) color 22: RAMP -> S
route (0:{width}, 0) color 23: RAMP -> S
code (0:{width}, 0) main {{
index a, value=x + i0
index b, value=3 * x - i0
copy half, a
index number, value=7 * x + i0
fill table, value=0.0
for l in 0..{rounds} {{
{body}
}}
copy table[{30 * elements}]({elements}), a
copy table[{31 * elements}]({elements}), b
send half, color=21
send number, color=22
send table, color=23
}}
}}
"""


@pytest.fixture
def replayed(monkeypatch):
    """Rounds whose values were computed without their time since the test began."""
    rounds: list[int] = []
    skip = fast_forward.FastForward.skip

    def noted(self, loop, found):
        if self._recorder is not None:
            rounds.append(found.periods * found.rounds[loop])
        skip(self, loop, found)

    monkeypatch.setattr(fast_forward.FastForward, "skip", noted)
    return rounds


def agree(body: str, *more: str, options: RunOptions | None = None):
    program = parse_program(looped(body, *more))
    check_program(program, TINY)
    return same_time(program, TINY, options=options)


BODIES = {
    "a ring whose buffers change places": f"{SHIFT}\nmul b, b, 0.75\nrotate a, b",
    "a ring that copies": f"{SHIFT}\nfma a, b, 0.5, a",
    "a chain that adds up": f"""if x == 0 {{
send a, color=0
}} else if x == {W} - 1 {{
recv_add a, color=(x - 1) % 2
}} else {{
stream_add a, in=(x - 1) % 2, out=x % 2
}}
mul a, a, 0.75
add a, a, 1.0"""
    + ANSWER,
    "the largest of f16": f"""if x > 0 {{
recv_max half, color=(x - 1) % 2
}}
if x < {W} - 1 {{
send half, color=x % 2
}}
sub half, half, 0.125"""
    + ANSWER,
    "integers": f"""if x == 0 {{
send number, color=0
}} else if x == {W} - 1 {{
recv_add number, color=(x - 1) % 2
}} else {{
stream_max number, in=(x - 1) % 2, out=x % 2
}}
add number, number, 1.0"""
    + ANSWER,
    "strides and halves": f"""if x < {W} - 1 {{
send a[1](3:2), color=x % 2
send b[0](2), color=x % 2
}}
if x > 0 {{
recv_add b[0](3:2), color=(x - 1) % 2
recv a[6](2), color=(x - 1) % 2
}}
mul a, a, 0.875"""
    + ANSWER,
    "a message in two parts": f"""if x < {W} - 1 {{
send a[0](6), color=x % 2
}}
if x > 0 {{
recv_add b[0](2), color=(x - 1) % 2
recv_max b[2](4), color=(x - 1) % 2
}}
mul a, a, 0.875
add a, a, b"""
    + ANSWER,
    "a stream that keeps what it passes on": f"""if x == 0 {{
send a, color=0
}} else if x == {W} - 1 {{
recv a, color=(x - 1) % 2
}} else {{
stream_copy a, in=(x - 1) % 2, out=x % 2
}}
add a, a, 1.0"""
    + ANSWER,
    "views that go on": f"""if x < {W} - 1 {{
send table[l * 8](8), color=x % 2, async=out
}}
if x > 0 {{
recv_add table[8 * l](8), color=(x - 1) % 2
}}
if x < {W} - 1 {{
wait handle=out
}}
fma a, a, 0.5, table[l * 8](8)
copy table[8 * min(l + 1, 29)](8), a"""
    + ANSWER,
    "rows that are far behind one another": f"""recv table[l * 8](8), color={HEARS}, async=got
send a, color={SENDS}, async=out
wait handle=got
wait handle=out
add a, a, table[l * 8](8)
mul a, a, 0.5""",
}


@pytest.mark.parametrize("name", BODIES)
@pytest.mark.parametrize("elements", [8, 40])
def test_values_of_skipped_rounds(name, elements, replayed):
    agree(BODIES[name].replace("(8)", f"({elements})").replace("* 8", f"* {elements}"), "30", elements)
    assert sum(replayed) > 10


def test_views_that_go_on_at_the_pace_of_the_pe_are_run(replayed):
    agree(
        f"recv table[l * (x + 1)](8), color={HEARS}, async=got\nsend a, color={SENDS}\nwait handle=got\nadd a, a, 1.0"
    )
    assert not replayed


def test_words_that_wait_at_the_head_are_run(replayed):
    """The western PE is a message ahead: at the head of the loop words are under way."""
    body = f"if x > 0 {{\nrecv b, color=(x - 1) % 2\n}}\nif x < {W} - 1 {{\nsend a, color=x % 2\n}}\nadd a, a, b"
    text = looped(body).replace("for l", "if x == 0 {\nsend b, color=0\n}\nfor l")
    text = text.replace("send half, color=21", "if x == 1 {\nrecv b, color=0\n}\nsend half, color=21")
    same_time(parse_program(text), TINY)
    assert not replayed


def test_pes_that_wait_for_the_end_are_no_hindrance(replayed):
    """A second row of PEs waits for what the first one has at the end."""
    text = looped(BODIES["a ring that copies"]).replace(f"{W} x 1 at", f"{W} x 2 at").replace("side S", "side N")
    text = text.replace("RAMP -> S", "RAMP -> N").replace("send half, color=21", "send a, color=3\nsend half, color=21")
    more = f"""buffer (0:{W}, 1) w: f32[8] @ 16384
route (0:{W}, 0) color 3: RAMP -> S
route (0:{W}, 1) color 3: N -> RAMP
code (0:{W}, 1) listeners {{
recv w, color=3
}}
code (0:{W}, 0) main"""
    same_time(parse_program(text.replace(f"code (0:{W}, 0) main", more)), TINY)
    assert sum(replayed) > 10


def test_a_loop_that_ends_on_a_value_is_run(replayed):
    body = "add a, a, 1.0\nfill number[0](1), value=1.0, where=l == 19"
    text = looped(body).replace("for l in 0..30", "for l in 0..30 until number[0](1)")
    text = text.replace("index number, value=7 * x + i0", "fill number, value=0.0")
    same_time(parse_program(text), TINY, options=RunOptions(until_rounds=20))
    assert not replayed


def test_loops_in_loops(replayed):
    inner = f"for k in 0..9 {{\n{SHIFT}\nfma a, b, 0.5, a\nadd table[l * 8](8), table[l * 8](8), a\n}}\nmul a, a, 0.125"
    agree(inner)
    assert sum(replayed) > 10


@pytest.mark.parametrize(
    "options", [RunOptions(events=True), RunOptions(per_layer=True), RunOptions(max_cycles=9999999)]
)
def test_under_all_options(options, replayed):
    agree(f"for k in 0..24 {{\n{BODIES['a ring that copies']}\nmul a, a, 0.5\n}}", options=options)
    assert replayed


def test_a_log_that_is_full_is_no_harm(monkeypatch, replayed):
    """What does not fit is run."""
    monkeypatch.setattr(state, "_LOGGED_PER_PE", 1)
    agree(BODIES["a ring that copies"])
    assert not replayed


def test_watched_runs_skip_nothing(replayed):
    run_program(parse_program(looped(BODIES["a ring that copies"])), TINY, options=RunOptions(checked=True))
    assert not replayed


def test_what_goes_wrong_in_a_skipped_round_is_said():
    text = looped("add a, a, table[l * 9](8)")
    said = []
    for fast_forward_on in (False, True):
        with pytest.raises(Exception, match="M0523") as caught:
            run_program(parse_program(text), TINY, options=replace(RunOptions(), fast_forward=fast_forward_on))
        said.append(str(caught.value))
    assert said[0] == said[1]


@given(
    st.lists(st.sampled_from(sorted(BODIES)), min_size=1, max_size=3),
    st.lists(st.integers(0, 8), min_size=W, max_size=W),
)
@settings(max_examples=25, deadline=None, derandomize=True)
def test_bodies_one_after_the_other_on_uneven_pes(names, slow):
    delay = "\n".join(f"if x == {x} {{\nadd b[0]({n}), b[0]({n}), 1.0\n}}" for x, n in enumerate(slow) if n)
    program = parse_program(looped("\n".join([delay, *(BODIES[name] for name in names)]), "24"))
    check_program(program, TINY)
    same_time(program, TINY)
