"""What ``select-kernels`` considered, as text: the candidates for each operation, and why one of them won."""

from __future__ import annotations

from collections.abc import Sequence

from meshc.kernels.schedule import schedule_text
from meshc.passes.candidates import Candidate, Choice, title

_HEAD = ("kernel", "schedule", "cycles", "bytes", "colors", "hops", "stages")
#: Columns of numbers begin here.
_NUMBERS = 2


def choice_table(choices: Sequence[Choice]) -> str:
    """One section for each operation that leaves a choice, the chosen one first, the others by cost.

    ``bytes`` and ``colors`` are those of the operation alone, in the PE that holds most; hops and
    stages those of its critical path.
    """
    several = [
        choice for choice in choices if len(choice.possible) > 1 or (choice.pinned and len(choice.candidates) > 1)
    ]
    sections = [_section(choice) for choice in several]
    alone = sorted({choice.chosen.kernel.name for choice in choices if choice not in several})
    if alone:
        sections.append(f"without another candidate: {', '.join(alone)}")
    return "\n\n".join(sections)


def _section(choice: Choice) -> str:
    order = sorted(choice.candidates, key=lambda c: (c is not choice.chosen, bool(c.obstacle), c.cost))
    rows = [(*_cells(candidate), verdict(choice, candidate)) for candidate in order]
    table = [(*_HEAD, ""), *rows]
    widths = [max(len(row[i]) for row in table) for i in range(len(_HEAD))]
    lines = [title(choice)]
    for number, row in enumerate(table):
        cells = [
            cell.rjust(width) if i >= _NUMBERS else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=False))
        ]
        mark = "> " if number == 1 else "  "
        lines.append(f"{mark}{'  '.join((*cells, row[-1]))}".rstrip())
    return "\n".join(lines)


def _cells(candidate: Candidate) -> tuple[str, ...]:
    e = candidate.estimate
    numbers = (e.cycles, e.bytes, e.colors, e.hops, e.stages) if e else ()
    cells = [f"{number:,}" for number in numbers] or [""] * (len(_HEAD) - _NUMBERS)
    return candidate.kernel.name, schedule_text(candidate.schedule), *cells


def verdict(choice: Choice, candidate: Candidate) -> str:
    """Why a candidate was chosen, or was not."""
    if candidate.obstacle:
        return candidate.obstacle
    if candidate.order in choice.unfit:
        return choice.unfit[candidate.order]
    best = choice.chosen.estimate
    if candidate is choice.chosen:
        if len(choice.possible) == 1:
            return "pinned" if choice.pinned else "the only one that can"
        if best is None:
            return "the first in order; none has an estimate"
        return "the fewest cycles that fit" if choice.unfit else "the fewest cycles"
    if candidate.estimate is None:
        return "no estimate" if best is not None else ""
    if best is None:
        return ""
    if candidate.estimate.cycles == best.cycles:
        return "as fast"
    return f"{candidate.estimate.cycles / best.cycles:.2f} x the cycles"
