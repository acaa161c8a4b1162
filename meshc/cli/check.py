"""``meshc check``: whether a build makes sense on its target, without running it."""

from __future__ import annotations

import json
from pathlib import Path

import click

from meshc.cli.parameters import FILE
from meshrt.exit_status import DIAGNOSTIC, DONE


@click.command()
@click.argument("build", type=FILE)
@click.option("--target", metavar="NAME|FILE", help="Check it against another machine.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(build: Path, target: str | None, as_json: bool) -> int:
    """Check the program of BUILD against its target: SRAM, colors, routes, queues, code.

    Everything that is wrong is told, not only the first. When nothing is, the memory map of
    the fullest PE is shown.
    """
    from meshrt.build import modified_files, read_build
    from meshrt.program.check import diagnose
    from meshrt.program.memory_map import memory_map
    from meshrt.target import load_target
    from meshrt.terminal import print_diagnostics, print_warning

    loaded = read_build(build, load_target(target) if target is not None else None)
    shapes = None if loaded.manifest.timing_only else {name: t.shape for name, t in loaded.weights.items()}
    found = diagnose(loaded.program, loaded.target, loaded.source, shapes)
    modified = modified_files(build, loaded.manifest)
    if as_json:
        findings = [{"code": d.code, "message": d.message, "place": str(d.place or "")} for d in found]
        click.echo(json.dumps({"target": loaded.target.name, "findings": findings, "modified": modified}, indent=2))
        return DIAGNOSTIC if found else DONE
    for name in modified:
        print_warning(f"{name} is not as meshc compile wrote it")
    if found:
        print_diagnostics(found)
        return DIAGNOSTIC
    click.echo(f"{build}: nothing wrong on {loaded.target.name}")
    click.echo(memory_map(loaded.program, loaded.target).render())
    return DONE
