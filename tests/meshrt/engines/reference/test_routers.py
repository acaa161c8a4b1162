"""Rules of the routers that take more than a worked example: many words, many streams, and what is counted of them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from meshrt.diagnostics import MeshError
from meshrt.program.parser import parse_program
from meshrt.run import RunOptions, RunResult, run_program
from tests.meshrt.machine.test_machine_rules import TARGET

REFERENCE = RunOptions(engine="reference")
#: Two streams of 40 words share the link between the PEs; a third goes the other way.
SHARED = """mesh 1
region main 2 x 1 at (0, 0) {
  buffer (0:2, 0) a: f32[40] @ 1024
  buffer (0:2, 0) b: f32[40] @ 1184
  buffer (0, 0) c: f32[40] @ 1344
  place (0:2, 0) a[i: 0..40] = "a"[x, i]
  place (0, 0) b[i: 0..40] = "b"[i]
  route (0, 0) color 0: RAMP -> E
  route (1, 0) color 0: W -> RAMP
  route (0, 0) color 1: RAMP -> E
  route (1, 0) color 1: W -> RAMP
  route (1, 0) color 2: RAMP -> W
  route (0, 0) color 2: E -> RAMP
  route (0:2, 0) color 21: RAMP -> S
  port out a side S (0:2, 0) color 21: f32[2, 40] count 40 at [x, e]
  code (0, 0) west {
    send a, color=0, async=first
    send b, color=1, async=second
    recv c, color=2, async=third
    wait handle=first
    wait handle=second
    wait handle=third
    send c, color=21
  }
  code (1, 0) east {
    send a, color=2, async=out
    wait handle=out
    recv_add a, color=0, async=sum
    recv b, color=1, async=second
    wait handle=sum
    wait handle=second
    add a, a, b
    send a, color=21
  }
}
"""


def run(text: str, weights: dict[str, np.ndarray], **options) -> RunResult:
    chosen = RunOptions(engine="reference", **options)
    return run_program(parse_program(text), TARGET, weights, options=chosen)


def numbers(*shape: int) -> np.ndarray:
    return np.random.default_rng(7).standard_normal(shape).astype(np.float32)


def test_streams_that_share_a_link_bring_their_values():
    a, b = numbers(2, 40), numbers(40)
    found = run(SHARED, {"a": a, "b": b})
    assert found.outputs["a"].tolist() == [a[1].tolist(), ((a[1] + a[0]) + b).tolist()]
    assert found.report["routing"]["contended_words"] > 0
    assert found.report["routing"]["max_link_words"] == 80


def test_a_run_is_the_same_again():
    weights = {"a": numbers(2, 40), "b": numbers(40)}
    first, second = run(SHARED, weights), run(SHARED, weights)
    assert first.clocks.tolist() == second.clocks.tolist()
    assert first.outputs["a"].tobytes() == second.outputs["a"].tobytes()
    assert first.report == second.report


def test_checking_changes_neither_values_nor_cycles():
    weights = {"a": numbers(2, 40), "b": numbers(40)}
    plain, checked = run(SHARED, weights), run(SHARED, weights, checked=True)
    assert plain.clocks.tolist() == checked.clocks.tolist()
    assert plain.outputs["a"].tobytes() == checked.outputs["a"].tobytes()


def test_a_program_whose_pes_all_wait_stops_at_max_cycles():
    with pytest.raises(MeshError, match="M0530"):
        run(SHARED, {"a": numbers(2, 40), "b": numbers(40)}, max_cycles=30)


def test_a_target_with_other_words():
    target = replace(TARGET, word_bytes=8)
    with pytest.raises(MeshError, match="M0531"):
        run_program(parse_program(SHARED), target, {"a": numbers(2, 40), "b": numbers(40)}, options=REFERENCE)


def test_words_that_arrive_late_at_the_port_are_counted():
    """The host could send a word in every cycle; the PE takes its first in cycle 4 and has four places."""
    text = (
        SHARED.split("{")[0]
        + """{
  buffer (0, 0) a: f32[12] @ 1024
  route (0, 0) color 21: W -> RAMP
  port in a side W (0, 0) color 21: f32[12] count 12 at [e]
  code (0, 0) main {
    recv a, color=21
  }
}
"""
    )
    options = RunOptions(engine="reference")
    found = run_program(parse_program(text), TARGET, {}, {"a": np.ones(12, np.float32)}, options=options)
    assert found.report["host"]["words_in"] == 12
    assert found.clocks.tolist() == [16, 0]
    assert found.report["routing"]["stalled_words"] == 12 - 4
