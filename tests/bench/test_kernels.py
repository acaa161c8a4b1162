"""``meshc bench kernels``: the figures, their bounds, their views, and what cannot be."""

from __future__ import annotations

import json
import sys

import pytest

from meshc.bench.bounds import Bounds, product_bounds
from meshc.bench.measure import Row, measure
from meshc.bench.plots import draw
from meshc.bench.shares import Shares
from meshc.bench.sweep import Sweep, run_cases
from meshc.bench.workloads import WORKLOADS
from meshc.cli.main import status_of_line
from meshrt.diagnostics import MeshError
from meshrt.target import load_target

TARGET = load_target("wse2")


def rows_of(operation: str, size: tuple[int, ...], grid: tuple[int, int], engine="batched", values=False) -> list[Row]:
    sweep = Sweep(WORKLOADS[operation], (size,), (grid,))
    return run_cases(sweep.cases(), TARGET, engine, values)


@pytest.mark.parametrize("operation", WORKLOADS)
def test_every_algorithm_is_timed_above_its_bound_and_near_its_model(operation):
    rows = rows_of(operation, (64,), (4, 4))
    assert tuple(row.algorithm for row in rows) == WORKLOADS[operation].algorithms()
    for row in rows:
        assert row.impossible is None
        assert row.cycles > row.bounds["cycles"] > 0
        # Within a tenth, or the cycles that the engines may differ by.
        assert row.predicted is None or abs(row.predicted - row.cycles) <= max(0.1 * row.cycles, 16)
        shares = row.shares
        assert shares.compute + shares.transfer + shares.wait == pytest.approx(row.cycles, abs=1)
        assert min(shares.compute, shares.transfer, shares.wait) >= 0


@pytest.mark.parametrize("operation", WORKLOADS)
@pytest.mark.parametrize("grid", [(1, 1), (5, 1), (1, 3)], ids=str)
def test_lines_and_single_pes_are_grids_too(operation, grid):
    for row in rows_of(operation, (8,), grid):
        assert row.impossible is None or row.impossible.startswith("M0405")
        assert row.cycles is None or row.cycles >= row.bounds["cycles"]


@pytest.mark.parametrize(
    ("operation", "algorithm", "size"),
    [("gemm", "gemm.ring", (9, 7, 5)), ("gemv", "all_reduce.auto", (9, 7)), ("reduce", "reduce.star", (6,))],
)
def test_values_change_no_cycle_and_the_reference_agrees(operation, algorithm, size):
    case = Sweep(WORKLOADS[operation], (size,), ((3, 2),), (algorithm,), "f32").cases()[0]
    timed, computed = (measure(case, TARGET, "batched", values) for values in (False, True))
    assert computed == timed
    reference = measure(case, TARGET, "reference", values=True)
    assert reference.shares is None
    assert abs(reference.cycles - timed.cycles) <= max(16, 0.05 * timed.cycles)


def test_bounds_by_hand():
    # 8 x 8 x 16 on 2 x 2 PEs: 1,024 MACs over 4 PEs at 4 elements per cycle; of the 4 x 8 elements of X that its tile
    # of C needs a PE lacks half, 16 of f16 in 8 words, and a tile of C has 4 x 8; one hop and two RAMPs.
    bounds = product_bounds(TARGET, (8, 8, 16), (2, 2), "f16", "f16")
    assert bounds == Bounds(macs=64, words=8, distance=TARGET.hop_cycles + 2 * TARGET.ramp_cycles)
    # With fewer columns of C than X lacks, it is cheaper to send what was made of X.
    assert product_bounds(TARGET, (8, 8, 2), (2, 2), "f16", "f16").words == 2
    assert product_bounds(TARGET, (8, 8, 8), (1, 1), "f16", "f16") == Bounds(128, 0, 0)


def test_rows_survive_json():
    for row in rows_of("gemm", (8,), (2, 2)):
        assert Row.from_json(json.loads(json.dumps(row.to_json()))) == row


def test_what_cannot_run_says_so_and_the_others_go_on(capsys):
    line = [
        "bench",
        "kernels",
        "gemm",
        "-a",
        "gemm.all_gather",
        "-a",
        "gemm.ring",
        "--size",
        "64x2048x64",
        "--grid",
        "2x2",
    ]
    line += ["--target", "tiny", "--dtype", "f32"]
    assert status_of_line(line) == 0
    out = capsys.readouterr().out
    assert "gemm.all_gather at 64x2048x64 on 2x2: M0401" in out


def test_plots_are_drawn_and_their_bytes_depend_on_the_rows_alone(tmp_path):
    rows = [
        Row("gemm", name, grid, size, "f16", {"macs": 5, "words": 3, "distance": 0, "cycles": 5}, cycles=9 + at,
            shares=Shares(6.0, 2.0, 1.0 + at))
        for at, name in enumerate(("gemm.ring", "gemm.summa"))
        for grid in ((2, 2), (4, 4))
        for size in ((8, 8, 8), (16, 16, 16))
    ]  # fmt: skip
    first, second = (draw(rows, tmp_path / name) for name in "ab")
    names = [path.name for path in first]
    assert names == [path.name for path in second]
    assert "gemm-8x8x8-grids.svg" in names
    assert "gemm-4x4-sizes.svg" in names
    assert "gemm-16x16x16-2x2-shares.svg" in names
    for one, other in zip(first, second, strict=True):
        assert one.read_bytes() == other.read_bytes()
        assert b"gemm.summa" in one.read_bytes()


BAD = {
    "unknown-algorithm": (
        ["gemm", "-a", "gemm.rin"],
        "error[M0405]: there is no kernel 'gemm.rin' of gemm\n  help: did you mean 'gemm.ring'?\n",
    ),
    "wrong-size": (
        ["gemm", "--size", "8x8"],
        "error[M0621]: a size of gemm has 3 extents, and 8x8 has 2\n"
        "  help: write MxKxN, or one number for all of them\n",
    ),
    "unknown-engine": (
        ["gemm", "--size", "8", "--grid", "2x2", "--engine", "quick"],
        "error[M0519]: there is no engine 'quick'\n  help: engines: batched, reference\n",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input(name, capsys):
    line, expected = BAD[name]
    assert status_of_line(["bench", "kernels", *line]) == 1
    assert capsys.readouterr().err == expected


def test_plots_without_matplotlib_say_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(MeshError) as error:
        draw([], tmp_path / "plots")
    assert error.value.diagnostic.render() == (
        "error[M0620]: --plots draws with matplotlib, which is not installed\n"
        "  help: pip install 'meshc[plot]'\n"
        "  help: --json FILE writes the figures"
    )
    assert not (tmp_path / "plots").exists()


def test_usage(capsys):
    assert status_of_line(["bench", "kernels", "gem"]) == 2
    assert "'gem' is not one of gemm" in capsys.readouterr().err
    assert status_of_line(["bench", "kernels", "gemm", "--size", "0"]) == 2
