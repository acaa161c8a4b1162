"""Runs a build from files to files: what ``meshc run`` and ``python -m meshrt`` have in common."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from meshrt.build import Build
from meshrt.diagnostics import MeshError
from meshrt.expectation import DEFAULT_RTOL, check_expected
from meshrt.generation import Generation, Request, generate
from meshrt.progress import Progress
from meshrt.report_table import print_report
from meshrt.run import RunOptions, RunResult, run_build
from meshrt.tensor_files import read_tensors, write_tensors
from meshrt.terminal import output_console
from meshrt.writing import Decode, Writing

#: Where ``--json -`` writes.
STDOUT = Path("-")


@dataclass(frozen=True, slots=True)
class RunFiles:
    """Which files a run reads and writes; None leaves one out. ``json`` may be :data:`STDOUT`.

    ``table`` says whether the report's table is printed; with JSON on stdout it never is.
    """

    outputs: Path | None = None
    expect: Path | None = None
    rtol: float = DEFAULT_RTOL
    json: Path | None = None
    table: bool = True


def run_and_report(
    build: Path,
    inputs: Mapping[str, np.ndarray],
    options: RunOptions,
    files: RunFiles,
    progress: Progress,
) -> RunResult:
    """Run, write the files that are asked for, and print the report's table.

    Files are read before the run, so that a missing one does not cost it, and written
    before the comparison, so that a difference can be looked into. Raises M0560 and M0561
    for a difference from ``files.expect``, M0527 where there is nothing to write or compare,
    and what :func:`run_build` raises.
    """
    if options.timing_only and (files.outputs is not None or files.expect is not None):
        raise _no_outputs()
    expected = read_tensors(files.expect) if files.expect is not None else {}
    with progress:
        result = run_build(build, inputs, options, progress)
    _finish(result.report, result.outputs, expected, files)
    return result


def generate_and_report(
    build: Path | Build,
    request: Request,
    options: RunOptions,
    files: RunFiles,
    progress: Progress,
    decode: Decode,
    prompts: Sequence[str],
) -> Generation:
    """Generate, write the text as it comes, then what :func:`run_and_report` writes.

    ``decode`` turns ids into text; ``prompts`` stand above the texts where there are several. The text goes to
    standard output, or to stderr where that is for JSON. Whatever ends the run, what was written stays, with its line
    ended. Raises M0545 at the end where the context was full too early, and what :func:`generate` raises.
    """
    if options.timing_only and (files.outputs is not None or files.expect is not None):
        raise _no_outputs()
    expected = read_tensors(files.expect) if files.expect is not None else {}
    out = sys.stderr if files.json == STDOUT else sys.stdout
    writing = Writing(out, decode, prompts, progress.close)
    try:
        with progress:
            generation = generate(build, request, options, writing.take, progress)
    finally:
        writing.close()
    _finish(generation.report, generation.result.outputs, expected, files)
    generation.check_complete(request)
    return generation


def _no_outputs() -> MeshError:
    return MeshError(
        "M0527",
        "a timing-only run computes nothing, so it has no outputs to write or to compare",
        helps=["leave out --timing-only, or --outputs and --expect"],
    )


def _finish(
    report: Mapping[str, Any],
    outputs: Mapping[str, np.ndarray],
    expected: Mapping[str, np.ndarray],
    files: RunFiles,
) -> None:
    """Write the files, print the table, compare."""
    if files.outputs is not None:
        write_tensors(files.outputs, outputs)
    if files.json is not None:
        _write_json(files.json, report)
    if files.table and files.json != STDOUT:
        print_report(report, output_console())
    for name, difference in check_expected(outputs, expected, files.rtol).items():
        print(f"{name}: as expected, within {difference:.3g} of the largest magnitude", file=sys.stderr)


def _write_json(path: Path, report: Mapping[str, object]) -> None:
    text = json.dumps(report, indent=2) + "\n"
    if path == STDOUT:
        sys.stdout.write(text)
    else:
        path.write_text(text, encoding="utf-8")
