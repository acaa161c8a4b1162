"""``meshc run``: run a build on the emulated wafer, from tensors or from a prompt."""

from __future__ import annotations

from pathlib import Path

import click

from meshc.cli.parameters import FILE

#: How many next tokens ``--prompt`` shows.
TOP = 5


@click.command()
@click.argument("build", type=FILE)
@click.option("--inputs", type=FILE, metavar="FILE", help="Safetensors with the inputs of the model's forward.")
@click.option("--prompt", metavar="TEXT", help="Text to run instead, with the build's tokenizer; shows what follows.")
@click.option("--raw", is_flag=True, help="Take the prompt as it is, without the tokenizer's chat template.")
@click.option("--outputs", type=FILE, metavar="FILE", help="Safetensors to write the outputs to.")
@click.option("--expect", type=FILE, metavar="FILE", help="Safetensors to compare the outputs with.")
@click.option("--rtol", type=click.FloatRange(0), metavar="X", help="Tolerance of --expect. [default: 0.0001]")
@click.option("--engine", default="batched", show_default=True, help="How to emulate.")
@click.option("--timing-only", is_flag=True, help="Every cycle, no arithmetic.")
@click.option("--until-rounds", type=click.IntRange(1), metavar="N", help="With --timing-only: rounds of an until.")
@click.option("--plain", is_flag=True, help="With --timing-only: skip over nothing that repeats itself.")
@click.option("--events", is_flag=True, help="Count by cause what lies on the critical path.")
@click.option("--checked", is_flag=True, help="Watch for reads and writes of buffers under way.")
@click.option("--max-cycles", type=click.IntRange(1), metavar="N", help="Stop with status 3 after N cycles.")
@click.option("--target", metavar="NAME|FILE", help="Time the same program on another machine.")
@click.option("--per-layer", is_flag=True, help="One row per layer in the report.")
@click.option("--json", "json_file", type=FILE, metavar="FILE", help="Write the report; - for standard output.")
@click.option("--no-table", is_flag=True, help="Do not print the report's table.")
@click.option("-q", "--quiet", is_flag=True, help="No progress bars.")
def command(
    build: Path,
    inputs: Path | None,
    prompt: str | None,
    raw: bool,
    outputs: Path | None,
    expect: Path | None,
    rtol: float | None,
    json_file: Path | None,
    no_table: bool,
    quiet: bool,
    plain: bool,
    **chosen: object,
) -> None:
    """Run BUILD on the emulated wafer and report parallelism, latency, memory and routing."""
    if prompt is not None and inputs is not None:
        raise click.UsageError("--prompt and --inputs exclude each other")
    from meshrt.expectation import DEFAULT_RTOL
    from meshrt.progress import progress_for_stderr
    from meshrt.run import RunOptions
    from meshrt.run_command import STDOUT, RunFiles, run_and_report
    from meshrt.tensor_files import read_tensors

    options = RunOptions(fast_forward=not plain, **chosen)  # type: ignore[arg-type]
    files = RunFiles(outputs, expect, DEFAULT_RTOL if rtol is None else rtol, json_file, not no_table)
    tokenizer = None
    if prompt is not None:
        from meshc.cli.prompt import Tokenizer

        tokenizer = Tokenizer.of_build(build)
        tensors = tokenizer.inputs(prompt, raw)
    else:
        tensors = read_tensors(inputs) if inputs is not None else {}
    result = run_and_report(build, tensors, options, files, progress_for_stderr(quiet))
    if tokenizer is not None and result.outputs and json_file != STDOUT:
        click.echo("\nnext token")
        for text, probability in tokenizer.next_tokens(result.outputs, TOP):
            click.echo(f"{probability:8.1%}  {text!r}")
