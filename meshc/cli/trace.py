"""``meshc trace``: from a checkpoint or a Python function to a ``.pt2``."""

from __future__ import annotations

import time
from pathlib import Path

import click

from meshc.cli.parameters import FILE
from meshrt.progress import progress_for_stderr


@click.command()
@click.argument("source")
@click.option("-o", "--output", type=FILE, required=True, help="The .pt2 to write.")
@click.option("--seq", type=click.IntRange(1), metavar="N", help="Fix the sequence length. [default: dynamic]")
@click.option("--batch", type=click.IntRange(1), metavar="N", help="Fix the batch. [default: dynamic; 1 with --seq]")
@click.option("--no-weights", is_flag=True, help="Take a folder's config.json only: for timing-only builds.")
@click.option("-q", "--quiet", is_flag=True, help="Say nothing on success.")
def command(source: str, output: Path, seq: int | None, batch: int | None, no_weights: bool, quiet: bool) -> None:
    """Make a model.pt2 of SOURCE.

    SOURCE is a Hugging Face model folder (config.json and weights), a GGUF file, or file.py:function, where the
    function returns (module, example_inputs). Nothing is downloaded. The tokenizer and its chat template are stored
    with the program.
    """
    start = time.monotonic()
    with progress_for_stderr(quiet) as progress:
        progress.stage("importing torch")
        from meshc.frontend.trace import trace

        traced = trace(source, output, batch=batch, seq=seq, weights=not no_weights, progress=progress)
    if quiet:
        return
    shape = f"batch {traced.batch or 'dynamic'}, sequence {traced.seq or 'dynamic'}"
    tokenizer = "with its tokenizer" if "tokenizer.json" in traced.tokenizer_files else "no tokenizer"
    size = output.stat().st_size / 1e6
    click.echo(f"{output}: {size:,.1f} MB, {shape}, {tokenizer}, in {time.monotonic() - start:.1f} s")
