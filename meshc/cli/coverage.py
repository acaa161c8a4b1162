"""``meshc coverage``: which operators a model uses, and how far each one gets."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from meshc.cli.parameters import FILE
from meshrt import exit_status

if TYPE_CHECKING:
    from meshc.coverage import Coverage
    from meshc.dialects.graph_coverage import Uncovered

#: How many places of one operator are listed.
_PLACES = 4

_COLOURS = {"lowered": "green", "fused": "green", "constant": "cyan", "imported": "red"}


@click.command(short_help="Say which ops a model uses and how far each one gets.")
@click.argument("model", type=FILE)
@click.option("--seq", type=click.IntRange(1), metavar="N", help="Longest prompt, in tokens. [default: of the export]")
@click.option("--batch", type=click.IntRange(1), metavar="N", help="Prompts at once. [default: of the export, or 1]")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(model: Path, seq: int | None, batch: int | None, as_json: bool) -> int:
    """Say which ATen operators MODEL uses, how far each gets, and for the rest the line and the nearest form.

    Exit status 1 when an operator is not covered.
    """
    from meshc.coverage import coverage
    from meshc.frontend.load import load_exported

    loaded = load_exported(model, batch, seq)
    found = coverage(loaded.exported_program, batch, seq)
    if as_json:
        click.echo(json.dumps(found.to_json(), indent=2))
    else:
        _print(found)
    return exit_status.DONE if found.complete else exit_status.DIAGNOSTIC


def _print(found: Coverage) -> None:
    from meshc.coverage import STAGES

    width = max((len(each.op) for each in found.ops), default=2)
    click.echo(click.style(f"{'operator'.ljust(width)}  {'calls':>5}  how far", bold=True))
    for each in found.ops:
        parts = [f"{stage} {count}" if len(each.stages) > 1 else stage for stage, count in each.stages.items()]
        text = click.style(", ".join(parts), fg=_COLOURS[each.reaches])
        click.echo(f"{each.op.ljust(width)}  {each.count:5}  {text}")
    click.echo()
    used = [stage for stage in STAGES if any(stage in each.stages for each in found.ops)]
    for stage in reversed(used):
        click.echo(f"{stage + ':':10} {STAGES[stage]}")
    click.echo()
    if found.complete:
        click.echo("Every operator is covered.")
        return
    groups: dict[tuple[str, str, str], list[Uncovered]] = {}
    for one in found.uncovered:
        groups.setdefault((one.op, one.reason, one.nearest), []).append(one)
    click.echo(click.style(f"Not covered: {len(found.uncovered)} operations of the graph", bold=True))
    for (op, reason, nearest), members in groups.items():
        click.echo(f"\n{click.style(op, fg='red')} ({len(members)}): {reason}")
        places = list(dict.fromkeys(str(m.location) for m in members if m.location))
        for place in places[:_PLACES]:
            click.echo(f"  at {place}")
        if len(places) > _PLACES:
            click.echo(f"  and {len(places) - _PLACES} more places")
        click.echo(f"  nearest supported form: {nearest}")
