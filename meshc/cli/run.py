"""``meshc run``: run a build on the emulated wafer, from tensors or from a prompt."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from meshc.cli.parameters import FILE

if TYPE_CHECKING:
    from meshc.cli.prompt import Tokenizer
    from meshrt.run import RunOptions
    from meshrt.run_command import RunFiles

#: How many tokens ``--prompt`` writes with a build of the phase generate or decode.
MAX_NEW_TOKENS = 32
#: How many next tokens ``--prompt`` shows.
TOP = 5


@click.command()
@click.argument("build", type=FILE)
@click.option("--inputs", type=FILE, metavar="FILE", help="Safetensors with the inputs of the model's forward.")
@click.option(
    "--prompt",
    "prompts",
    multiple=True,
    metavar="TEXT",
    help="Text to run instead, with the build's tokenizer: a build of the phase generate or decode writes on from "
    "it, or from several; one of the phase prefill shows which token may follow.",
)
@click.option("--max-new-tokens", type=int, metavar="N", help="How many tokens to write. [default: 32]")
@click.option(
    "--temperature", type=float, metavar="X", help="Choose tokens by chance, the hotter the more; 0 for none."
)
@click.option("--top-k", type=int, metavar="K", help="Choose among the K likeliest tokens by chance.")
@click.option("--seed", type=int, metavar="N", help="Of the random numbers. [default: 0]")
@click.option("--raw", is_flag=True, help="Take the prompt as it is, without the tokenizer's chat template.")
@click.option("--outputs", type=FILE, metavar="FILE", help="Safetensors to write the outputs to.")
@click.option("--expect", type=FILE, metavar="FILE", help="Safetensors to compare the outputs with.")
@click.option("--rtol", type=click.FloatRange(0), metavar="X", help="Tolerance of --expect. [default: 0.0001]")
@click.option("--engine", default="batched", show_default=True, help="How to emulate.")
@click.option("--timing-only", is_flag=True, help="Every cycle, no arithmetic.")
@click.option("--until-rounds", type=click.IntRange(1), metavar="N", help="With --timing-only: rounds of an until.")
@click.option("--plain", is_flag=True, help="Skip over nothing that repeats itself.")
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
    prompts: tuple[str, ...],
    max_new_tokens: int | None,
    temperature: float | None,
    top_k: int | None,
    seed: int | None,
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
    if prompts and inputs is not None:
        raise click.UsageError("--prompt and --inputs exclude each other")
    writing = {"max_new_tokens": max_new_tokens, "temperature": temperature, "top_k": top_k, "seed": seed}
    if not prompts and any(value is not None for value in writing.values()):
        raise click.UsageError("--max-new-tokens, --temperature, --top-k and --seed go with --prompt")
    from meshrt.expectation import DEFAULT_RTOL
    from meshrt.progress import progress_for_stderr
    from meshrt.run import RunOptions
    from meshrt.run_command import STDOUT, RunFiles, run_and_report
    from meshrt.tensor_files import read_tensors

    options = RunOptions(fast_forward=not plain, **chosen)  # type: ignore[arg-type]
    files = RunFiles(outputs, expect, DEFAULT_RTOL if rtol is None else rtol, json_file, not no_table)
    tokenizer = None
    if prompts:
        from meshc.cli.prompt import Tokenizer

        tokenizer = Tokenizer.of_build(build)
        if tokenizer.manifest.decode is not None or len(prompts) > 1 or any(v is not None for v in writing.values()):
            _write(build, tokenizer, prompts, raw, options, files, quiet, **writing)
            return
        tensors = tokenizer.inputs(prompts[0], raw)
    else:
        tensors = read_tensors(inputs) if inputs is not None else {}
    result = run_and_report(build, tensors, options, files, progress_for_stderr(quiet))
    if tokenizer is not None and result.outputs and json_file != STDOUT:
        click.echo("\nnext token")
        for text, probability in tokenizer.next_tokens(result.outputs, TOP):
            click.echo(f"{probability:8.1%}  {text!r}")


def _write(
    build: Path,
    tokenizer: Tokenizer,
    prompts: tuple[str, ...],
    raw: bool,
    options: RunOptions,
    files: RunFiles,
    quiet: bool,
    *,
    max_new_tokens: int | None,
    temperature: float | None,
    top_k: int | None,
    seed: int | None,
) -> None:
    """Write on from the prompts."""
    from meshrt.generation import Request, Sampling
    from meshrt.progress import progress_for_stderr
    from meshrt.run_command import generate_and_report

    request = Request(
        tuple(tokenizer.prompt_ids(prompt, raw) for prompt in prompts),
        MAX_NEW_TOKENS if max_new_tokens is None else max_new_tokens,
        tokenizer.stop_ids,
        Sampling.chosen(tokenizer.manifest, temperature, top_k, seed),
    )
    generate_and_report(build, request, options, files, progress_for_stderr(quiet), tokenizer.decode, prompts)
