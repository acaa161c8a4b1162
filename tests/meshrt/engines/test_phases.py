"""Phases of a run: where each ends on either engine, what belongs to it, and that they come to the whole run."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from meshrt.program.model import For, Program
from meshrt.program.parser import parse_program
from meshrt.program.phases import Phases
from meshrt.report_phase_table import phase_table
from meshrt.report_schema import check_report
from meshrt.run import RunOptions, run_program
from meshrt.target import load_target
from tests.meshrt.engines.same_time import same_time

TINY = load_target("tiny")
NAMES = ("work", "pass", "work again")
#: PE 0 works, then its words go east; the others have nothing to do until they come, and go on to work.
TEXT = """mesh 1

op 0 "multiply" "model.py:1" "work"
op 1 "pass on" "" "pass"
op 2 "multiply" "model.py:2" "work again"

region main 3 x 1 at (0, 0) {
  buffer (0:3, 0) a: f32[64] @ 2048
  route (0, 0) color 0: RAMP -> E
  route (1, 0) color 0: W -> RAMP
  route (1, 0) color 1: RAMP -> E
  route (2, 0) color 1: W -> RAMP
  code (0:3, 0) main {
    for i in 0..10 {
      if x == 0 {
        op 0 {
          mul a, a, a
        }
      }
    }
    if x == 0 {
      op 1 {
        send a, color=0
      }
    } else if x == 1 {
      op 1 {
        recv a, color=0
        send a, color=1
      }
    } else {
      op 1 {
        recv a, color=1
      }
    }
    for i in 0..4 {
      op 2 {
        mul a, a, a
      }
    }
  }
}
"""


@pytest.fixture(scope="module")
def program() -> Program:
    return parse_program(TEXT)


@pytest.mark.parametrize("engine", ["batched", "reference"])
def test_phases_end_when_the_last_pe_has_left_them(program, engine):
    report = run_program(program, TINY, options=RunOptions(engine=engine)).report
    check_report(report)
    work, on, again = report["phases"]
    assert [phase["name"] for phase in report["phases"]] == list(NAMES)
    assert sum(phase["cycles"] for phase in report["phases"]) == report["cycles"]
    # Ten products of 64 elements by one PE of three, and nothing travels.
    rounds = 10 * (TINY.loop_cycles + TINY.branch_cycles) + TINY.issue_cycles
    issue = TINY.issue_cycles + TINY.vector_setup_cycles + TINY.vector_issue_cycles
    each = issue + 64 / TINY.add_elements_per_cycle["f32"]
    assert work["cycles"] == rounds + 10 * each
    assert work["latency"] == {"critical_hops": 0, "critical_stages": 0, "wait_fraction": 0.0}
    assert work["parallelism"]["busy_fraction"] == pytest.approx((10 * each + 3 * rounds) / (3 * work["cycles"]))
    # Two sends, one after the other: PE 2 waits for the first, and nobody for the work before.
    assert on["latency"]["critical_hops"] == 2 and on["latency"]["critical_stages"] == 2
    assert on["routing"]["words"] == 128 and on["routing"]["mean_link_utilization"] == 128 / (4 * on["cycles"])
    assert on["latency"]["wait_fraction"] == pytest.approx(1 / 6, abs=0.01)
    # Every PE works as soon as it can, so all that is left is the work of the last one.
    assert again["cycles"] == 4 * (TINY.loop_cycles + each) + TINY.issue_cycles
    assert again["parallelism"]["busy_fraction"] == pytest.approx(1.0)
    assert again["latency"]["wait_fraction"] == 0.0
    for phase in report["phases"]:
        assert phase["regions"] == ["main"] and phase["memory"]["peak_bytes"] == report["memory"]["peak_bytes"]
        assert phase["routing"]["max_link_words"] == report["routing"]["max_link_words"] == 64
    assert sum(phase["joules"] for phase in report["phases"]) == pytest.approx(report["energy"]["joules"])


def test_both_engines_and_timing_alone_tell_the_same(program):
    batched = same_time(program, TINY).report
    reference = run_program(program, TINY, options=RunOptions(engine="reference")).report
    for phase, other in zip(batched["phases"], reference["phases"], strict=True):
        waits = phase["latency"].pop("wait_fraction"), other["latency"].pop("wait_fraction")
        assert waits[0] == pytest.approx(waits[1], abs=0.02)
        assert phase == other
    assert [row["name"] for row in batched["ops"]][3:] == [f"(control) {n}" for n in NAMES]


def test_a_program_that_names_no_phase_has_one(program):
    plain = parse_program(TEXT.replace(' "work"', "").replace(' "pass"', "").replace(' "work again"', ""))
    (phase,) = run_program(plain, TINY).report["phases"]
    whole = run_program(program, TINY).report
    assert phase["name"] == "program"
    for key in ("cycles", "seconds"):
        assert phase[key] == whole[key]
    for section in ("parallelism", "latency"):
        assert phase[section] == whole[section]


def test_a_statement_belongs_to_the_first_operation_in_it_or_behind_it(program):
    phases = Phases.of(program)
    body = program.regions[0].codes[0].body
    assert phases.names == NAMES
    assert phases.of_statements(body) == [0, 1, 2]
    bare = next(s for s in body if isinstance(s, For)).body[0]
    empty = For("i", body[0].start, body[0].stop, ())
    assert phases.of_statements((empty, body[1], empty, body[0], bare, empty)) == [1, 1, 0, 0, 0, 0]
    assert phases.of_statements((empty,)) == [0]


def test_the_table_has_a_column_for_each_phase(program):
    report = run_program(program, TINY).report
    out = io.StringIO()
    Console(file=out, width=80, no_color=True).print(phase_table(report["phases"]))
    lines = out.getvalue().splitlines()
    assert lines[0].split("  ")[0] == "phase" and lines[0].rstrip().endswith("work again")
    assert max(map(len, lines)) <= 80
    assert [line.split()[0] for line in lines if line[0] != " "] == [
        "phase", "Time", "Parallelism", "Latency", "Memory", "Routing", "Energy",
    ]  # fmt: skip
