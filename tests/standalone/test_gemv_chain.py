"""Chained products of a row: the values of torch, over either axis, with any all-reduce, and near their prediction."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch

from meshc.kernels.collectives.registry import collectives
from meshc.standalone import GemvChain
from meshrt.program.check import check_program
from meshrt.run import RunOptions, run_program
from meshrt.target import load_target
from tests.kernels.collectives.harness import parameters

TARGET = load_target("wse2")
NAMES = [each.algorithm for each in collectives().values() if each.operation == "all_reduce"]


def run(chain: GemvChain, x: torch.Tensor, weights: list[torch.Tensor], engine: str = "batched") -> torch.Tensor:
    program = chain.program(TARGET)
    check_program(program, TARGET)
    kind = torch.float32 if chain.dtype == "f32" else torch.float16
    tensors = {"x": x.to(kind).numpy(), **{f"w{n}": w.to(kind).numpy() for n, w in enumerate(weights)}}
    (found,) = run_program(program, TARGET, tensors, options=RunOptions(engine=engine)).outputs.values()
    return torch.from_numpy(found).float()


def operands(sizes: tuple[int, ...], whole: bool = True):
    random = torch.Generator().manual_seed(sum(sizes))

    def draw(*shape):
        if whole:
            return torch.randint(-2, 3, shape, generator=random).float()
        return torch.randn(shape, generator=random)

    return draw(1, sizes[0]), [draw(k, n) for k, n in pairwise(sizes)]


def product(x, weights):
    for w in weights:
        x = x @ w
    return x


@pytest.mark.parametrize("axis", ["x", "y"])
@pytest.mark.parametrize("grid", [(1, 1), (1, 5), (4, 1), (3, 3), (5, 2), (2, 7)])
@pytest.mark.parametrize("sizes", [(12, 10), (7, 11, 5), (6, 13, 1, 9)])
def test_exact_on_small_integers_where_nothing_divides(axis, grid, sizes):
    x, weights = operands(sizes)
    found = run(GemvChain(*grid, sizes, axis=axis), x, weights)
    assert torch.equal(found, product(x, weights))


@pytest.mark.parametrize("algorithm", NAMES)
@pytest.mark.parametrize("engine", ["batched", "reference"])
def test_any_all_reduce(algorithm, engine):
    if algorithm == "k_tree":
        assert parameters("all_reduce.k_tree", 5) == {"groups": (3, 2)}
    options = {"groups": (3, 2)} if algorithm == "k_tree" else {}
    x, weights = operands((9, 8, 7))
    found = run(GemvChain(5, 5, (9, 8, 7), algorithm=algorithm, parameters=options), x, weights, engine)
    assert torch.equal(found, product(x, weights))


@pytest.mark.parametrize("dtype", ["f32", "mixed", "f16"])
def test_reals(dtype):
    x, weights = operands((40, 33, 21), whole=False)
    found, wanted = run(GemvChain(4, 6, (40, 33, 21), dtype=dtype), x, weights), product(x, weights)
    tolerance = 1e-5 if dtype == "f32" else 2e-2
    assert (found - wanted).abs().max() <= tolerance * wanted.abs().max()


@pytest.mark.parametrize("algorithm", ["auto", "chain", "chain_two_sided", "tree", "two_phase"])
@pytest.mark.parametrize("target", ["ideal", "wse2", "wse3"])
def test_predicted_cycles_lie_within_a_tenth_of_emulated_ones(algorithm, target):
    machine = load_target(target)
    for grid, sizes, dtype in (((1, 16), (160, 24), "f16"), ((3, 7), (70, 36), "f32"), ((8, 5), (64, 64), "mixed")):
        chain = GemvChain(*grid, sizes, algorithm=algorithm, dtype=dtype, kept=True)
        run = run_program(chain.program(machine), machine, options=RunOptions(timing_only=True))
        (found,) = chain.estimates(machine)
        cycles = int(run.clocks.max())
        assert abs(found.cycles - cycles) <= max(0.1 * cycles, 4), (grid, sizes, dtype, cycles, found.cycles)
        assert found.colors == len({route.color for route in chain.program(machine).regions[0].routes})
