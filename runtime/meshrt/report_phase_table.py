"""The four PLMR answers of every phase of a run, side by side: a row for each figure, a column for each phase."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rich.table import Table

from meshrt.figures import duration, joules, percent, short

Phase = Mapping[str, Any]


def _bytes(count: int) -> str:
    return f"{count:,} B"


def _busiest(phase: Phase) -> str:
    words = phase["routing"].get("max_link_words")
    return "-" if words is None else f"{short(words)} words"


#: What a row is about, the figure, and how a phase has it.
_ROWS: tuple[tuple[str, str, Callable[[Phase], str]], ...] = (
    ("Time", "cycles", lambda p: f"{p['cycles']:,}"),
    ("", "at the clock", lambda p: duration(p["seconds"])),
    ("Parallelism", "PEs", lambda p: f"{p['parallelism']['pes']:,}"),
    ("", "busy", lambda p: percent(p["parallelism"]["busy_fraction"])),
    ("", "MACs", lambda p: short(p["parallelism"]["macs"]) if p["parallelism"]["macs"] else "-"),
    ("", "of peak", lambda p: percent(p["parallelism"]["mac_utilization"])),
    ("Latency", "critical hops", lambda p: f"{p['latency']['critical_hops']:,}"),
    ("", "critical stages", lambda p: f"{p['latency']['critical_stages']:,}"),
    ("", "waiting", lambda p: percent(p["latency"]["wait_fraction"])),
    ("Memory", "fullest PE", lambda p: _bytes(p["memory"]["peak_bytes"])),
    ("", "of it code", lambda p: _bytes(p["memory"]["code_bytes"])),
    ("Routing", "colors", lambda p: str(p["routing"]["colors_peak"])),
    ("", "words sent", lambda p: short(p["routing"]["words"])),
    ("", "load of a link", lambda p: percent(p["routing"]["mean_link_utilization"])),
    ("", "busiest link", _busiest),
    ("Energy", "", lambda p: joules(p["joules"])),
)


def phase_table(phases: Sequence[Phase]) -> Table:
    """The table of the report's ``phases``."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("phase", style="bold", no_wrap=True)
    table.add_column("", no_wrap=True)
    for phase in phases:
        table.add_column(phase["name"], justify="right", no_wrap=True)
    for about, figure, told in _ROWS:
        table.add_row(about, figure, *map(told, phases))
    return table
