"""``meshc kernels``: the distributed algorithms that the compiler chooses from, built in and plugged in."""

from __future__ import annotations

import json

import click


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(as_json: bool) -> None:
    """List the kernels with the tile operation each one carries out."""
    from rich.table import Table

    from meshc.kernels.registry import kernels
    from meshrt.terminal import output_console

    found = sorted(kernels().values(), key=lambda kernel: (kernel.operation, kernel.rank, kernel.name))
    if as_json:
        rows = [{"name": k.name, "operation": k.operation, "meaning": k.meaning, "rank": k.rank} for k in found]
        click.echo(json.dumps(rows, indent=2))
        return
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("operation", no_wrap=True)
    table.add_column("kernel", no_wrap=True, style="bold")
    table.add_column("what it does")
    shown = ""
    for kernel in found:
        table.add_row("" if kernel.operation == shown else kernel.operation, kernel.name, kernel.meaning)
        shown = kernel.operation
    output_console().print(table)
