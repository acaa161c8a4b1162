"""The rows of a bench as a table: a block for each size and grid, its lower bound first, the fastest in bold."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby

from rich.table import Table

from meshc.bench.measure import Row
from meshrt.figures import percent

#: What bounds a case, in words, by the key of its bound.
BOUND_NAMES: Mapping[str, str] = {"macs": "MACs", "words": "words", "distance": "distance"}

_FIGURES = ("cycles", "x bound", "model", "compute", "transfer", "wait")
_PLMR = ("hops", "stages", "B/PE", "colors", "writes", "paths")


def bench_table(rows: Sequence[Row]) -> Table:
    """Cycles beside bound and model's error, what the critical path is made of, and the PLMR columns."""
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="dim")
    table.add_column("algorithm", no_wrap=True)
    for name in (*_FIGURES, *_PLMR):
        table.add_column(name, justify="right", no_wrap=True)
    for _, block in groupby(rows, key=lambda row: (row.grid, row.size)):
        _block(table, list(block))
    return table


def _block(table: Table, rows: list[Row]) -> None:
    first = rows[0]
    tightest = max(BOUND_NAMES, key=lambda key: first.bounds[key])
    place = f"{'x'.join(map(str, first.size))} on {'x'.join(map(str, first.grid))}"
    table.add_row(place, f"{first.bounds['cycles']:,}", "1.00", f"{BOUND_NAMES[tightest]}", style="dim")
    best = min((row.cycles for row in rows if row.cycles is not None), default=None)
    for row in rows:
        if row.cycles is None:
            table.add_row(f"  {row.algorithm}", "-", style="dim")
        else:
            table.add_row(f"  {row.algorithm}", *_figures(row), style="bold" if row.cycles == best else None)


def _figures(row: Row) -> Iterable[str]:
    cycles = row.cycles or 0
    yield f"{cycles:,}"
    yield f"{cycles / row.bounds['cycles']:.2f}" if row.bounds["cycles"] else "-"
    yield "-" if row.error is None else f"{100 * row.error:+.1f} %"
    shares = row.shares
    for part in ("compute", "transfer", "wait"):
        yield "-" if shares is None or not cycles else percent(getattr(shares, part) / cycles)
    for figure in (row.hops, row.stages, row.peak_bytes, row.colors, row.route_writes):
        yield "-" if figure is None else f"{figure:,}"
    yield row.paths or "-"


def refusals(rows: Sequence[Row]) -> list[str]:
    """A line for each case that could not run, with the reason."""
    return [
        f"{row.algorithm} at {'x'.join(map(str, row.size))} on {'x'.join(map(str, row.grid))}: {row.impossible}"
        for row in rows
        if row.impossible is not None
    ]
