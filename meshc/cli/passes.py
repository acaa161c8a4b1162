"""``meshc passes``: which passes there are, with their options."""

from __future__ import annotations

import inspect
import json
import re
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from meshc.passes.base import Pass


@click.command(short_help="List the passes and their options.")
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(name: str | None, as_json: bool) -> None:
    """List the passes with their options, or say all about the pass NAME."""
    from meshc.passes.registry import PassRegistry, find_pass

    registry = PassRegistry()
    chosen = [find_pass(name, registry)] if name is not None else [registry[each] for each in registry]
    if as_json:
        click.echo(json.dumps([_plain(each) for each in chosen], indent=2))
    elif name is not None:
        _show(chosen[0])
    else:
        for each in chosen:
            _line(each)


def _line(cls: type[Pass]) -> None:
    click.echo(f"{click.style(cls.name, bold=True)}\n    {_documentation(cls).partition(chr(10))[0]}")
    for text in _options(cls):
        click.echo(f"    {text}")


def _show(cls: type[Pass]) -> None:
    click.echo(f"{click.style(cls.name, bold=True)}\n\n{_documentation(cls)}")
    options = _options(cls)
    if options:
        click.echo("\n" + click.style("options", fg="cyan"))
        for text in options:
            click.echo(f"  {text}")


def _documentation(cls: type[Pass]) -> str:
    """The docstring as plain text: cross references and literals lose their markup."""
    text = inspect.cleandoc(cls.__doc__ or "")
    return re.sub(r":\w+:`~?(?:[\w.]+\.)?(\w+)`", r"\1", text).replace("``", "`")


def _options(cls: type[Pass]) -> list[str]:
    """``rows  int or none, default none`` for each option, aligned."""
    from meshc.ir.typed_values import word_text
    from meshc.passes.pass_options import options_of

    options = options_of(cls).values()
    width = max((len(option.name) for option in options), default=0)
    return [f"{option.name.ljust(width)}  {option.kind}, default {word_text(option.default)}" for option in options]


def _plain(cls: type[Pass]) -> dict[str, Any]:
    from meshc.passes.pass_options import options_of

    return {
        "name": cls.name,
        "documentation": _documentation(cls),
        "options": [
            {"name": option.name, "type": option.kind, "default": option.default} for option in options_of(cls).values()
        ],
    }
