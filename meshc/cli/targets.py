"""``meshc targets``: what machines a name finds, and every number of one with its source."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import click

from meshrt.target.loader import available_targets, load_target
from meshrt.target.model import Rates, Target
from meshrt.target.schema import KEYS, SECTIONS, Key
from meshrt.target.writer import target_to_toml
from meshrt.terminal import output_console


@click.command()
@click.argument("name", required=False)
@click.option("--toml", "as_toml", is_flag=True, help="Print the whole target file, to start another one from.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(name: str | None, as_toml: bool, as_json: bool) -> None:
    """List the targets, or show every number of the target NAME (or file) with its source."""
    if name is None:
        if as_toml:
            raise click.UsageError("--toml needs the NAME of a target")
        _list(as_json)
        return
    target = load_target(name)
    if as_toml:
        click.echo(target_to_toml(target), nl=False)
    elif as_json:
        click.echo(json.dumps(_plain(target), indent=2))
    else:
        _show(target)


def _list(as_json: bool) -> None:
    from rich.table import Table

    targets = [load_target(path) for path in available_targets().values()]
    if as_json:
        click.echo(json.dumps([_plain(target) for target in targets], indent=2))
        return
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for heading in ("name", "fabric", "PEs", "SRAM per PE", "colors", "clock"):
        table.add_column(heading, justify="left" if heading == "name" else "right")
    for target in targets:
        table.add_row(
            target.name,
            f"{target.fabric_width} x {target.fabric_height}",
            f"{target.pes:,}",
            f"{target.sram_bytes:,} B",
            f"{target.program_colors} + {target.host_colors} host",
            f"{target.clock_hz / 1e9:g} GHz",
        )
    output_console().print(table)
    click.echo("\nmeshc targets NAME shows every number of one and where it comes from.")


def _show(target: Target) -> None:
    from rich.table import Table
    from rich.text import Text

    console = output_console()
    console.print(Text(target.name, style="bold"))
    sources = dict(target.sources)
    width = max(len(label) for key in KEYS.values() for label, _ in _entries(key, getattr(target, key.name))) + 2
    for section in SECTIONS:
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=False)
        table.add_column(no_wrap=True, min_width=width)
        table.add_column(justify="right", no_wrap=True, min_width=13)
        table.add_column(style="dim", ratio=1)
        for key in section.keys:
            for label, value in _entries(key, getattr(target, key.name)):
                table.add_row(f"  {label}", value, sources.get(label, ""))
        console.print(Text(f"\n{section.title}", style="cyan"))
        console.print(table)


def _entries(key: Key, value: int | float | Rates) -> list[tuple[str, str]]:
    if isinstance(value, Rates):
        return [(f"{key.name}.{dtype}", f"{rate:g}") for dtype, rate in value.entries]
    return [(key.name, f"{value:,}" if key.kind == "count" else f"{value:g}")]


def _plain(target: Target) -> dict[str, Any]:
    values = {field.name: getattr(target, field.name) for field in dataclasses.fields(target)}
    values["sources"] = dict(target.sources)
    return {name: dict(value) if isinstance(value, Rates) else value for name, value in values.items()}
