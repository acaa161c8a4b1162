"""``meshc bench``: times kernels side by side, on sizes and grids of the user's choice."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import click

from meshc.cli.parameters import FILE, GRID

#: What is timed where nothing is said.
SIZES = ((128,),)
GRIDS = ((4, 4), (8, 8), (16, 16))


class SizeType(click.ParamType):
    """``N`` or ``AxBxC``: the extents of an operation, one for all or each."""

    name = "N|AxBxC"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, ...]:
        """The extents, all at least 1."""
        if isinstance(value, tuple):
            return value
        if re.fullmatch(r"[1-9]\d*(x[1-9]\d*)*", value.strip().lower()) is None:
            self.fail(f"{value!r} is no size; write one number for all extents, or each, such as 64x128x64", param, ctx)
        return tuple(int(extent) for extent in value.strip().lower().split("x"))


class OperationType(click.ParamType):
    """An operation that can be timed; they are looked up when one is given, so that help stays fast."""

    name = "OPERATION"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The workload's class."""
        from meshc.bench.workloads import WORKLOADS

        if not isinstance(value, str):
            return value
        if value not in WORKLOADS:
            self.fail(f"{value!r} is not one of {', '.join(WORKLOADS)}", param, ctx)
        return WORKLOADS[value]


@click.group(invoke_without_command=False)
def command() -> None:
    """Time kernels side by side."""


@command.command()
@click.argument("operation", type=OperationType())
@click.option("--algorithm", "-a", "algorithms", multiple=True, metavar="NAME", help="Only these. [default: all]")
@click.option("--size", "-s", "sizes", type=SizeType(), multiple=True, help="Extents; may be repeated. [default: 128]")
@click.option(
    "--grid", "-g", "grids", type=GRID, multiple=True, help="PEs; may be repeated. [default: 4x4, 8x8, 16x16]"
)
@click.option("--dtype", default="f16", show_default=True, type=click.Choice(["mixed", "f16", "bf16", "f32"]))
@click.option("--target", default="wse2", show_default=True, metavar="NAME|FILE", help="The machine.")
@click.option("--engine", default="batched", show_default=True, help="How to emulate.")
@click.option("--values", is_flag=True, help="Compute, too; time alone gives the same cycles.")
@click.option("--json", "json_file", type=FILE, metavar="FILE", help="Write the rows; - for standard output.")
@click.option("--plots", type=FILE, metavar="DIR", help="Draw cycles over grid and size, and shares, as SVG.")
@click.option("-q", "--quiet", is_flag=True, help="No progress bars.")
def kernels(
    operation: Any,
    algorithms: tuple[str, ...],
    sizes: tuple[tuple[int, ...], ...],
    grids: tuple[tuple[int, int], ...],
    dtype: str,
    target: str,
    engine: str,
    values: bool,
    json_file: Path | None,
    plots: Path | None,
    quiet: bool,
) -> None:
    """Time the algorithms of OPERATION on every size and grid, beside predictions and lower bounds.

    Cycles are the emulator's, from the operand where it lies to the result where it lies; `x bound` is how many times
    the lower bound that is. `compute`, `transfer` and `wait` are what the critical path is made of.
    """
    from meshc.bench.measure import SCHEMA, timing_only
    from meshc.bench.plots import draw
    from meshc.bench.sweep import Sweep, run_cases
    from meshc.bench.table import bench_table, refusals
    from meshrt.progress import progress_for_stderr
    from meshrt.run_command import STDOUT
    from meshrt.target import load_target
    from meshrt.terminal import output_console

    cases = Sweep(operation, sizes or SIZES, grids or GRIDS, algorithms, dtype).cases()
    machine = load_target(target)
    with progress_for_stderr(quiet) as progress:
        rows = run_cases(cases, machine, engine, values, progress)
    data = {"schema": SCHEMA, "target": machine.name, "engine": engine, "rows": [row.to_json() for row in rows]}
    text = json.dumps(data, indent=2) + "\n"
    if json_file == STDOUT:
        click.echo(text, nl=False)
    else:
        if json_file is not None:
            json_file.write_text(text, encoding="utf-8")
        console = output_console()
        kind = " (timing only)" if timing_only(engine, values) else ""
        console.print(f"{operation.operation} on {machine.name}, {dtype}, {engine}{kind}")
        console.print(bench_table(rows))
        for line in refusals(rows):
            console.print(line)
    if plots is not None:
        for path in draw(rows, plots):
            click.echo(path, err=json_file == STDOUT)
