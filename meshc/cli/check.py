"""``meshc check``: whether a build makes sense on its target and what is proven about it, without running it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from meshc.cli.parameters import FILE
from meshrt.exit_status import DIAGNOSTIC, DONE

if TYPE_CHECKING:
    from meshrt.program.proofs import RegionProof

#: Up to how many values of scalars are counted in words.
MOST_COUNTED = 10**9


@click.command()
@click.argument("build", type=FILE)
@click.option("--target", metavar="NAME|FILE", help="Check it against another machine.")
@click.option("--proof/--no-proof", default=True, help="Prove that it ends, which takes long on a large grid.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(build: Path, target: str | None, proof: bool, as_json: bool) -> int:
    """Check the program of BUILD against its target, and prove that it runs to its end.

    First its declarations and code: SRAM, colors, routes, queues. Everything that is wrong is
    told, not only the first. Then what it does, for every value of its runtime scalars: no
    deadlock, no words left over, no buffer touched that a move holds or that another has
    overwritten, no route rewritten under passing words; a counter-example where it is not so.
    When nothing is wrong, what was proven and the memory map of the fullest PE are shown, and of
    a build that decodes the longest context that its grid can hold.
    """
    from meshrt.build import modified_files, read_build
    from meshrt.program.check import diagnose
    from meshrt.program.memory_map import memory_map
    from meshrt.program.proofs import Proof, prove
    from meshrt.progress import progress_for_stderr
    from meshrt.target import load_target
    from meshrt.terminal import print_diagnostics, print_warning

    loaded = read_build(build, load_target(target) if target is not None else None)
    shapes = None if loaded.manifest.timing_only else {name: t.shape for name, t in loaded.weights.items()}
    found = diagnose(loaded.program, loaded.target, loaded.source, shapes)
    proven = Proof((), ())
    if proof and not found:
        with progress_for_stderr(quiet=as_json) as progress:
            proven = prove(loaded.program, loaded.target, loaded.source, progress)
        found = proven.findings
    modified = modified_files(build, loaded.manifest)
    # It was found when the build was compiled, for the target that it was compiled for.
    same_target = loaded.target.digest == loaded.manifest.target_digest
    capacity = loaded.manifest.details.get("capacity") if same_target else None
    if as_json:
        click.echo(
            json.dumps(
                {
                    "target": loaded.target.name,
                    "target_digest": loaded.target.digest,
                    "program_digest": hashlib.sha256(loaded.source.text.encode()).hexdigest(),
                    "findings": [
                        {"code": d.code, "message": d.message, "place": str(d.place or ""), "notes": list(d.notes)}
                        for d in found
                    ],
                    "proven": [asdict(region) for region in proven.regions] if not found else [],
                    "capacity": capacity,
                    "modified": modified,
                },
                indent=2,
            )
        )
        return DIAGNOSTIC if found else DONE
    for name in modified:
        print_warning(f"{name} is not as meshc compile wrote it")
    if found:
        print_diagnostics(found)
        return DIAGNOSTIC
    click.echo(
        f"{build}: nothing wrong on {loaded.target.name}{'' if proof else ', as far as one sees without a proof'}"
    )
    for region in proven.regions:
        click.echo(_proven(region))
    click.echo(memory_map(loaded.program, loaded.target).render())
    if capacity is not None:
        click.echo(_longest_contexts(capacity))
    return DONE


def _longest_contexts(capacity: Mapping[str, Any]) -> str:
    """How the cache lies, and for each policy the longest context with what limits it."""
    lines = [
        f"KV cache by {capacity['policy']}: {_held(capacity, capacity['policy'], capacity)}",
        f"longest context on this grid, prompts of up to {capacity['prompt']:,} tokens:",
    ]
    for policy, found in capacity["longest"].items():
        if not found["slots"]:
            lines.append(f"  {policy:<7} none: {found['reason']}")
            continue
        other = found["peak_bytes"] - found["cache_bytes"] - found["code_bytes"]
        lines.append(
            f"  {policy:<7} {_held(capacity, policy, found)}: {found['cache_bytes']:,} bytes of a PE, beside "
            f"{found['code_bytes']:,} of code and runtime and {other:,} of all else;\n"
            f"          {capacity['sram_bytes'] - found['peak_bytes']:,} are free, and one more slot takes "
            f"{found['next_slot_bytes']:,} ({found['cache_bytes'] // found['slots']:,} of it cache)"
        )
    return "\n".join(lines)


def _held(capacity: Mapping[str, Any], policy: str, tokens: Mapping[str, Any]) -> str:
    """So many tokens in so many slots."""
    slots = f"{tokens['slots']:,} slot{'s' if tokens['slots'] > 1 else ''}"
    where = "the last row" if policy == "append" else f"each of {capacity['rows']:,} rows"
    return f"{tokens['context']:,} tokens in {slots} of {where}"


def _proven(region: RegionProof) -> str:
    """What was proven of a region, in one line."""
    scalars = ""
    if region.choices > 1:
        classes = "one class" if region.classes == 1 else f"{region.classes:,} classes"
        # Of a program that writes text there are more prompts, seeds and stop ids than anybody counts.
        many = f"{region.choices:,} " if region.choices <= MOST_COUNTED else ""
        scalars = f" for all {many}values of its scalars ({classes})"
    rounds = f", {region.rounds_skipped:,} rounds of loops by induction" if region.rounds_skipped else ""
    return (
        f"region {region.region}: {region.pes:,} PEs and {region.colors} colors run to their end{scalars}; "
        f"{region.words:,} words and {region.steps:,} steps looked at{rounds}"
    )
