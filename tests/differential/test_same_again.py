"""A generated program runs again, and without values, and with loops skipped that repeat themselves: all the same."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings

from meshrt.run import RunOptions, run_program
from tests.differential.acts.structure import UNTIL_ROUNDS
from tests.differential.programs import cases
from tests.meshrt.engines.same_time import same_time

FEW = settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))


@given(cases)
@FEW
def test_a_run_is_the_same_again(case):
    first, second = (run_program(case.program, case.target, case.weights, case.inputs, case.scalars) for _ in range(2))
    assert {n: v.tobytes() for n, v in first.outputs.items()} == {n: v.tobytes() for n, v in second.outputs.items()}
    assert first.clocks.tolist() == second.clocks.tolist()
    assert first.report == second.report


@given(cases)
@FEW
def test_a_run_without_values_takes_the_same_time(case):
    options = RunOptions(until_rounds=UNTIL_ROUNDS)
    same_time(case.program, case.target, case.weights, case.inputs, case.scalars, options=options)
