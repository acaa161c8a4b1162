"""``meshc compile``: from a traced model to a build directory."""

from __future__ import annotations

import time
from pathlib import Path

import click

from meshc.cli.parameters import FILE, GRID, LAYERS
from meshc.options import DTYPES, KV, LOGITS, PHASES, CompileOptions
from meshrt.diagnostics import MeshError
from meshrt.progress import progress_for_stderr

#: What ``--emit`` can stop at; ``program`` is the text of program.mesh.
LEVELS = ("graph", "tile", "mesh", "program")

#: What ``--logits`` may be in one phase or another.
LOGITS_ANY = tuple(dict.fromkeys(word for words in LOGITS.values() for word in words))


@click.command()
@click.argument("model", type=FILE)
@click.option("-o", "--output", type=FILE, help="Build directory to write (with --emit: the text file).")
@click.option("--target", default="wse2", show_default=True, metavar="NAME|FILE", help="Machine: see meshc targets.")
@click.option("--grid", type=GRID, help="PEs to use. [default: the smallest square that fits]")
@click.option(
    "--phase",
    type=click.Choice(PHASES),
    default="prefill",
    show_default=True,
    help="What to compile: whole prompts, a token at a time, or the one behind the other.",
)
@click.option("--seq", type=click.IntRange(1), metavar="N", help="Longest prompt, in tokens. [default: of the export]")
@click.option(
    "--context", type=click.IntRange(1), metavar="N", help="Decode, generate: most tokens, prompt and answer together."
)
@click.option("--kv", type=click.Choice(KV), help="Decode, generate: how tokens come into the cache. [default: shift]")
@click.option("--batch", type=click.IntRange(1), default=1, show_default=True, metavar="N", help="Prompts at once.")
@click.option("--layers", type=LAYERS, help="Compile only these of the repeated layers.")
@click.option("--dtype", type=click.Choice(DTYPES), default="mixed", show_default=True, help="Arithmetic.")
@click.option(
    "--logits", type=click.Choice(LOGITS_ANY), help="Positions to output. [default: all; decode, generate: none]"
)
@click.option(
    "--strategy",
    default="auto",
    show_default=True,
    metavar="NAME,..",
    help="auto or waferllm, with options: auto{softmax=apart}; and kernels to take: waferllm,gemm.ring{vector=m}.",
)
@click.option("--pipeline", metavar="'a{x=1},b'", help="Passes to run instead of the strategy's own.")
@click.option("--emit", type=click.Choice(LEVELS), help="Print the text of this level instead of writing a build.")
@click.option("--dump-ir", type=FILE, metavar="DIR", help="Write the IR after each pass, in numbered files.")
@click.option("--explain-choice", is_flag=True, help="Say which kernels were considered, and why one was chosen.")
@click.option("--time-passes", is_flag=True, help="Say how long each pass took.")
@click.option("-q", "--quiet", is_flag=True, help="Say nothing on success.")
def command(
    model: Path,
    output: Path | None,
    emit: str | None,
    dump_ir: Path | None,
    explain_choice: bool,
    time_passes: bool,
    quiet: bool,
    **chosen: object,
) -> None:
    """Compile MODEL (.pt2, or a TorchScript .pt) to a build: one small program for every PE."""
    options = CompileOptions(**chosen)  # type: ignore[arg-type]
    if output is None and emit is None and not explain_choice:
        raise click.UsageError("Missing option '-o' / '--output' (or print a level with --emit, or --explain-choice).")
    if output is not None and emit is None:
        check_replaceable(output)
    start = time.monotonic()
    with progress_for_stderr(quiet) as progress:
        progress.stage("importing torch")
        from meshc.driver import compile_model
        from meshc.passes.choice_table import choice_table
        from meshc.passes.pipeline import timing_table

        until = emit or ("program" if output is not None else "tile")
        compiled = compile_model(model, options, progress=progress, dump_ir=dump_ir, until=until, say=_say)
        if output is not None and emit is None:
            progress.stage("writing the build")
            compiled.save(output)
    if emit is not None:
        _print_level(compiled.ir(emit), output)
    if explain_choice:
        click.echo(choice_table(compiled.choices), err=emit is not None and output is None)
    if time_passes:
        click.echo(timing_table(compiled.pass_times), err=True)
    if output is not None and emit is None and not quiet:
        click.echo(f"{output}: {compiled.summary()}, in {time.monotonic() - start:.1f} s")


def check_replaceable(directory: Path) -> None:
    """Raise M0353 when a build may not take this directory's place: at once, not after the work is done."""
    from meshrt.build import is_replaceable

    if directory.exists() and not is_replaceable(directory):
        raise MeshError(
            "M0353",
            f"{str(directory)!r} exists and is not a build",
            helps=["choose another output directory, or remove it first"],
        )


def _say(text: str) -> None:
    click.echo(text, err=True)


def _print_level(text: str, output: Path | None) -> None:
    if output is None:
        click.echo(text, nl=not text.endswith("\n"))
    else:
        output.write_text(text, encoding="utf-8")
