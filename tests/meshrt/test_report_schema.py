"""The check of a report: what is missing, unknown or of another kind is named."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from meshrt.diagnostics import MeshError
from meshrt.report_schema import FIELDS, KINDS, check_report


@pytest.fixture
def report() -> dict[str, Any]:
    return json.loads((Path(__file__).parent / "reports" / "prefill.json").read_text())


def _drop(section: str, name: str) -> Callable[[dict], None]:
    return lambda report: report[section].pop(name)


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda r: r.update(schema="meshc.report/2"), "schema is 'meshc.report/2', not 'meshc.report/1'"),
        (lambda r: r.pop("cycles"), "cycles is missing"),
        (lambda r: r.pop("memory"), "memory.sram_bytes is missing"),
        (_drop("memory", "peak_pe"), "memory.peak_pe is missing"),
        (lambda r: r.update(cylces=1), r"cylces is unknown \(is it cycles\?\)"),
        (lambda r: r["routing"].update(colours_peak=1), "routing.colours_peak is unknown"),
        (lambda r: r.update(cycles=1.5), "cycles is 1.5, not a count"),
        (lambda r: r.update(cycles=True), "cycles is True, not a count"),
        (lambda r: r.update(memory=7), "memory is unknown"),
        (lambda r: r["parallelism"].update(busy_fraction=1.2), "busy_fraction is 1.2, not a fraction"),
        (lambda r: r["memory"].update(peak_pe=[1]), r"memory.peak_pe is \[1\], not a pair"),
        (lambda r: r.update(ops={}), "ops is not a list"),
        (lambda r: r["ops"].insert(0, 3), r"ops\[0\] is not an object"),
        (lambda r: r["ops"][2].pop("macs"), r"ops\[2\].macs is missing"),
        (lambda r: r["ops"][2].update(mac=1), r"ops\[2\].mac is unknown \(is it ops\[2\].macs\?\)"),
    ],
)
def test_what_is_wrong_is_named(report, spoil, says):
    check_report(report)
    spoil(report)
    with pytest.raises(MeshError, match=says) as raised:
        check_report(report)
    assert raised.value.diagnostic.code == "M0570"


def test_the_table_of_fields_is_sound():
    assert len({field.path for field in FIELDS}) == len(FIELDS)
    for field in FIELDS:
        assert field.kind in KINDS
        assert field.meaning
