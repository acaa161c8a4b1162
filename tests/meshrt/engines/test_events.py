"""What lies on the critical path, counted by cause: counts times costs are the cycles, however the run is made."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from meshrt.program.cost import CAUSES, unit_cycles
from meshrt.program.parser import parse_program
from meshrt.run import RunOptions, run_program
from meshrt.target import KEYS, load_target
from tests.differential.acts.structure import UNTIL_ROUNDS
from tests.differential.programs import cases
from tests.kernels.harness import compile_graph, transformer
from tests.meshrt.engines.test_fast_forward import loops, ring
from tests.meshrt.machine import test_machine_rules as machine

TINY = load_target("tiny")
COUNTED = RunOptions(events=True)
TIMED = RunOptions(events=True, timing_only=True, until_rounds=UNTIL_ROUNDS)


def priced(report, target) -> Fraction:
    """Counts times costs; rounding is in cycles."""
    events = dict(report["latency"]["events"])
    rounding = Fraction(events.pop("rounding_cycles", 0)).limit_denominator(1000)
    assert all(isinstance(n, int) and n > 0 for n in events.values())
    return sum((n * unit_cycles(target, cause) for cause, n in events.items()), rounding)


def counted(program, target, *arguments) -> dict:
    """The report of a run; it costs its cycles, and is the same without values and with loops skipped."""
    full = run_program(program, target, *arguments, options=COUNTED)
    without = run_program(program, target, *arguments)
    assert full.clocks.tolist() == without.clocks.tolist()
    assert priced(full.report, target) == full.report["cycles"]
    latency = full.report["latency"]
    assert latency["events"].get("hop_cycles", 0) == latency["critical_hops"]
    assert {k: v for k, v in latency.items() if k != "events"} == without.report["latency"]
    for fast_forward in (False, True):
        timed = run_program(
            program,
            target,
            scalars=arguments[2] if len(arguments) > 2 else None,
            options=replace(TIMED, fast_forward=fast_forward),
        )
        assert timed.report["latency"] == latency
    return latency["events"]


@pytest.mark.parametrize("name", machine.NAMES)
def test_worked_examples(name):
    given = {
        kind: {n: np.array(v, np.float32) for n, v in machine.expected(name).get(kind, {}).items()}
        for kind in machine.KINDS
    }
    program = parse_program((machine.HERE / f"{name}.mesh").read_text(encoding="utf-8"))
    counted(program, machine.TARGET, given["weights"], given["inputs"])


def test_two_hops_word_by_word():
    """As docs/machine.md has it, and then the receiver's send to the host, which gets its last word in cycle 24."""
    name = "ramp_and_hop"
    given = {"a": np.arange(4, dtype=np.float32)}
    program = parse_program((machine.HERE / f"{name}.mesh").read_text(encoding="utf-8"))
    assert counted(program, machine.TARGET, given) == {
        "issue_cycles": 2,
        "vector_setup_cycles": 2,
        "vector_issue_cycles": 2,
        "ramp_cycles": 3,
        "hop_cycles": 3,
        "word_cycles": 4 + 3,
    }


def test_what_instructions_cost():
    """`fill`, `gemm`, two rounds of `add`, `if`, `div` and `send` of issue_and_setup.mesh."""
    program = parse_program((machine.HERE / "issue_and_setup.mesh").read_text(encoding="utf-8"))
    weights = {name: np.ones((2, 2), np.float32) for name in "ab"}
    events = counted(program, machine.TARGET, weights)
    assert events["loop_cycles"] == 2
    assert events["branch_cycles"] == 1
    assert events["divide_cycles"] == 4
    assert events["fma_elements_per_cycle.f32"] == 8
    assert events["add_elements_per_cycle.f32"] == 8
    assert events["issue_cycles"] == 7


@given(cases)
@settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
def test_generated_programs(case):
    counted(case.program, case.target, case.weights, case.inputs, case.scalars)


@given(loops())
@settings(max_examples=30, deadline=None, derandomize=True)
def test_loops(text):
    counted(parse_program(text), TINY)


def test_a_ring_that_is_skipped():
    events = counted(parse_program(ring(6, "500", "add c, c, 1.0")), TINY)
    assert events["loop_cycles"] == 500
    assert events["task_wakeup_cycles"] == 1000


def test_kernels():
    graph, result = transformer(sequence=7)
    program = compile_graph(graph.module(result), 3, 3)
    weights = {name: tensor.numpy() for name, tensor in graph.weights.items()}
    inputs = {name: ids.numpy() for name, ids in graph.inputs.items()}
    counted(program, replace(TINY, sram_bytes=1 << 20), weights, inputs, {"main": {"length": 7}})


def test_causes_are_keys_of_the_target():
    beside = {"fma_idle_elements", "word_cycles", "waited_cycles"}
    assert {cause.partition(".")[0] for cause in CAUSES} - beside <= set(KEYS)
    for cause in CAUSES:
        assert unit_cycles(TINY, cause) >= 0
