"""Runs a program with values, without, and without but skipping what repeats itself: all must take the same time."""

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
    """The run with values; asserts that both timing-only runs have the same clocks and the same report."""
    options = options or RunOptions()
    full = run_program(program, target, weights, inputs, scalars, options=options)
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
