"""Writes the reference pages that are drawn from tables in the code: ``make docs``.

    docs/errors.md      from the catalog of diagnostics
    docs/report.md      from the fields of a report
    docs/operations.md  from the tables of the IR's levels
    docs/program.md     its table of instructions
    docs/kernels.md     its table of kernels
    docs/targets.md     its tables of keys and presets

A test checks that the pages in the tree are the current ones.
"""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

from meshrt import exit_status
from meshrt.diagnostics import CATALOG
from meshrt.report_schema import FIELDS, SCHEMA, Field
from tools.operations_page import operations_page
from tools.table_sections import kernels_page, program_page, targets_page

DOCS = Path(__file__).resolve().parent.parent / "docs"

#: First three characters of a code -> what such diagnostics are about.
RANGES = {
    "M01": "Models and files",
    "M02": "IR text and its verification",
    "M03": "Program text, builds and their verification",
    "M04": "Compilation and resources",
    "M05": "Running",
    "M06": "Targets and options",
}

_ERRORS_HEAD = """\
# Diagnostics

Every failure that a user can cause has a code. `meshc explain CODE` prints what stands here.
meshc and `python -m meshrt` end with status 1 after a diagnostic; the few with another status say so.
"""

_REPORT_HEAD = f"""\
# The report of a run

`meshc run BUILD --json FILE` writes it: plain JSON of schema `{SCHEMA}`. Every other view is drawn from it.
`meshrt.report_schema.check_report` checks a report against this table. Adding an optional field keeps the version.

Counts are sums over all PEs unless they say otherwise. A *stage* is a PE that software wakes to forward or combine
what it received; *words* are the 32-bit words that a link moves.
"""

_SECTIONS = {
    "": "The run",
    "parallelism": "Parallelism: how many PEs are busy, doing useful MACs?",
    "latency": "Latency: how far does data travel?",
    "memory": "Memory: does everything fit the SRAM of its PE?",
    "routing": "Routing: how many colors does a router hold, and how loaded are the links?",
    "host": "Host: what entered and left through ports",
    "padding": "Padding: what does not divide the grid",
    "generation": "Generation: what a build that writes text wrote",
    "energy": "Energy: modelled from the target's energies, which are assumptions where nothing is published",
    "phases[]": "Phases: what a run does one after the other",
    "ops[]": "Operations: one row for each operation of the source, in program order",
    "provenance": "Provenance: what was run",
}


def errors_page() -> str:
    """The text of ``docs/errors.md``."""
    lines = [_ERRORS_HEAD]
    for prefix, subject in RANGES.items():
        codes = sorted(code for code in CATALOG if code.startswith(prefix))
        if not codes:
            continue
        lines.append(f"## {prefix}xx: {subject}\n")
        for code in codes:
            entry = CATALOG[code]
            status = exit_status.STATUS_OF_CODE.get(code)
            lines.append(f"### {code}: {entry.title}\n")
            lines.append(_wrapped(entry.explanation) + "\n")
            if status is not None and "xit status" not in entry.explanation:
                lines.append(f"Exit status {status}.\n")
    return "\n".join(lines)


def _wrapped(explanation: str) -> str:
    """Paragraphs at the width of the other pages; what is indented is an example and stays as it is."""
    paragraphs = explanation.strip().split("\n\n")
    return "\n\n".join(
        p if "\n " in f"\n{p}" else textwrap.fill(p, 120, break_on_hyphens=False, break_long_words=False)
        for p in paragraphs
    )


def report_page() -> str:
    """The text of ``docs/report.md``."""
    lines = [_REPORT_HEAD]
    for section, title in _SECTIONS.items():
        rows = [field for field in FIELDS if _section(field) == section]
        lines.append(f"## {title}\n")
        lines.append("| field | type | unit | meaning |\n|---|---|---|---|")
        for field in rows:
            optional = "" if field.required else " (optional)"
            lines.append(f"| `{field.path}` | {field.kind}{optional} | {field.unit} | {field.meaning} |")
        lines.append("")
    return "\n".join(lines)


def _section(field: Field) -> str:
    return field.path.partition(".")[0] if "." in field.path else ""


#: Page -> who writes its text.
PAGES: dict[str, Callable[[], str]] = {
    "errors.md": errors_page,
    "report.md": report_page,
    "operations.md": operations_page,
    "program.md": program_page,
    "kernels.md": kernels_page,
    "targets.md": targets_page,
}


def main() -> int:
    """Write every page; with ``--check``, say which are out of date (status 1)."""
    stale = 0
    for name, text in PAGES.items():
        path = DOCS / name
        if path.is_file() and path.read_text(encoding="utf-8") == text():
            continue
        if "--check" in sys.argv[1:]:
            stale = 1
            print(f"docs/{name} is out of date: run `make docs`", file=sys.stderr)
        else:
            path.write_text(text(), encoding="utf-8")
            print(f"wrote docs/{name}")
    return stale


if __name__ == "__main__":
    sys.exit(main())
