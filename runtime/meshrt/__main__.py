"""``python -m meshrt BUILD``: run a build with the runtime alone; neither the compiler nor the model is needed."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from meshrt.terminal import exit_status_of

if TYPE_CHECKING:
    from meshrt.run import RunOptions
    from meshrt.run_command import RunFiles


def parser() -> argparse.ArgumentParser:
    """The arguments; ``meshc run`` has the same, with ``--prompt`` in the place of ``--ids``."""
    from meshrt.engines.choice import DEFAULT_ENGINE, ENGINES
    from meshrt.expectation import DEFAULT_RTOL

    p = argparse.ArgumentParser(
        prog="python -m meshrt",
        description="Run a build on the emulated wafer and report what happened.",
        epilog="Exit status: 0 done, 1 a diagnostic, 2 usage, 3 --max-cycles exceeded, 4 --expect differs, 130 Ctrl-C.",
    )
    p.add_argument("build", type=Path, metavar="BUILD", help="directory that meshc compile wrote")
    p.add_argument("--inputs", type=Path, metavar="FILE", help="safetensors with the inputs of the model's forward")
    p.add_argument(
        "--ids",
        type=_ids,
        action="append",
        metavar="N,N,..",
        help="a prompt as token ids, to write on from; repeatable",
    )
    p.add_argument("--max-new-tokens", type=int, default=32, metavar="N", help="with --ids: how many (%(default)s)")
    p.add_argument("--stop-id", type=int, action="append", metavar="N", help="with --ids: an id that ends the text")
    p.add_argument("--temperature", type=float, metavar="X", help="with --ids: choose tokens by chance; 0 for none")
    p.add_argument("--top-k", type=int, metavar="K", help="with --ids: choose among the K likeliest tokens")
    p.add_argument("--seed", type=int, metavar="N", help="with --ids: of the random numbers (0)")
    p.add_argument("--outputs", type=Path, metavar="FILE", help="safetensors to write the outputs to")
    p.add_argument("--expect", type=Path, metavar="FILE", help="safetensors to compare the outputs with")
    p.add_argument("--rtol", type=float, default=DEFAULT_RTOL, metavar="X", help="tolerance of --expect (%(default)s)")
    p.add_argument("--engine", choices=tuple(ENGINES), default=DEFAULT_ENGINE, help="how to emulate (%(default)s)")
    p.add_argument("--timing-only", action="store_true", help="every cycle, no arithmetic")
    p.add_argument("--until-rounds", type=int, metavar="N", help="with --timing-only: every until takes N rounds")
    p.add_argument("--plain", action="store_true", help="skip over nothing that repeats itself")
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
    if arguments.ids is not None:
        _generate(arguments, options, files)
        return 0
    inputs = read_tensors(arguments.inputs) if arguments.inputs is not None else {}
    run_and_report(arguments.build, inputs, options, files, progress_for_stderr())
    return 0


def _ids(text: str) -> tuple[int, ...]:
    """Token ids between commas or spaces."""
    return tuple(map(int, text.replace(",", " ").split()))


def _generate(arguments: argparse.Namespace, options: RunOptions, files: RunFiles) -> None:
    """Write on from prompts of token ids."""
    from meshrt.build import read_build
    from meshrt.generation import Request, Sampling
    from meshrt.progress import progress_for_stderr
    from meshrt.run_command import generate_and_report
    from meshrt.writing import as_numbers

    build = read_build(arguments.build)
    sampling = Sampling.chosen(build.manifest, arguments.temperature, arguments.top_k, arguments.seed)
    stops = tuple(arguments.stop_id or ())
    request = Request(tuple(arguments.ids), arguments.max_new_tokens, stops, sampling)
    names = [as_numbers(prompt) for prompt in request.prompts]
    generate_and_report(build, request, options, files, progress_for_stderr(), as_numbers, names)


def main(line: Sequence[str] | None = None) -> int:
    """Parse a command line, run it, and give its exit status."""
    arguments = parser().parse_args(line)
    return exit_status_of(lambda: run(arguments))


if __name__ == "__main__":
    sys.exit(main())
