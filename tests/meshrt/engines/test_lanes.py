"""Lanes give the clocks and counts of the records, whenever they are entered and left."""

from __future__ import annotations

from dataclasses import replace

import pytest

from meshrt.engines.batched.lanes import Lanes
from meshrt.program.check import check_program
from meshrt.program.parser import parse_program
from meshrt.target import load_target
from tests.meshrt.engines.same_time import same_time
from tests.meshrt.engines.test_fast_forward import row

TINY = load_target("tiny")
LAUNCH = """recv b, color=select(x == 0, 2, (x - 1) % 2), async=got
send a, color=select(x == 4, 2, x % 2), async=out
"""
WAIT = "wait handle=got\nwait handle=out\n"
#: Odd PEs send west to their neighbours, blocking.
WEST = [f"route ({x}, 0) color 3: RAMP -> W\nroute ({x - 1}, 0) color 3: E -> RAMP" for x in (1, 3)]
BLOCKING = "if x % 2 {\nsend c[0](4), color=3\n} else if x < 4 {\nrecv c[0](4), color=3\n}\n"
START = "fill a, value=1.0\nfill b, value=0.0\nfill c, value=0.0\n"


@pytest.fixture
def counted(monkeypatch):
    """How many sends went through the lanes, and how often they were left with moves under way."""
    counts = {"sends": 0, "left": 0}
    launch, leave = Lanes.launch, Lanes.leave

    def launched(self, call, *rest):
        done = launch(self, call, *rest)
        counts["sends"] += done and call.move.kind == 0
        return done

    def left(self, for_good=False):
        counts["left"] += self.running is not None and bool(self.running.waiting or self.running.ended)
        leave(self, for_good)

    monkeypatch.setattr(Lanes, "launch", launched)
    monkeypatch.setattr(Lanes, "leave", left)
    return counts


def run(body: str, more: str = "") -> None:
    program = parse_program(row(5, f"{START}for l in 0..3 {{\n{body}rotate a, b\n}}\n{BLOCKING}", more))
    check_program(program, TINY)
    same_time(program, TINY)


WEST_ROUTES = "\n".join(WEST)


def test_a_ring_runs_in_lanes(counted):
    run(f"{LAUNCH}add c, c, 1.0\n{WAIT}", WEST_ROUTES)
    assert counted == {"sends": 6, "left": 0}


@pytest.mark.parametrize("slow", ["x == 2", "x > 2", "x % 2 == 0"])
def test_some_pes_have_more_to_do(counted, slow):
    run(f"{LAUNCH}if {slow} {{\nadd c, c, 1.0\n}}\n{WAIT}", WEST_ROUTES)
    assert counted["sends"] == 6


def test_lanes_are_left_with_moves_that_have_ended(counted):
    run(f"{LAUNCH}{BLOCKING}{WAIT}", WEST_ROUTES)
    assert counted["sends"] and counted["left"]


def test_lanes_are_left_with_receives_that_wait(counted):
    receive, send = LAUNCH.splitlines()
    run(f"{receive}\n{BLOCKING}{send}\n{WAIT}", WEST_ROUTES)
    assert counted["left"]


def test_parts_of_a_set_wait_in_an_order_of_their_own(counted):
    orders = "if x < 3 {\nwait handle=got\nwait handle=out\n} else {\nwait handle=out\nwait handle=got\n}\n"
    run(f"{LAUNCH}{orders}", WEST_ROUTES)
    assert counted["sends"] and counted["left"]


def test_two_streams_on_one_link_are_not_for_the_lanes(counted):
    # Color 3 leads the same way as color 0 and 1, so that both messages want each link.
    routes = []
    for x in range(4):
        routes += [f"route ({x}, 0) color {3 + x % 2}: RAMP -> E", f"route ({x + 1}, 0) color {3 + x % 2}: W -> RAMP"]
    routes += ["route (4, 0) color 5: RAMP -> W", *(f"route ({x}, 0) color 5: E -> W" for x in range(1, 4))]
    routes += ["route (0, 0) color 5: E -> RAMP"]
    again = LAUNCH.replace("2,", "5,").replace("(x - 1) % 2", "3 + (x - 1) % 2").replace(", x % 2", ", 3 + x % 2")
    again = again.replace("got", "got2").replace("out", "out2").replace("recv b", "recv c[0](8)")
    body = f"{LAUNCH}{again}{WAIT}wait handle=got2\nwait handle=out2\n"
    program = parse_program(row(5, f"{START}for l in 0..3 {{\n{body}rotate a, b\n}}", "\n".join(routes)))
    check_program(program, TINY)
    same_time(program, TINY)
    assert counted["sends"] and counted["left"]


def test_messages_longer_than_their_way_wait_for_their_receivers(counted):
    body = f"if x == 2 {{\nadd c, c, 1.0\nadd c, c, 1.0\n}}\n{LAUNCH}{WAIT}"
    program = parse_program(row(5, f"{START}for l in 0..4 {{\n{body}rotate a, b\n}}"))
    found = same_time(program, replace(TINY, queue_words=1))
    assert found.report["routing"]["stalled_words"]
    assert counted["sends"] == 8
