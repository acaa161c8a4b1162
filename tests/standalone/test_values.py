"""Programs of one kernel give the product, bit for bit on small integers."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from meshc.kernels.gemm_ring import Schedule
from meshc.standalone import GemmRing, Gemv
from meshrt.diagnostics import MeshError
from meshrt.program.check import check_program
from meshrt.program.parser import parse_program
from meshrt.program.printer import print_program
from meshrt.run import ENGINES, RunOptions, run_program
from meshrt.target import load_target

TARGET = load_target("wse3")


def product(kernel: Gemv | GemmRing, engine: str, rows: int) -> tuple[np.ndarray, torch.Tensor]:
    """What the engine gives for x of so many rows times w, and what torch does."""
    random = torch.Generator().manual_seed(5)
    x = torch.randint(-4, 5, (rows, kernel.parts * kernel.k), generator=random, dtype=torch.float32)
    w = torch.randint(-4, 5, (x.shape[1], kernel.parts * kernel.n), generator=random, dtype=torch.float32)
    dtype = {"f32": np.float32, "f16": np.float16}[kernel.dtype]
    program = kernel.program(TARGET)
    assert parse_program(print_program(program)) == program
    check_program(program, TARGET)
    weights = {"x": x.numpy().astype(dtype), "w": w.numpy().astype(dtype)}
    (found,) = run_program(program, TARGET, weights, options=RunOptions(engine=engine)).outputs.values()
    return found, x @ w


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    ("parts", "groups"),
    [
        (1, (1,)),
        (2, (2,)),
        (2, (1, 2)),
        (3, (3, 1)),
        (4, (2, 2)),
        (6, (3, 2)),
        (6, (2, 3)),
        (8, (2, 2, 2)),
        (9, (3, 3)),
    ],
)
@pytest.mark.parametrize("rounds", [1, 3])
def test_gemv(parts, groups, rounds, engine):
    found, wanted = product(Gemv(parts, 3, 5, groups, rounds=rounds), engine, 1)
    assert np.array_equal(found, wanted.numpy())


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("parts", [1, 2, 3, 4, 5, 6])
@pytest.mark.parametrize("schedule", [Schedule("m"), Schedule("n")])
def test_gemm_ring(parts, schedule, engine):
    kernel = GemmRing(parts, 2, 3, 4, schedule)
    found, wanted = product(kernel, engine, parts * kernel.m)
    assert np.array_equal(found, wanted.numpy())


@pytest.mark.parametrize("engine", ENGINES)
def test_in_f16_whole_words_hold_even_tiles(engine):
    schedule = Schedule("m", whole_words=True)
    found, wanted = product(GemmRing(3, 2, 2, 2, schedule, dtype="f16"), engine, 6)
    assert np.array_equal(found, wanted.numpy())
    found, wanted = product(Gemv(4, 3, 2, (2, 2), dtype="f16", whole_words=True), engine, 1)
    assert np.array_equal(found, wanted.numpy())


@pytest.mark.parametrize("engine", ENGINES)
def test_whole_words_leave_the_last_of_an_odd_row_unsummed(engine):
    kernel = Gemv(4, 3, 3, (2, 2), dtype="f16", whole_words=True)
    found, wanted = product(kernel, engine, 1)
    equal = found[0] == wanted.numpy()[0]
    assert equal.reshape(4, 3)[:, :2].all()
    assert not equal.reshape(4, 3)[:, 2].all()


@pytest.mark.parametrize("groups", [(2, 2), (), (0, 6), (3,)])
def test_groups_that_do_not_multiply_to_the_axis(groups):
    with pytest.raises(MeshError) as caught:
        Gemv(6, 1, 1, groups).program(TARGET)
    assert caught.value.diagnostic.code == "M0616"
    assert "the axis has 6" in caught.value.diagnostic.message


def test_the_tree_takes_two_colors_a_level_and_two_for_the_multicast():
    colors = {route.color for route in Gemv(27, 1, 1, (3, 3, 3)).program(TARGET).regions[0].routes}
    assert len(colors - {TARGET.program_colors}) == 8
