"""Runs a program with values and without, skipping what repeats itself and not: all must take the same time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from meshrt.program.model import Program
from meshrt.run import RunOptions, RunResult, run_program
from meshrt.target import Target


def same_time(
    program: Program,
    target: Target,
    weights: Mapping[str, Any] | None = None,
    inputs: Mapping[str, Any] | None = None,
    scalars: Mapping[str, Mapping[str, int]] | None = None,
    options: RunOptions | None = None,
) -> RunResult:
    """The run with values that skips nothing.

    Asserts that one that skips gives the same values, and that all four have the same clocks and the same report.
    """
    options = replace(options or RunOptions(), fast_forward=False)
    full = run_program(program, target, weights, inputs, scalars, options=options)
    skipping = run_program(program, target, weights, inputs, scalars, options=replace(options, fast_forward=True))
    assert skipping.clocks.tolist() == full.clocks.tolist()
    assert {n: v.tobytes() for n, v in skipping.outputs.items()} == {n: v.tobytes() for n, v in full.outputs.items()}
    assert skipping.report == full.report
    for fast_forward in (False, True):
        timed = run_program(
            program, target, scalars=scalars, options=replace(options, timing_only=True, fast_forward=fast_forward)
        )
        assert_same(timed, full)
    return full


def assert_same(timed: RunResult, full: RunResult) -> None:
    """A timing-only run has the clocks and the report of a full one, and no outputs."""
    assert timed.outputs == {}
    assert timed.clocks.tolist() == full.clocks.tolist()
    assert timed.report["provenance"]["timing_only"] is True
    assert {k: v for k, v in timed.report.items() if k != "provenance"} == {
        k: v for k, v in full.report.items() if k != "provenance"
    }
