"""Run a saved program on both engines and say where they differ: ``python -m tests.differential.rerun FILE.mesh``.

``FILE.toml`` beside it, where there is one, has the numbers of its target and its runtime scalars
(:mod:`tests.differential.case`). Exit status 1 where the engines differ in what they must not.
"""

from __future__ import annotations

import sys
from pathlib import Path

from meshrt.diagnostics import MeshError
from tests.differential.agreement import Pair, run_case
from tests.differential.case import Case

COUNTS = ("contended_words", "stalled_words")


def describe(case: Case, pair: Pair) -> str:
    """Clocks of every PE, region by region and row by row, and what both engines counted."""
    lines = [str(pair.comparison("this program"))]
    first = 0
    for region in case.program.regions:
        for y in range(region.height):
            row = slice(first + y * region.width, first + (y + 1) * region.width)
            reference, batched = pair.reference.clocks[row].tolist(), pair.batched.clocks[row].tolist()
            said = "both" if reference == batched else "reference"
            lines.append(f"{region.name} row {y}, {said}: {' '.join(map(str, reference))}")
            if reference != batched:
                lines.append(f"{' ' * len(f'{region.name} row {y}')}    batched: {' '.join(map(str, batched))}")
        first += region.width * region.height
    for key in COUNTS:
        counts = [result.report["routing"][key] for result in (pair.reference, pair.batched)]
        lines.append(f"{key}: {counts[0]} on reference, {counts[1]} on batched")
    return "\n".join([*lines, *(f"differs: {found}" for found in pair.differences())])


def main(arguments: list[str]) -> int:
    """The command."""
    if len(arguments) != 1:
        print("usage: python -m tests.differential.rerun FILE.mesh", file=sys.stderr)
        return 2
    case = Case.load(Path(arguments[0]))
    try:
        pair = run_case(case)
    except MeshError as error:
        print(error.diagnostic.render())
        return 1
    print(describe(case, pair))
    return 1 if pair.differences() else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
