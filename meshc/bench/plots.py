"""The rows of a bench as plots, SVG: cycles over the grid and over the size, and what the cycles are made of.

Bytes depend on the rows alone. matplotlib draws; it comes with the extra ``plot``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from meshc.bench.measure import Row
from meshrt.diagnostics import MeshError

#: Parts of a bar and their colours, in the order in which they are stacked.
_PARTS = (("compute", "#0b6e99"), ("transfer", "#c2571a"), ("wait", "#9aa0a6"))
#: Lower bounds, and how their lines are drawn.
_BOUNDS = (("macs", ":"), ("words", "--"), ("distance", "-."))


def draw(rows: Sequence[Row], folder: Path) -> list[Path]:
    """Write the plots that the rows allow into a folder and give their files.

    Cycles over PEs, a file for each size that has several grids; cycles over the size, a file for
    each grid that has several sizes; stacked shares, a file for each size and grid. Raises M0620 without matplotlib.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise MeshError(
            "M0620",
            "--plots draws with matplotlib, which is not installed",
            helps=["pip install 'meshc[plot]'", "--json FILE writes the figures"],
        ) from None
    found = [row for row in rows if row.cycles is not None]
    folder.mkdir(parents=True, exist_ok=True)
    written: list[Path] = []

    def save(name: str, fill: Callable[[Any], None]) -> None:
        import matplotlib as mpl

        figure = Figure(figsize=(7.2, 4.2), layout="constrained")
        fill(figure.subplots())
        path = folder / f"{name}.svg"
        with mpl.rc_context({"svg.hashsalt": "meshc", "svg.fonttype": "none"}):
            figure.savefig(path, metadata={"Date": None, "Creator": None})
        written.append(path)

    for size in _distinct(row.size for row in found):
        some = [row for row in found if row.size == size]
        if len(_distinct(row.grid for row in some)) > 1:
            title = f"{some[0].operation} {_by(size)}"
            save(
                f"{some[0].operation}-{_by(size)}-grids",
                _lines(some, title, "PEs", lambda row: row.grid[0] * row.grid[1]),
            )
    for grid in _distinct(row.grid for row in found):
        some = [row for row in found if row.grid == grid]
        if len(_distinct(row.size for row in some)) > 1:
            title = f"{some[0].operation} on {_by(grid)} PEs"
            save(f"{some[0].operation}-{_by(grid)}-sizes", _lines(some, title, "size", lambda row: max(row.size)))
    for grid, size in _distinct((row.grid, row.size) for row in found):
        some = [row for row in found if (row.grid, row.size) == (grid, size) and row.shares is not None]
        if some:
            save(f"{some[0].operation}-{_by(size)}-{_by(grid)}-shares", _stacks(some))
    return written


def _lines(rows: Sequence[Row], title: str, label: str, at: Callable[[Row], int]) -> Callable[[Any], None]:
    def fill(axes: Any) -> None:
        for algorithm in _distinct(row.algorithm for row in rows):
            points = sorted((at(row), row.cycles) for row in rows if row.algorithm == algorithm)
            axes.plot(*zip(*points, strict=True), marker="o", label=algorithm)
        for name, style in _BOUNDS:
            points = sorted({(at(row), row.bounds[name]) for row in rows if row.bounds[name]})
            if points:
                axes.plot(*zip(*points, strict=True), color="black", linestyle=style, label=f"bound: {name}")
        axes.set(title=title, xlabel=label, ylabel="cycles", xscale="log", yscale="log")
        places = _distinct(at(row) for row in rows)
        axes.set_xticks(places, [f"{place:,}" for place in places])
        axes.set_xticks([], minor=True)
        axes.legend(loc="upper left", bbox_to_anchor=(1, 1))
        axes.grid(True, which="both", alpha=0.3)

    return fill


def _stacks(rows: Sequence[Row]) -> Callable[[Any], None]:
    def fill(axes: Any) -> None:
        names = [row.algorithm for row in rows]
        left = [0.0] * len(rows)
        for part, color in _PARTS:
            widths = [getattr(row.shares, part) for row in rows]
            axes.barh(names, widths, left=left, color=color, label=part)
            left = [a + b for a, b in zip(left, widths, strict=True)]
        bound = rows[0].bounds["cycles"]
        axes.axvline(bound, color="black", linestyle=":", label="lower bound")
        axes.set(title=f"{rows[0].operation} {_by(rows[0].size)} on {_by(rows[0].grid)} PEs", xlabel="cycles")
        axes.invert_yaxis()
        axes.legend(loc="upper left", bbox_to_anchor=(1, 1))

    return fill


def _by(extents: Sequence[int]) -> str:
    return "x".join(map(str, extents))


def _distinct(items: Any) -> list[Any]:
    """In the order of their first appearance."""
    return list(dict.fromkeys(items))
