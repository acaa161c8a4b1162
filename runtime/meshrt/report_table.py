"""Draws a run's report for the terminal: the four PLMR answers, by phase too, then who pays by source line.

Reads the report's JSON only (see :mod:`meshrt.report_schema`); used by ``meshc run`` and
``python -m meshrt``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from meshrt.figures import duration, joules, percent, short
from meshrt.report_phase_table import phase_table

#: Rows of the op table that are shown; the lightest of the rest are summed in one.
OPS_SHOWN = 24
_BAR_CELLS = 12
_BARS_FROM_WIDTH = 100
#: Columns between columns, and how narrow names and source lines may become.
_GAP, _LEAST_NAME, _LEAST_SOURCE = 2, 24, 12
#: Shares from which a resource is close to its limit, and nearly at it.
_CLOSE, _FULL = 0.75, 0.95


def print_report(report: Mapping[str, Any], console: Console, ops: int = OPS_SHOWN) -> None:
    """Print the report's table: ``ops`` rows of source operations at most."""
    console.print(render_report(report, console.width, ops))


def render_report(report: Mapping[str, Any], width: int, ops: int = OPS_SHOWN) -> RenderableType:
    """The report as one rich renderable for a terminal of ``width`` columns; a narrow one gets no bars."""
    bars = width >= _BARS_FROM_WIDTH
    parts: list[RenderableType] = [_title(report), _resources(report, bars)]
    if len(report.get("phases", [])) > 1:
        parts += [Text(), phase_table(report["phases"])]
    if report["ops"] and ops:
        parts += [Text(), _ops(report, ops, bars, width)]
    return Group(*parts)


def _title(report: Mapping[str, Any]) -> Text:
    provenance = report["provenance"]
    what = report.get("model") or "program"
    region = provenance.get("region")
    title = Text()
    title.append(str(what), style="bold")
    title.append(f" on {provenance['target']}" + (f", {region} PEs" if region else ""))
    if provenance["timing_only"]:
        title.append(" (timing only)", style="dim")
    title.append("\n")
    title.append(f"{report['cycles']:,} cycles", style="bold")
    title.append(f" = {duration(report['seconds'])} at {provenance['clock_hz'] / 1e9:.3g} GHz\n")
    return title


def _resources(report: Mapping[str, Any], bars: bool) -> Table:
    p, l, m, r, h = (report[k] for k in ("parallelism", "latency", "memory", "routing", "host"))  # noqa: E741
    held = m["peak_bytes"] / m["sram_bytes"]
    colors = r["colors_peak"] / r["colors_limit"] if r["colors_limit"] else 0.0
    x, y = m["peak_pe"]
    fullest = f"PE ({x}, {y})" + (f" of {m['peak_region']}" if "peak_region" in m else "")
    link = f" ({r['max_link']})" if r.get("max_link") else ""
    rows: list[tuple[str, str | Text, str]] = [
        (
            "Parallelism",
            _bar(p["busy_fraction"]),
            f"{p['pes']:,} PEs busy {percent(p['busy_fraction'])} of the time, "
            f"{short(p['macs'])} MACs, {percent(p['mac_utilization'])} of peak",
        ),
        (
            "Latency",
            _bar(l["wait_fraction"]),
            f"waiting for the fabric {percent(l['wait_fraction'])} of the time, "
            f"critical path {l['critical_hops']:,} hops and {l['critical_stages']:,} stages",
        ),
        (
            "Memory",
            _bar(held, limited=True),
            f"{m['peak_bytes']:,} of {m['sram_bytes']:,} B ({percent(held)}) at {fullest}, "
            f"mean {m['mean_bytes']:,.0f} B, code {m['code_bytes']:,} B",
        ),
        (
            "Routing",
            _bar(colors, limited=True),
            f"{r['colors_peak']} of {r['colors_limit']} colors, {short(r['route_writes'])} route writes; "
            f"busiest link{link} {short(r['max_link_words'])} words, {percent(r['max_link_utilization'])} of cycles; "
            f"contended {short(r['contended_words'])}, stalled {short(r['stalled_words'])} words",
        ),
        ("Host", "", f"{h['words_in']:,} words in, {h['words_out']:,} out"),
    ]
    if generation := report.get("generation"):
        rows.append(("Generation", "", _generation(generation)))
    if energy := report.get("energy"):
        rows.append(("Energy", "", _energy(energy)))
    if padding := report.get("padding"):
        rows.append(("Padding", "", _padding(padding)))
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, _GAP, 0, 0))
    table.add_column(style="bold", no_wrap=True)
    if bars:
        table.add_column(no_wrap=True)
    table.add_column()
    for name, bar, text in rows:
        table.add_row(name, *([bar] if bars else []), text)
    return table


