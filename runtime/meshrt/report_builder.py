"""The report of a run, ``meshc.report/1``, from what the engine counted."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import metadata
from typing import Any

from meshrt.energy import link_joules, row_joules, summed
from meshrt.engines.result import Finished
from meshrt.manifest import Manifest
from meshrt.program.memory_map import memory_map
from meshrt.program.model import Program
from meshrt.program.phases import Phases
from meshrt.report_phases import report_phases
from meshrt.report_schema import SCHEMA
from meshrt.target import Target

_SIDE_NAMES = ("N", "E", "S", "W")


def build_report(
    program: Program,
    target: Target,
    finished: Finished,
    program_digest: str,
    manifest: Manifest | None,
    engine: str,
    timing_only: bool = False,
) -> dict[str, Any]:
    """The report as plain JSON values; see :mod:`meshrt.report_schema` for every field."""
    cycles, rows = finished.cycles, finished.rows
    pes = len(finished.clocks)
    pe_cycles = max(1, pes * cycles)
    macs = sum(row.macs for row in rows)
    busy = sum(row.busy for row in rows)
    waits = sum(row.waits for row in rows)
    peak_rate = max(target.fma_elements_per_cycle.values())
    memory = memory_map(program, target)
    links = finished.link_words.reshape(-1)
    busiest = int(links.argmax()) if links.size else 0
    link_words = int(links[busiest]) if links.size else 0
    report: dict[str, Any] = {
        "schema": SCHEMA,
        "model": manifest.model if manifest else "",
        "cycles": cycles,
        "seconds": cycles / target.clock_hz,
        "parallelism": {
            "pes": pes,
            "busy_fraction": min(1.0, busy / pe_cycles),
            "macs": macs,
            "mac_utilization": min(1.0, macs / (pe_cycles * peak_rate)),
        },
        "latency": {
            "critical_hops": finished.hops,
            "critical_stages": finished.stages,
            "wait_fraction": min(1.0, waits / pe_cycles),
            **({"events": _events(finished)} if finished.events else {}),
        },
        "memory": {
            "sram_bytes": target.sram_bytes,
            "peak_bytes": memory.peak_bytes,
            "peak_pe": list(memory.peak_pe[1:]) if memory.peak_pe else [0, 0],
            **({"peak_region": memory.peak_pe[0]} if memory.peak_pe and len(program.regions) > 1 else {}),
            "mean_bytes": memory.mean_bytes,
            "code_bytes": memory.code_bytes,
        },
        "routing": {
            "colors_limit": target.program_colors,
            "colors_peak": int(finished.router_colors.max(initial=0)),
            "route_writes": finished.route_writes,
            "max_link_words": link_words,
            "max_link_utilization": min(1.0, link_words / max(1, cycles * target.link_words_per_cycle)),
            "max_link": _link_name(program, busiest),
            "contended_words": finished.contended_words,
            "stalled_words": finished.stalled_words,
        },
        "host": {"words_in": finished.host_words_in, "words_out": finished.host_words_out},
        "energy": _energy(target, finished),
        "phases": report_phases(program, target, finished, (manifest.phase if manifest else "") or "program"),
        "ops": _ops(program, target, finished),
        "provenance": {
            "meshrt_version": runtime_version(),
            "engine": engine,
            "timing_only": timing_only,
            "target": target.name,
            "target_digest": target.digest,
            "clock_hz": target.clock_hz,
            "program_digest": program_digest,
            "region": "+".join(f"{r.width}x{r.height}" for r in program.regions),
            "versions": dict(manifest.versions) if manifest else {},
        },
    }
    padding = manifest.details.get("padding") if manifest else None
    if isinstance(padding, Mapping):
        # A shorter prompt runs the same program, so what it does not fill is padding too.
        report["padding"] = dict(padding)
        if "useful_macs" in padding:
            fraction = max(0.0, 1.0 - padding["useful_macs"] / macs) if macs else 0.0
            report["padding"]["mac_fraction"] = fraction
    return report


def runtime_version() -> str:
    """Version of the installed distribution that holds the runtime, or of a bare checkout."""
    try:
        return metadata.version("meshc")
    except metadata.PackageNotFoundError:
        return "0+checkout"


def _events(finished: Finished) -> dict[str, int | float]:
    """Counts by cause as JSON numbers; only cycles of rounding may be a fraction."""
    return {c: int(n) if n == int(n) else float(n) for c, n in finished.events.items()}


def _link_name(program: Program, link: int) -> str:
    router, side = divmod(link, len(_SIDE_NAMES))
    for region in program.regions:
        size = region.width * region.height
        if router < size:
            name = f"{router % region.width},{router // region.width} {_SIDE_NAMES[side]}"
            return name if len(program.regions) == 1 else f"{name} of {region.name}"
        router -= size
    return ""


def _energy(target: Target, finished: Finished) -> dict[str, float]:
    joules = summed(row_joules(target, row, len(finished.clocks)) for row in finished.rows)
    # What the host's words cost on the fabric belongs to no operation.
    joules["link"] = link_joules(target, int(finished.link_words.sum()))
    total = sum(joules.values())
    return {
        "joules": total,
        **{f"{cause}_joules": joules[cause] for cause in joules},
        "mean_watts": total * target.clock_hz / finished.cycles if finished.cycles else 0.0,
    }


def _ops(program: Program, target: Target, finished: Finished) -> list[dict[str, Any]]:
    """One object for each row of the engine, in the order of the op table; what belongs to no op comes last."""
    pes = max(1, len(finished.clocks))
    rows = []
    for row in sorted(finished.rows, key=lambda r: (r.op < 0, abs(r.op), -1 if r.layer is None else r.layer)):
        if row.op < 0 and not (row.cycles or row.busy or row.words):
            continue
        known = 0 <= row.op < len(program.ops)
        phase = Phases.of(program).names[-1 - row.op] if row.op < 0 else ""
        data: dict[str, Any] = {
            "op": row.op if known else len(program.ops) - 1 - row.op,
            "name": program.ops[row.op].name if known else f"(control) {phase}".strip(),
            "location": program.ops[row.op].location if known else "",
            "cycles": row.cycles,
            "busy_cycles": row.busy / pes,
            "macs": row.macs,
            "words": row.words,
            "instructions": row.instructions,
            "joules": sum(row_joules(target, row, pes).values()),
        }
        if row.layer is not None:
            data["layer"] = row.layer
        rows.append(data)
    return rows
