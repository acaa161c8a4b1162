"""``meshc kernels``: the distributed algorithms that the compiler chooses from, built in and plugged in."""

from __future__ import annotations

import dataclasses
import json

import click


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(as_json: bool) -> None:
    """List the kernels with the tile operation each one carries out, and the collectives that they are made of.

    Those that declare it also say how they grow with N, the PEs of an axis: memory in tiles, PEs whose words cross a
    router, hops of the longest message, steps that wait for one another.
    """
    from rich.table import Table

    from meshc.kernels.collectives.registry import collectives
    from meshc.kernels.registry import kernels
    from meshrt.terminal import output_console

    found = sorted(kernels().values(), key=lambda kernel: (kernel.operation, kernel.rank, kernel.name))
    rows = [(k.operation, k.name, k.meaning, k.rank, k.scaling) for k in found]
    rows += [(c.operation, c.name, c.meaning, 0, c.scaling) for c in collectives().values()]
    if as_json:
        keys = ("operation", "name", "meaning", "rank")
        rows = [
            {**dict(zip(keys, row, strict=True)), "scaling": dataclasses.asdict(scaling) if scaling else None}
            for *row, scaling in rows
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
    for operation, name, meaning, _, s in rows:
        scaling = (s.memory, s.paths, s.hops, s.stages) if s else ()
        table.add_row("" if operation == shown else operation, name, meaning, *scaling)
        shown = operation
    output_console().print(table)
