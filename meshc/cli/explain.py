"""``meshc explain CODE``: the longer explanation behind a diagnostic."""

from __future__ import annotations

import json
import shutil

import click

from meshrt.diagnostics import CATALOG, MeshError
from meshrt.diagnostics.suggest import did_you_mean

#: Columns that text is wrapped at on a wider terminal.
MAX_WIDTH = 100


@click.command()
@click.argument("code", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(code: str | None, as_json: bool) -> None:
    """Explain the diagnostic CODE, such as M0101; without it, list all codes."""
    if code is None:
        if as_json:
            click.echo(json.dumps({name: entry.title for name, entry in sorted(CATALOG.items())}, indent=2))
            return
        for name, entry in sorted(CATALOG.items()):
            click.echo(f"{click.style(name, fg='red', bold=True)}  {entry.title}")
        return
    wanted = normalized(code)
    entry = CATALOG.get(wanted)
    if entry is None:
        raise MeshError(
            "M0650",
            f"there is no diagnostic {code!r}",
            helps=[*did_you_mean(wanted, CATALOG), "meshc explain lists them all"],
        )
    if as_json:
        click.echo(json.dumps({"code": wanted, "title": entry.title, "explanation": entry.explanation}, indent=2))
        return
    click.echo(f"{click.style(wanted, fg='red', bold=True)}: {click.style(entry.title, bold=True)}\n")
    width = min(shutil.get_terminal_size().columns, MAX_WIDTH)
    click.echo(click.wrap_text(entry.explanation.strip(), width, preserve_paragraphs=True))


def normalized(code: str) -> str:
    """The code as the catalog has it: ``m101``, ``101`` and ``error[M0101]`` all mean ``M0101``."""
    digits = "".join(c for c in code if c.isdigit())
    return f"M{digits.zfill(4)}" if digits else code.upper()
