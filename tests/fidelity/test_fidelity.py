"""docs/fidelity.md is what the emulator says, its bars hold, and the fit finds the costs behind a set of rows."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest

from meshrt.target import load_target
from tools.fidelity.fit import counted, fit, numbers_of, with_numbers
from tools.fidelity.measured import SOURCES, Row, rows
from tools.fidelity.page import DOCS
from tools.fidelity.predict import predicted, price, round_cycles, row_events
from tools.fidelity.sections.measured_kernels import PLOT, row_text

PAGE = (DOCS / "fidelity.md").read_text(encoding="utf-8")
TARGET = load_target("wse3")

#: A few quick rows of both kernels.
SMALL = [row for row in rows() if row.parts == 16 and row.tile in ("1x1", "3x3", "8x8", "1x1x1", "3x3x3", "8x8x8")]


def row(kernel: str, **shape: int) -> Row:
    return Row(kernel, tuple(shape.items()), 1.0)


@pytest.mark.parametrize("measured", SMALL, ids=lambda row: f"{row.kernel}-{row.tile}-{dict(row.shape).get('G', '')}")
def test_the_page_says_what_the_emulator_says(measured):
    assert row_text(measured, predicted(measured, TARGET)) in PAGE.splitlines()


def test_the_page_has_every_row_and_keeps_to_the_bars():
    table = re.findall(
        r"^\| `(.+?)` \| \d+ \| [\dx]+ \| \d* \| ([\d,]+) \| ([\d,]+) \| [+-][\d.]+% \|$", PAGE, re.MULTILINE
    )
    assert {kernel for kernel, _, _ in table} == {source.kernel for source in SOURCES}
    assert len(table) == len(rows()) == 81
    error = np.array([int(p.replace(",", "")) / int(m.replace(",", "")) - 1 for _, m, p in table])
    assert np.abs(error).mean() <= 0.03
    assert np.abs(error).max() <= 0.08
    assert (DOCS / PLOT).read_text(encoding="utf-8").count("<circle") == len(rows()) + len(SOURCES)


@pytest.mark.parametrize("tile", [(1, 1, 1), (2, 3, 8)])
def test_the_events_of_a_large_ring_are_extrapolated_exactly(tile):
    large = row("gemm.ring", P=48, Mt=tile[0], Kt=tile[1], Nt=tile[2])
    assert price(row_events(large, TARGET), TARGET) == pytest.approx(predicted(large, TARGET))


def test_the_part_of_the_grid_that_is_timed_takes_as_long_as_the_whole():
    gemm = row("gemm.ring", P=16, Mt=2, Kt=3, Nt=3).program
    gemv = row("gemv", P=16, Mt=3, Nt=8, G=4).program
    assert round_cycles(gemm, TARGET) == round_cycles(replace(gemm, rows=0), TARGET)
    assert round_cycles(gemv, TARGET) == round_cycles(replace(gemv, columns=0), TARGET)


def test_events_times_costs_are_the_cycles_while_the_critical_path_is_the_same():
    linear = counted(SMALL, TARGET)
    assert linear.at(numbers_of(TARGET)) == pytest.approx([predicted(each, TARGET) for each in SMALL])
    numbers = numbers_of(TARGET) + [1, 0, 0, 2]
    more = with_numbers(TARGET, numbers)
    assert numbers_of(more) == pytest.approx(numbers)
    rings = [each for each in SMALL if each.kernel == "gemm.ring"]
    assert counted(rings, TARGET).at(numbers) == pytest.approx([predicted(each, more) for each in rings])


def test_the_fit_finds_the_costs_that_made_the_rows():
    wanted = with_numbers(TARGET, [9, 7, 3, 15])
    assert (wanted.async_launch_cycles, wanted.task_wakeup_cycles) == (7, 8)
    made = [replace(each, cycles=float(predicted(each, wanted))) for each in SMALL]
    told: list[str] = []
    found, _ = fit(made, TARGET, told.append)
    assert found == wanted
    assert "worst 0.00%" in told[-1]


def test_the_target_is_where_the_fit_of_all_rows_settles():
    told: list[str] = []
    found, _ = fit(rows(), TARGET, told.append)
    assert found == TARGET
    assert len(told) == 1
