"""The report's table, beside the reports it is drawn from (``reports/*.json``)."""

from __future__ import annotations

import copy
import io
import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from meshrt.figures import duration, percent, short
from meshrt.report_schema import check_report
from meshrt.report_table import print_report, shortened

REPORTS = Path(__file__).parent / "reports"


@pytest.fixture
def report() -> dict[str, Any]:
    return json.loads((REPORTS / "prefill.json").read_text())


def drawn(report: dict[str, Any], width: int, **options: Any) -> str:
    out = io.StringIO()
    print_report(report, Console(file=out, width=width, no_color=True), **options)
    return "".join(line.rstrip() + "\n" for line in out.getvalue().splitlines())


@pytest.mark.parametrize("width", [120, 80])
def test_the_table_is_as_it_was(report, width):
    check_report(report)
    assert drawn(report, width) == (REPORTS / f"prefill-{width}.txt").read_text()


def test_no_line_is_wider_than_the_terminal(report):
    report["ops"][2]["name"] = "gemm model.layers.{l}.self_attn.with.a.very.long.name.indeed.q_proj"
    report["ops"][3]["location"] = "a/package/with_a_file_name_that_is_longer_than_others.py:1234"
    for width in (80, 99, 100, 120, 200):
        lines = drawn(report, width).splitlines()
        assert max(len(line) for line in lines) <= width
        assert next(line for line in lines if line.startswith("gemm")).split()[-1] == "M"


def test_the_lightest_operations_are_summed(report):
    text = drawn(report, 120, ops=3)
    assert "3 more" not in text
    assert "4 more" in text
    assert "linear up_proj" in text
    assert "rms_norm" not in text
    hidden = sum(sorted(row["cycles"] for row in report["ops"])[:4])
    assert f"{hidden:,}" in text


def test_layers_get_a_column(report):
    split = copy.deepcopy(report)
    split["ops"] = [{**row, "layer": layer} for layer in range(2) for row in report["ops"]]
    check_report(split)
    assert " layer " not in drawn(report, 120)
    assert " layer " in drawn(split, 120)


@pytest.mark.parametrize(
    ("width", "text"),
    [
        (40, "gemm model.layers.{l}.self_attn.q_proj"),
        (24, "gemm …}.self_attn.q_proj"),
        (8, "….q_proj"),
    ],
)
def test_a_long_name_keeps_what_tells_it_apart(report, width, text):
    assert shortened("gemm model.layers.{l}.self_attn.q_proj", width) == text


def test_a_report_without_operations_or_padding_is_drawn(report):
    report |= {"ops": [], "padding": {}}
    assert "operation" not in drawn(report, 120)


def test_nothing_at_all_is_drawn(report):
    report["parallelism"] |= {"macs": 0, "busy_fraction": 0.0}
    report["ops"] = [{**report["ops"][0], "cycles": 0}]
    assert "0.0 %" in drawn(report, 120)


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0"), (9999, "9,999"), (12_345, "12.3 k"), (999_999, "1000 k"), (1_234_567, "1.23 M"), (5.12e9, "5.12 G")],
)
def test_counts(count, text):
    assert short(count) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(2.5, "2.5 s"), (1234.0, "1,234 s"), (0.01452, "14.5 ms"), (3e-6, "3 us"), (5e-9, "5 ns"), (0.0, "0 ns")],
)
def test_durations(seconds, text):
    assert duration(seconds) == text


@pytest.mark.parametrize(("share", "text"), [(0, "0.0 %"), (0.0001, "<0.1 %"), (0.123, "12.3 %"), (1, "100.0 %")])
def test_shares(share, text):
    assert percent(share) == text
