"""``meshc opt``: run passes over an IR text and print what comes out."""

from __future__ import annotations

import sys
from pathlib import Path

import click


@click.command(short_help="Run passes over an IR text.")
@click.argument("file", type=click.Path(path_type=Path, allow_dash=True))
@click.option("--pipeline", default="", metavar="TEXT", help="Passes in order: 'canonicalize,tile{width=8, height=8}'.")
@click.option("-o", "--output", type=click.Path(path_type=Path, dir_okay=False), help="Write here, not to stdout.")
@click.option("--weights", type=click.Path(path_type=Path), help="A safetensors file, for passes that look at weights.")
@click.option("--target", metavar="NAME|FILE", help="The target, for passes that ask for one.")
@click.option("--dump-ir", type=click.Path(path_type=Path, file_okay=False), help="Write the IR here after each pass.")
@click.option("--time-passes", is_flag=True, help="Say on stderr what each pass took.")
def command(
    file: Path,
    pipeline: str,
    output: Path | None,
    weights: Path | None,
    target: str | None,
    dump_ir: Path | None,
    time_passes: bool,
) -> None:
    """Run the passes of --pipeline over the IR in FILE (.mir, or - for stdin) and print the result.

    The IR is verified before the first pass and after each one. Without a pipeline the text
    is checked and printed as meshc prints it.
    """
    from meshc.dialects.levels import parse_module, read_module
    from meshc.ir.printer import print_module
    from meshc.passes.base import PassContext
    from meshc.passes.pipeline import parse_pipeline, run_pipeline, timing_table
    from meshrt.target.loader import load_target

    passes = parse_pipeline(pipeline)
    context = PassContext(
        weights=_weights(weights) if weights is not None else {},
        target=load_target(target) if target is not None else None,
        say=lambda text: click.echo(text, err=True),
    )
    module = parse_module(sys.stdin.read(), "<stdin>") if str(file) == "-" else read_module(file)
    timings = run_pipeline(module, passes, context, dump_dir=dump_ir)
    if time_passes:
        click.echo(timing_table(timings), err=True)
    text = print_module(module)
    if output is None:
        click.echo(text, nl=False)
    else:
        output.write_text(text, encoding="utf-8")


def _weights(path: Path) -> dict:
    """The tensors of a safetensors file by name."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    from meshrt.diagnostics import MeshError

    try:
        return load_file(path)
    except SafetensorError as error:
        raise MeshError("M0102", f"{path} is not a whole safetensors file: {error}") from None
