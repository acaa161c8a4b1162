"""GEMM on grids of the size of a wafer: what the cost models say there, and a strip of it emulated."""

from __future__ import annotations

import numpy as np
import pytest

from meshc.dialects.tile import DTYPE_POLICY
from meshc.kernels.estimate import Site
from meshc.kernels.gemm_ring import Schedule
from meshc.kernels.linear import TileProduct
from meshc.kernels.registry import kernels
from meshc.standalone.gemm import GemmRing
from meshc.standalone.product import Product
from meshrt.run import RunOptions, run_program
from meshrt.target import load_target

WSE2 = load_target("wse2")


def predicted(kernel: str, size: int, parts: int) -> tuple[int, int]:
    """Cycles, and those of them in the products of the tiles."""
    product = Product(kernel, (parts, parts), (size, size, size), "f16", {"vector": "n"})
    op = product.operation(WSE2)
    site = Site(parts, parts, *DTYPE_POLICY["f16"], WSE2)
    estimate = kernels()[kernel].estimate
    assert estimate is not None
    return estimate(op, site).cycles, parts * TileProduct.of(op).cycles(site)


def test_the_ring_spends_most_of_its_time_in_products():
    """WaferLLM's measure: 8K on 720 squared, at least 70 % in multiply-adds with their set-up."""
    cycles, products = predicted("gemm.ring", 8192, 720)
    assert products >= 0.85 * cycles
    # No shift takes longer than a product here: what a smaller tile loses, it loses to launches and wake-ups.
    cycles, products = predicted("gemm.ring", 2048, 720)
    assert 0.5 * cycles <= products < 0.6 * cycles


@pytest.mark.parametrize("parts", [360, 720])
@pytest.mark.parametrize("size", [2048, 8192])
def test_the_ring_is_never_behind_cannon(size, parts):
    assert predicted("gemm.ring", size, parts)[0] <= predicted("gemm.cannon", size, parts)[0]


@pytest.mark.slow
@pytest.mark.parametrize(("size", "tile"), [(2048, 3), (8192, 12)])
def test_an_emulated_strip_takes_as_long_as_predicted(size, tile):
    """Eight rows of the 720: all rows do the same in the same time."""
    program = GemmRing(720, tile, tile, tile, Schedule("n"), "f16", kept=True, rows=8).program(WSE2)
    zero = np.zeros((720 * tile, 720 * tile), np.float16)
    run = run_program(program, WSE2, {"x": zero, "w": zero}, {}, {"main": {}}, options=RunOptions(timing_only=True))
    assert predicted("gemm.ring", size, 720)[0] == pytest.approx(run.report["cycles"], rel=0.02)
