"""A sample of all kernels that say beforehand what they cost, on several targets: within a tenth of an emulated run.

Grids are square and not, lines and single PEs; tiles are small and large, in every arithmetic.
"""

from __future__ import annotations

import dataclasses
import random

import numpy as np
import pytest

from meshc.dialects.layout import Block, Heads
from meshc.dialects.shard import ShardType
from meshc.dialects.tile import DTYPE_POLICY
from meshc.kernels.estimate import Estimate, Site
from meshc.kernels.registry import kernels
from meshrt.run import RunOptions, run_program
from meshrt.target import Target, load_target
from tests.kernels.gemm_program import Product
from tests.kernels.relayout_harness import Case
from tests.kernels.transposed_program import Transposed

TARGETS = {name: dataclasses.replace(load_target(name), sram_bytes=1 << 23) for name in ("tiny", "wse2", "wse3")}
GEMM = ("gemm.all_gather", "gemm.cannon", "gemm.ring", "gemm.summa")
TRANSPOSED = ("gemm.ring_transposed", "gemm.ring_transposed_overlapped")
#: Distinct machines: set-ups, hops and vector units that differ from all presets.
TARGETS["slow links"] = dataclasses.replace(TARGETS["wse2"], hop_cycles=4, ramp_cycles=5, route_write_cycles=40)
TARGETS["quick vectors"] = dataclasses.replace(TARGETS["wse3"], vector_setup_cycles=2, async_launch_cycles=3)


def estimated(product: Product, target: Target) -> Estimate:
    found = kernels()[product.kernel].estimate
    assert found is not None
    return found(product.operation(target), Site(*product.grid, *DTYPE_POLICY[product.dtype], target))


def products(kind: type[Product], names: tuple[str, ...], count: int) -> list[tuple[str, Product]]:
    """Products on targets, drawn once: each kernel with each of its schedules in turn."""
    draw = random.Random(11)
    found = []
    for number in range(count):
        grid = draw.choice([(1, 1), (4, 1), (1, 5), (2, 2), (5, 3), (3, 7), (6, 6), (9, 9), (8, 4), (4, 12)])
        name = names[number % len(names)]
        if name.endswith("overlapped") and 1 in grid:
            grid = (4, 3)
        size = tuple(draw.choice([5, 16, 40, 130, 300]) for _ in range(3))
        schedule = {"vector": draw.choice("mn")}
        if name == "gemm.summa" and grid != (1, 1):
            schedule["overlap"] = draw.choice([True, False])
        dtype = draw.choice(["f32", "mixed", "f16", "bf16"])
        found.append((draw.choice(list(TARGETS)), kind(name, grid, size, dtype, schedule)))
    return found


@pytest.mark.parametrize(("target", "product"), products(Product, GEMM, 32) + products(Transposed, TRANSPOSED, 16))
def test_products(target, product):
    cycles = product.cycles(TARGETS[target])
    assert estimated(product, TARGETS[target]).cycles == pytest.approx(cycles, rel=0.1)


@pytest.mark.parametrize("kernel", TRANSPOSED)
@pytest.mark.parametrize("grid", [(2, 2), (4, 4), (5, 3), (3, 7)])
def test_declared_memory_and_colors_are_those_of_the_program(kernel, grid):
    product = Transposed(kernel, grid, (13, 19, 170), "mixed")
    found = estimated(product, TARGETS["wse2"])
    (region,) = product.program(TARGETS["wse2"]).regions
    result = product.operation(TARGETS["wse2"]).result.type
    # The ends of an operation are not its own.
    apart = result.tile[0] * result.tile[1] * 4
    assert found.bytes == sum(b.bytes for b in region.buffers if b.name not in ("position", "positions")) - apart
    assert found.colors == max(
        len({r.color for r in region.routes if (x, y) in r.rect}) for x in range(grid[0]) for y in range(grid[1])
    )


def turned(grid: tuple[int, int], shape: tuple[int, int], heads: bool) -> tuple[ShardType, ShardType]:
    (width, height), (tokens, features) = grid, shape
    cut = Heads(width, 1, 2, features // 2, 0) if heads else Block(features, width)
    transposed = ShardType("f32", Block(features, height), Block(tokens, width), transposed=True)
    return ShardType("f32", Block(tokens, height), cut), transposed


@pytest.mark.parametrize("target", ["tiny", "wse3", "slow links"])
@pytest.mark.parametrize("heads", [False, True])
@pytest.mark.parametrize(
    ("grid", "shape"),
    [((5, 5), (40, 30)), ((8, 8), (64, 256)), ((6, 4), (24, 36)), ((3, 7), (21, 18)), ((9, 6), (33, 70))],
)
def test_transpositions(target, heads, grid, shape):
    names = ["relayout.turn", "relayout.diagonal"] if grid[0] == grid[1] and not heads else ["relayout.turn"]
    for name in names:
        case = Case(*turned(grid, shape, heads), *grid, name)
        tensor = {"tensor": np.zeros(shape, np.float32)}
        program = case.program(given_out=False)
        run = run_program(program, TARGETS[target], tensor, options=RunOptions(timing_only=True))
        estimate = kernels()[name].estimate
        assert estimate is not None
        found = estimate(case.operation(), Site(*grid, "f32", "f32", TARGETS[target]))
        assert found.cycles == pytest.approx(run.report["cycles"], rel=0.1), name
