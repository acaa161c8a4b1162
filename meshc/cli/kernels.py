"""``meshc kernels``: the distributed algorithms that the compiler chooses from, built in and plugged in."""

from __future__ import annotations

import dataclasses
import json

import click


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(as_json: bool) -> None:
    """List the kernels with the tile operation each one carries out.

    Those that declare it also say how they grow with N, the PEs of an axis: memory in tiles, PEs whose words cross a
    router, hops of the longest message, steps that wait for one another.
    """
    from rich.table import Table

    from meshc.kernels.registry import kernels
    from meshrt.terminal import output_console

    found = sorted(kernels().values(), key=lambda kernel: (kernel.operation, kernel.rank, kernel.name))
    if as_json:
        rows = [
            {
                "name": k.name,
                "operation": k.operation,
                "meaning": k.meaning,
                "rank": k.rank,
                "scaling": dataclasses.asdict(k.scaling) if k.scaling else None,
            }
            for k in found
        ]
        click.echo(json.dumps(rows, indent=2))
        return
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("operation", no_wrap=True)
    table.add_column("kernel", no_wrap=True, style="bold")
    table.add_column("what it does")
    for title in ("memory", "paths", "hops", "stages"):
        table.add_column(title)
    shown = ""
    for kernel in found:
        s = kernel.scaling
        scaling = (s.memory, s.paths, s.hops, s.stages) if s else ()
        table.add_row("" if kernel.operation == shown else kernel.operation, kernel.name, kernel.meaning, *scaling)
        shown = kernel.operation
    output_console().print(table)
