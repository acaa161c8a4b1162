"""The report of a run, ``meshc.report/1``: every field with its type, unit and meaning.

One table feeds the check of a report (:func:`check_report`), the reference page
``docs/report.md`` and the views. A report is plain JSON: nested objects, and ``phases`` and
``ops`` lists of objects. Adding an optional field keeps the version; anything else makes a new one.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from meshrt.diagnostics import MeshError

SCHEMA = "meshc.report/1"
#: What is a list of objects; reports of earlier runtimes have no phases.
LISTS, OPTIONAL_LISTS = ("phases", "ops"), ("phases",)


@dataclass(frozen=True, slots=True)
class Field:
    """One field. ``path`` has dots for nesting; ``phases[].`` and ``ops[].`` start a field of each of their objects.

    ``kind`` is a key of :data:`KINDS`. A field of a section that is optional as a whole
    is required where the section is there.
    """

    path: str
    kind: str
    unit: str
    meaning: str
    required: bool = True


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


#: Kind -> the test for a value, in JSON's types.
KINDS: dict[str, Callable[[Any], bool]] = {
    "count": lambda v: _is_int(v) and v >= 0,
    "number": lambda v: _is_number(v) and v >= 0,
    "fraction": lambda v: _is_number(v) and 0 <= v <= 1,
    "flag": lambda v: isinstance(v, bool),
    "text": lambda v: isinstance(v, str),
    "pair": lambda v: isinstance(v, list | tuple) and len(v) == 2 and all(_is_int(i) for i in v),
    "counts": lambda v: isinstance(v, list | tuple) and all(KINDS["count"](n) for n in v),
    "pairs": lambda v: isinstance(v, list | tuple) and all(KINDS["pair"](pair) for pair in v),
    "texts": lambda v: isinstance(v, list | tuple) and all(isinstance(text, str) for text in v),
    "object": lambda v: isinstance(v, Mapping),
}

FIELDS = (
    Field("schema", "text", "", f"always {SCHEMA!r}"),
    Field("model", "text", "", "the model's name, from the build", required=False),
    Field("cycles", "count", "cycles", "from the first instruction to the last PE's end"),
    Field("seconds", "number", "s", "cycles / clock_hz of the target"),
    # P
    Field("parallelism.pes", "count", "PEs", "PEs of the program's regions"),
    Field("parallelism.busy_fraction", "fraction", "of PE cycles", "PE cycles in which the engine executes, not waits"),
    Field("parallelism.macs", "count", "MACs", "multiply-accumulates executed by all PEs, padding included"),
    Field("parallelism.mac_utilization", "fraction", "of peak", "macs / (pes x cycles x the target's best)"),
    # L
    Field("latency.critical_hops", "count", "hops", "router-to-router moves on the critical path"),
    Field("latency.critical_stages", "count", "stages", "PEs that software woke to forward or combine, on that path"),
    Field(
        "latency.events",
        "object",
        "",
        "how often each cost of the target lies on the critical path, by key, with --events; `word_cycles` are those "
        "in which a word followed another, `waited_cycles` those of words that waited for a link or for room, and "
        "`rounding_cycles` what instructions lose by whole cycles: counts times costs are the cycles",
        required=False,
    ),
    Field("latency.wait_fraction", "fraction", "of PE cycles", "PE cycles spent waiting for the fabric"),
    # M
    Field("memory.sram_bytes", "count", "B", "SRAM of one PE"),
    Field("memory.peak_bytes", "count", "B", "the most that one PE holds: buffers, code and runtime"),
    Field("memory.peak_pe", "pair", "[x, y]", "the first PE that holds it"),
    Field("memory.peak_region", "text", "", "its region, where there are several", required=False),
    Field("memory.mean_bytes", "number", "B", "the same, averaged over the PEs"),
    Field("memory.code_bytes", "count", "B", "code and runtime of that PE"),
    # R
    Field("routing.colors_limit", "count", "colors", "routable colors of the target that host I/O leaves"),
    Field("routing.colors_peak", "count", "colors", "the most colors that one router holds"),
    Field("routing.route_writes", "count", "writes", "routes rewritten at run time, all PEs"),
    Field("routing.max_link_words", "count", "words", "words over the busiest link and direction"),
    Field("routing.max_link_utilization", "fraction", "of cycles", "those words / (cycles x link_words_per_cycle)"),
    Field("routing.max_link", "text", "", "that link, as 'x,y PORT', with its region of several", required=False),
    Field("routing.contended_words", "count", "words", "words of messages that wanted a link while another held it"),
    Field("routing.stalled_words", "count", "words", "words of messages that met a full queue"),
    # Traffic that is not the model's own.
    Field("host.words_in", "count", "words", "words that entered through ports"),
    Field("host.words_out", "count", "words", "words that left through ports"),
    Field(
        "padding.useful_macs", "count", "MACs", "what the model's own sizes need, at the longest prompt", required=False
    ),
    Field("padding.mac_fraction", "fraction", "of MACs", "the rest: MACs spent on padding", required=False),
    Field("padding.tokens", "pair", "tokens", "[longest prompt, padded to the grid]", required=False),
    Field("padding.features", "pairs", "features", "[extent, padded extent] of each kind of tensor", required=False),
    # What a build that writes text wrote.
    Field("generation.prompts", "counts", "tokens", "length of each prompt", required=False),
    Field("generation.new_tokens", "counts", "tokens", "tokens written behind each prompt", required=False),
    Field(
        "generation.steps",
        "count",
        "",
        "tokens of each sequence that were worked on one by one",
        required=False,
    ),
    Field(
        "generation.first_token_cycles", "count", "cycles", "until every prompt had its first new token", required=False
    ),
    Field("generation.first_token_seconds", "number", "s", "the same at the target's clock", required=False),
    Field(
        "generation.token_cycles",
        "number",
        "cycles",
        "mean time from one new token of a prompt to the next",
        required=False,
    ),
    Field("generation.token_seconds", "number", "s", "the same at the target's clock", required=False),
    Field(
        "generation.tokens_per_second",
        "number",
        "1/s",
        "new tokens of all prompts together, after the first",
        required=False,
    ),
    # Energy: modelled from the target's energies, which are assumptions where nothing is published.
    Field("energy.joules", "number", "J", "all of the below", required=False),
    Field("energy.mac_joules", "number", "J", "multiply-adds", required=False),
    Field("energy.operation_joules", "number", "J", "other operations", required=False),
    Field("energy.sram_joules", "number", "J", "bytes read from and written to SRAM by instructions", required=False),
    Field("energy.link_joules", "number", "J", "words over links, those of the host included", required=False),
    Field("energy.static_joules", "number", "J", "static power of the PEs of the regions", required=False),
    Field("energy.mean_watts", "number", "W", "joules / seconds", required=False),
    # What a run does one after the other.
    Field("phases[].name", "text", "", "prefill, relayout or decode, say"),
    Field("phases[].regions", "texts", "", "names of the regions that take part"),
    Field("phases[].cycles", "count", "cycles", "from the end of the phase before until the last PE has left this one"),
    Field("phases[].seconds", "number", "s", "the same at the target's clock"),
    Field("phases[].joules", "number", "J", "energy of its operations, and static power of all PEs while it lasts"),
    Field("phases[].parallelism.pes", "count", "PEs", "PEs of its regions"),
    Field("phases[].parallelism.busy_fraction", "fraction", "of PE cycles", "in which they execute its operations"),
    Field("phases[].parallelism.macs", "count", "MACs", "multiply-accumulates of its operations"),
    Field("phases[].parallelism.mac_utilization", "fraction", "of peak", "macs / (pes x cycles x the target's best)"),
    Field("phases[].latency.critical_hops", "count", "hops", "by which the critical path grew while it lasted"),
    Field("phases[].latency.critical_stages", "count", "stages", "likewise"),
    Field("phases[].latency.wait_fraction", "fraction", "of PE cycles", "waiting for the fabric since it began"),
    Field("phases[].memory.peak_bytes", "count", "B", "the most that a PE of its regions holds"),
    Field("phases[].memory.code_bytes", "count", "B", "code and runtime of the fullest PE of its regions"),
    Field("phases[].routing.colors_peak", "count", "colors", "the most colors that a router of its regions holds"),
    Field("phases[].routing.words", "count", "words", "words that its operations sent into the fabric"),
    Field("phases[].routing.mean_link_utilization", "fraction", "of cycles", "its words over the links of its regions"),
    Field(
        "phases[].routing.max_link_words",
        "count",
        "words",
        "words over the busiest link of its region in the whole run; of a phase that has a region of its own",
        required=False,
    ),
    # One row for each source operation.
    Field("ops[].op", "count", "", "its number in the program's op table"),
    Field("ops[].name", "text", "", "its name in the graph"),
    Field("ops[].location", "text", "", "the user's line, file:line, or empty"),
    Field("ops[].layer", "count", "", "iteration of the layer loop (with --per-layer)", required=False),
    Field("ops[].cycles", "count", "cycles", "by which it moved the latest clock on; the rows sum to the run's"),
    Field("ops[].busy_cycles", "number", "cycles", "time spent executing it, averaged over the PEs", required=False),
    Field("ops[].macs", "count", "MACs", "multiply-accumulates, all PEs"),
    Field("ops[].words", "count", "words", "words sent into the fabric, all PEs"),
    Field("ops[].instructions", "count", "", "instructions executed, all PEs", required=False),
    Field("ops[].joules", "number", "J", "its energy; static power counts while it moves the clock", required=False),
    # What was run.
    Field("provenance.meshrt_version", "text", "", "version of the runtime"),
    Field("provenance.engine", "text", "", "batched or reference"),
    Field("provenance.timing_only", "flag", "", "no arithmetic was done"),
    Field("provenance.target", "text", "", "name of the target"),
    Field("provenance.target_digest", "text", "", "sha256 of the target file"),
    Field("provenance.clock_hz", "number", "Hz", "clock of the target"),
    Field("provenance.program_digest", "text", "", "sha256 of program.mesh"),
    Field("provenance.region", "text", "", "the regions as WxH, joined by +", required=False),
    Field("provenance.seed", "count", "", "seed of anything random; runs have nothing random", required=False),
    Field("provenance.versions", "object", "", "package -> version", required=False),
)


def check_report(report: Mapping[str, Any]) -> None:
    """Raise M0570 when a report lacks a field, has an unknown one, or one of another kind."""
    if report.get("schema") != SCHEMA:
        raise _wrong(f"schema is {report.get('schema')!r}, not {SCHEMA!r}")
    top = {f.path: f for f in FIELDS if "[]" not in f.path}
    _check_object({k: v for k, v in report.items() if k not in LISTS}, top, "")
    for name in LISTS:
        objects = report.get(name, [] if name in OPTIONAL_LISTS else None)
        if not isinstance(objects, list):
            raise _wrong(f"{name} is not a list")
        start = f"{name}[]."
        fields = {f.path.removeprefix(start): f for f in FIELDS if f.path.startswith(start)}
        for i, each in enumerate(objects):
            if not isinstance(each, Mapping):
                raise _wrong(f"{name}[{i}] is not an object")
            _check_object(each, fields, f"{name}[{i}].")


def _check_object(data: Mapping[str, Any], fields: Mapping[str, Field], where: str) -> None:
    sections = {path.partition(".")[0] for path in fields if "." in path}
    flat: dict[str, Any] = {}
    for key, value in data.items():
        if key in sections and isinstance(value, Mapping):
            flat |= {f"{key}.{inner}": v for inner, v in value.items()}
        else:
            flat[key] = value
    for path, value in flat.items():
        field = fields.get(path)
        if field is None:
            close = difflib.get_close_matches(path, fields, n=1)
            raise _wrong(f"{where}{path} is unknown" + (f" (is it {where}{close[0]}?)" if close else ""))
        if not KINDS[field.kind](value):
            raise _wrong(f"{where}{path} is {value!r}, not a {field.kind}")
    missing = [path for path, field in fields.items() if field.required and path not in flat]
    if missing:
        raise _wrong(f"{where}{missing[0]} is missing")


def _wrong(what: str) -> MeshError:
    return MeshError("M0570", f"the report is not {SCHEMA}: {what}")
