"""Energy: worked out by hand for programs of docs/machine.md, on its target."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from meshrt.program.parser import parse_program
from meshrt.report_schema import check_report
from meshrt.run import RunOptions, run_program
from meshrt.target import load_target

MACHINE = Path(__file__).parent / "machine"
TARGET = load_target(MACHINE / "machine.toml")
PICO = 1e-12


def report(name: str, engine: str = "batched", timing_only: bool = False, **weights: list) -> dict:
    program = parse_program((MACHINE / f"{name}.mesh").read_text(encoding="utf-8"))
    tensors = {key: np.array(value, np.float32) for key, value in weights.items()}
    options = RunOptions(engine=engine, timing_only=timing_only)
    found = run_program(program, TARGET, tensors, options=options).report
    check_report(found)
    return found


def test_words_that_cross_links():
    """Four words cross two links and leave over a third; three moves read or write four f32 of SRAM each."""
    energy = report("ramp_and_hop", a=[1.0, 2.0, 3.0, 4.0])["energy"]
    assert energy["link_joules"] == pytest.approx(4 * 3 * 2.0 * PICO)
    assert energy["sram_joules"] == pytest.approx(3 * 4 * 4 * 1.0 * PICO)
    assert energy["mac_joules"] == energy["operation_joules"] == 0.0


def test_arithmetic():
    """See docs/machine.md, what instructions cost: 8 multiply-adds, two additions of 4, 4 divisions of 5 cycles."""
    found = report("issue_and_setup", a=[[1.0, 2.0], [3.0, 4.0]], b=[[1.0, 0.0], [0.0, 1.0]])
    energy = found["energy"]
    assert energy["mac_joules"] == pytest.approx(8 * 4.0 * PICO)
    assert energy["operation_joules"] == pytest.approx((2 * 4 + 4 * 5) * 1.0 * PICO)
    # Elements: fill 4; four vector multiply-adds of 2, each with one more; two additions and a division; send.
    elements = 4 + 4 * (2 * 3 + 1) + 3 * (4 + 4) + 4
    assert energy["sram_joules"] == pytest.approx(elements * 4 * 1.0 * PICO)
    assert energy["static_joules"] == pytest.approx(0.001 * found["seconds"])


def test_the_parts_are_the_whole():
    found = report("chain", a=list(range(32)))
    energy = found["energy"]
    parts = sum(energy[f"{cause}_joules"] for cause in ("mac", "operation", "sram", "link", "static"))
    assert energy["joules"] == pytest.approx(parts) == pytest.approx(sum(row["joules"] for row in found["ops"]))
    assert energy["mean_watts"] == pytest.approx(energy["joules"] / found["seconds"])


def test_a_run_without_values_takes_the_same_energy():
    full = report("chain", a=list(range(32)))
    timed = report("chain", timing_only=True)
    assert timed["energy"] == full["energy"]
    assert [row["joules"] for row in timed["ops"]] == [row["joules"] for row in full["ops"]]
