"""The kernel of a package of its own: found by its entry point, right, predicted, and chosen where it is cheapest."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from meshc.bench.gemm import Gemm
from meshc.bench.measure import measure
from meshc.cli.main import status_of_line
from meshc.passes.base import PassContext
from meshc.passes.select_kernels import SelectKernels
from meshrt.target import load_target
from tests.kernels.gemm_program import Product

PACKAGE = Path(__file__).resolve().parents[2] / "examples" / "row_parallel"
KERNEL = "gemm.row_parallel"


@pytest.fixture(scope="module")
def site_packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that the package is installed in."""
    folder = tmp_path_factory.mktemp("site-packages")
    line = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
    line += ["--no-build-isolation", "--no-index", "--target", str(folder), str(PACKAGE)]
    done = subprocess.run(line, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def installed(site_packages: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The package among those that are installed, for one test."""
    monkeypatch.syspath_prepend(str(site_packages))


def test_it_is_listed_only_where_it_is_installed(capsys, site_packages, monkeypatch):
    def listed() -> set[str]:
        assert status_of_line(["kernels", "--json"]) == 0
        return {row["name"] for row in json.loads(capsys.readouterr().out)}

    before = listed()
    assert KERNEL not in before
    monkeypatch.syspath_prepend(str(site_packages))
    assert listed() == before | {KERNEL}


@pytest.mark.parametrize("grid", [(1, 1), (4, 1), (1, 3), (3, 2), (2, 5)], ids=str)
@pytest.mark.parametrize("dtype", ["f32", "mixed"])
def test_it_multiplies(installed, grid, dtype):
    rng = np.random.default_rng(1)
    m, k, n = 6, 10, 7
    x, w = (rng.integers(-3, 4, shape).astype(np.float32) for shape in ((m, k), (k, n)))
    found = Product(KERNEL, grid, (m, k, n), dtype).run(load_target("wse2"), x, w)
    assert np.array_equal(found, x @ w)


@pytest.mark.parametrize("grid", [(8, 1), (1, 4), (8, 8), (5, 3)], ids=str)
@pytest.mark.parametrize("target", ["tiny", "wse2", "wse3"])
def test_it_is_predicted(installed, grid, target):
    row = measure(Gemm(KERNEL, grid, (12, 40, 40), "f16"), load_target(target), "batched", values=False)
    assert abs(row.error) < 0.1
    assert row.cycles >= row.bounds["cycles"]


def test_it_stands_beside_the_built_in_ones(installed, capsys):
    assert status_of_line(["bench", "kernels", "gemm", "--size", "16", "--grid", "1x2", "--json", "-"]) == 0
    cycles = {row["algorithm"]: row["cycles"] for row in json.loads(capsys.readouterr().out)["rows"]}
    assert min(cycles, key=cycles.get) == KERNEL


@pytest.mark.parametrize(("grid", "cheapest"), [((1, 4), True), ((8, 8), False)], ids=["one column", "square"])
def test_it_is_chosen_where_it_is_cheapest(installed, grid, cheapest):
    module = Product(KERNEL, grid, (16, 32, 32), "f16").module()
    op = next(op for op in module.walk() if op.name == "tile.gemm")
    del op.attributes["algorithm"]
    SelectKernels().run(module, PassContext(target=load_target("wse2")))
    assert (op.attributes["algorithm"] == KERNEL) == cheapest
