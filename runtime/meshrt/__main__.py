"""``python -m meshrt BUILD``: run a build with the runtime alone; neither the compiler nor the model is needed."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from meshrt.terminal import exit_status_of


def parser() -> argparse.ArgumentParser:
    """The arguments; ``meshc run`` has the same and ``--prompt``."""
    from meshrt.engines.choice import DEFAULT_ENGINE, ENGINES
    from meshrt.expectation import DEFAULT_RTOL

    p = argparse.ArgumentParser(
        prog="python -m meshrt",
        description="Run a build on the emulated wafer and report what happened.",
        epilog="Exit status: 0 done, 1 a diagnostic, 2 usage, 3 --max-cycles exceeded, 4 --expect differs.",
    )
    p.add_argument("build", type=Path, metavar="BUILD", help="directory that meshc compile wrote")
    p.add_argument("--inputs", type=Path, metavar="FILE", help="safetensors with the inputs of the model's forward")
    p.add_argument("--outputs", type=Path, metavar="FILE", help="safetensors to write the outputs to")
    p.add_argument("--expect", type=Path, metavar="FILE", help="safetensors to compare the outputs with")
    p.add_argument("--rtol", type=float, default=DEFAULT_RTOL, metavar="X", help="tolerance of --expect (%(default)s)")
    p.add_argument("--engine", choices=tuple(ENGINES), default=DEFAULT_ENGINE, help="how to emulate (%(default)s)")
    p.add_argument("--timing-only", action="store_true", help="every cycle, no arithmetic")
    p.add_argument("--until-rounds", type=int, metavar="N", help="with --timing-only: every until takes N rounds")
    p.add_argument("--plain", action="store_true", help="with --timing-only: skip over nothing that repeats itself")
    p.add_argument("--events", action="store_true", help="count by cause what lies on the critical path")
    p.add_argument("--checked", action="store_true", help="watch for reads and writes of buffers under way")
    p.add_argument("--max-cycles", type=int, metavar="N", help="stop with status 3 after N cycles")
    p.add_argument("--target", metavar="NAME|FILE", help="time the same program on another machine")
    p.add_argument("--per-layer", action="store_true", help="one row per layer in the report")
    p.add_argument("--json", type=Path, metavar="FILE", help="write the report; - for standard output")
    p.add_argument("--no-table", action="store_true", help="do not print the report's table")
    return p


def run(arguments: argparse.Namespace) -> int:
    """Do what the arguments say. Raises MeshError for what goes wrong."""
    from meshrt.progress import progress_for_stderr
    from meshrt.run import RunOptions
    from meshrt.run_command import RunFiles, run_and_report
    from meshrt.tensor_files import read_tensors

    options = RunOptions(
        engine=arguments.engine,
        timing_only=arguments.timing_only,
        until_rounds=arguments.until_rounds,
        fast_forward=not arguments.plain,
        events=arguments.events,
        checked=arguments.checked,
        max_cycles=arguments.max_cycles,
        target=arguments.target,
        per_layer=arguments.per_layer,
    )
    files = RunFiles(arguments.outputs, arguments.expect, arguments.rtol, arguments.json, not arguments.no_table)
    inputs = read_tensors(arguments.inputs) if arguments.inputs is not None else {}
    run_and_report(arguments.build, inputs, options, files, progress_for_stderr())
    return 0


def main(line: Sequence[str] | None = None) -> int:
    """Parse a command line, run it, and give its exit status."""
    arguments = parser().parse_args(line)
    return exit_status_of(lambda: run(arguments))


if __name__ == "__main__":
    sys.exit(main())