def _generation(generation: Mapping[str, Any]) -> str:
    prompts, written = generation["prompts"], generation["new_tokens"]
    many = f"{len(prompts)} prompts of " if len(prompts) > 1 else "prompt of "
    parts = [f"{many}{' + '.join(map(str, prompts))} tokens, {' + '.join(map(str, written))} new"]
    if "first_token_seconds" in generation:
        parts.append(f"first token after {duration(generation['first_token_seconds'])}")
    if "token_seconds" in generation:
        parts.append(f"then one every {duration(generation['token_seconds'])}")
        parts.append(f"{short(round(generation['tokens_per_second']))} tokens per second")
    return "; ".join(parts)


def _energy(energy: Mapping[str, Any]) -> str:
    total = energy["joules"] or 1.0
    causes = {"MACs": "mac", "operations": "operation", "SRAM": "sram", "links": "link", "static": "static"}
    shares = ", ".join(f"{name} {percent(energy[f'{cause}_joules'] / total)}" for name, cause in causes.items())
    return f"{joules(energy['joules'])} ({energy['mean_watts']:,.3g} W): {shares}"


def _padding(padding: Mapping[str, Any]) -> str:
    parts = []
    if padding.get("mac_fraction"):
        parts.append(f"{percent(padding['mac_fraction'])} of MACs")
    for name, pairs in (("tokens", [padding.get("tokens", (0, 0))]), ("features", padding.get("features", []))):
        grown = ", ".join(f"{own:,} -> {padded:,}" for own, padded in pairs if own != padded)
        if grown:
            parts.append(f"{name} {grown}")
    return "; ".join(parts) or "none"


def _ops(report: Mapping[str, Any], limit: int, bars: bool, width: int) -> Table:
    rows: Sequence[Mapping[str, Any]] = report["ops"]
    total = sum(row["cycles"] for row in rows) or 1
    heaviest = sorted(range(len(rows)), key=lambda i: (-rows[i]["cycles"], i))
    # One row less than asked for when a row is needed for the rest.
    shown = set(heaviest if len(rows) <= limit else heaviest[: limit - 1])
    rest = [rows[i] for i in range(len(rows)) if i not in shown]
    by_layer = any("layer" in row for row in rows)
    names = ["operation", "source line", *(["layer"] if by_layer else []), "cycles", "share"]
    names += [*([""] if bars else []), "MACs", "words"]
    cells = [
        [row["name"], _source(row["location"]), *([str(row.get("layer", ""))] if by_layer else [])]
        + _figures([row], total, bars)
        for i, row in enumerate(rows)
        if i in shown
    ]
    if rest:
        cells.append([f"{len(rest)} more", "", *([""] if by_layer else []), *_figures(rest, total, bars)])
    widths = [max(len(str(row[column])) for row in [names, *cells]) for column in range(len(names))]
    # On a narrow terminal names give way first, then source lines; figures never do.
    excess = sum(widths) + _GAP * (len(widths) - 1) - width
    for column, least in ((0, _LEAST_NAME), (1, _LEAST_SOURCE)):
        given = min(max(excess, 0), max(widths[column] - least, 0))
        widths[column] -= given
        excess -= given
    for row in cells:
        row[0], row[1] = shortened(str(row[0]), widths[0]), shortened(str(row[1]), widths[1])
    table = Table(box=None, pad_edge=False, padding=(0, _GAP, 0, 0), header_style="dim")
    for column, name in enumerate(names):
        left = column < 2 or not name
        table.add_column(name, justify="left" if left else "right", no_wrap=True, width=widths[column])
    for i, row in enumerate(cells):
        table.add_row(*row, style="dim" if rest and i == len(cells) - 1 else "")
    return table


def _figures(rows: Sequence[Mapping[str, Any]], total: float, bars: bool) -> list[str | Text]:
    cycles = sum(row["cycles"] for row in rows)
    share = cycles / total
    macs, words = (sum(row[key] for row in rows) for key in ("macs", "words"))
    return [
        f"{cycles:,.0f}",
        percent(share),
        *([_bar(share)] if bars else []),
        short(macs) if macs else "-",
        short(words) if words else "-",
    ]


def shortened(text: str, width: int) -> str:
    """The text in ``width`` columns: of a name, its first word and the end of the rest are what tells it apart."""
    if len(text) <= width:
        return text
    first, space, rest = text.partition(" ")
    room = width - len(first) - len(space) - 1
    if not space or room < 4:
        return "…" + text[len(text) - width + 1 :]
    return f"{first} …{rest[len(rest) - room :]}"


def _source(location: str) -> str:
    """The file's own name and the line: the folders above it rarely tell more, and take the width."""
    return location.rpartition("/")[2]


def _bar(share: float, limited: bool = False) -> Text:
    """A bar of eighths of a cell; of a limited resource, coloured by how close it is."""
    share = min(max(share, 0.0), 1.0)
    eighths = round(share * _BAR_CELLS * 8)
    if share > 0:
        eighths = max(eighths, 1)
    full, part = divmod(eighths, 8)
    cells = "█" * full + (" ▏▎▍▌▋▊▉"[part] if part else "")
    style = "cyan" if not limited else "red" if share >= _FULL else "yellow" if share >= _CLOSE else "green"
    return Text(cells.ljust(_BAR_CELLS), style=style)
