"""The two engines held against each other on one program (DESIGN, section 4).

Values are bit-identical, always. Cycles are equal where no word waited for a link and none was injected late, on
either engine; elsewhere they are compared: within 5 % or 16 cycles, whichever is more.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from meshrt.program.check import check_program
from meshrt.program.model import Program
from meshrt.run import RunOptions, RunResult, run_program
from meshrt.target import Target
from tests.differential.case import Case

#: What batched may be off by where words wait for each other: a part of the run, or some cycles.
TOLERANCE = 0.05
TOLERANCE_CYCLES = 16
#: Where programs are left that somebody may want to run again.
SAVED = Path("build/differential")

#: What both engines count alike, however long words wait.
COUNTS: dict[str, Callable[[Mapping[str, Any]], Any]] = {
    "macs": lambda report: report["parallelism"]["macs"],
    "host words": lambda report: report["host"],
    "counts of operations": lambda report: [
        {key: row[key] for key in ("op", "name", "macs", "words", "instructions")} for row in report["ops"]
    ],
}


@dataclass(frozen=True)
class Comparison:
    """The cycles of one program on both engines. ``quiet`` programs have no word that waited for another."""

    name: str
    reference: int
    batched: int
    quiet: bool

    @property
    def off(self) -> int:
        """By how many cycles the batched engine differs."""
        return self.batched - self.reference

    @property
    def part(self) -> float:
        """The same as a part of the reference engine's cycles."""
        return self.off / max(1, self.reference)

    @property
    def within(self) -> bool:
        return abs(self.off) <= max(TOLERANCE_CYCLES, TOLERANCE * self.reference)

    def __str__(self) -> str:
        return (
            f"{self.name} {self.batched} cycles on batched, {self.reference} on reference "
            f"({self.off:+d}, {self.part:+.1%})"
        )


@dataclass(frozen=True)
class Pair:
    """One program run by both engines."""

    reference: RunResult
    batched: RunResult

    @property
    def quiet(self) -> bool:
        """Whether no link was wanted by two messages at once and no queue filled, on either engine."""
        counts = [
            result.report["routing"][key]
            for result in (self.reference, self.batched)
            for key in ("contended_words", "stalled_words")
        ]
        return not any(counts)

    def differences(self) -> list[str]:
        """What the engines must not differ in and do: values, counts, and clocks where no word waited."""
        found = []
        if self.reference.outputs.keys() != self.batched.outputs.keys():
            found.append(f"outputs {sorted(self.reference.outputs)} and {sorted(self.batched.outputs)}")
        for name, values in sorted(self.reference.outputs.items()):
            wrong = np.argwhere(~same_bits(values, self.batched.outputs[name]))
            if len(wrong):
                at = tuple(wrong[0].tolist())
                found.append(
                    f"{len(wrong)} of {values.size} values of {name!r}, first at {at}: "
                    f"{values[at]!r} on reference, {self.batched.outputs[name][at]!r} on batched"
                )
        for name, count in COUNTS.items():
            counts = count(self.reference.report), count(self.batched.report)
            if counts[0] != counts[1]:
                found.append(f"{name}: {counts[0]} on reference, {counts[1]} on batched")
        wrong = np.flatnonzero(self.reference.clocks != self.batched.clocks)
        if self.quiet and len(wrong):
            pe = int(wrong[0])
            found.append(
                f"the clocks of {len(wrong)} PEs though no word waited, first of PE number {pe}: "
                f"{self.reference.clocks[pe]} on reference, {self.batched.clocks[pe]} on batched"
            )
        return found

    def comparison(self, name: str) -> Comparison:
        cycles = [result.report["cycles"] for result in (self.reference, self.batched)]
        return Comparison(name, *cycles, self.quiet)


def same_bits(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Elementwise: the same bits, or both not a number."""
    if a.shape != b.shape or a.dtype != b.dtype:
        return np.zeros(a.shape, bool)
    bits = a.view(np.uint32) == b.view(np.uint32)
    return bits | (np.isnan(a) & np.isnan(b)) if a.dtype.kind == "f" else bits


def run_both(
    program: Program,
    target: Target,
    weights: Mapping[str, Any],
    inputs: Mapping[str, np.ndarray],
    scalars: Mapping[str, Mapping[str, int]],
) -> Pair:
    """Check the program and run it on both engines."""
    check_program(program, target)
    runs = [
        run_program(program, target, weights, inputs, scalars, options=RunOptions(engine=engine))
        for engine in ("reference", "batched")
    ]
    return Pair(*runs)


def run_case(case: Case) -> Pair:
    """Run a generated case on both engines."""
    return run_both(case.program, case.target, case.weights, case.inputs, case.scalars)


def rerun_command(path: Path) -> str:
    """What to type to run a saved case again."""
    return f"make rerun PROGRAM={path}"
