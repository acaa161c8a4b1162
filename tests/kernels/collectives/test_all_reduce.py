"""Every collective is exact on small integers, on any line, root, payload, operator and dtype, as often as it runs."""

from __future__ import annotations

import numpy as np
import pytest

from meshc.kernels.collectives.all_reduce import all_reduce
from meshc.kernels.collectives.line import Line
from meshc.kernels.collectives.registry import collectives
from meshrt.diagnostics import MeshError
from tests.kernels.collectives.harness import COMBINE, GROUPS, run

ALL_REDUCES = [name for name in collectives() if name.startswith("all_reduce.")]
REDUCES = [name for name in collectives() if name.startswith("reduce.")]
BROADCASTS = [name for name in collectives() if name.startswith("broadcast.")]


def lines(values, line):
    """[positions, elements] of every line, as views of what all PEs hold."""
    values = values if line.axis == "x" else values.swapaxes(0, 1)
    for across in range(*line.across):
        for number in range(line.repeat):
            yield values[across, line.start + number * line.length : line.start + (number + 1) * line.length]


def check(width, height, line, name, op="add", rounds=1, **options):
    before, after = run(width, height, line, name, op, rounds=rounds, **options)
    wanted = before.copy()
    for part in lines(wanted, line):
        for _ in range(rounds):
            part[:] = COMBINE[op](part, axis=0, keepdims=True)
    assert after.tolist() == wanted.tolist()


@pytest.mark.parametrize("name", ALL_REDUCES)
@pytest.mark.parametrize("length", GROUPS)
def test_rows_and_columns(name, length):
    check(length, 2, Line("x", length, (0, 2)), name)
    check(1, length, Line("y", length, (0, 1)), name)


@pytest.mark.parametrize("name", ALL_REDUCES)
def test_segments_of_some_rows(name):
    check(16, 3, Line("x", 7, (1, 3), start=1, repeat=2), name)
    check(3, 12, Line("y", 5, (0, 2), start=2, repeat=2), name)


@pytest.mark.parametrize("name", ALL_REDUCES)
@pytest.mark.parametrize("op", COMBINE)
@pytest.mark.parametrize(("dtype", "elements"), [("f32", 1), ("f32", 40), ("f16", 7), ("bf16", 64)])
def test_operators_dtypes_and_payloads(name, op, dtype, elements):
    check(8, 1, Line("x", 8, (0, 1)), name, op, dtype=dtype, elements=elements)


@pytest.mark.parametrize("name", ALL_REDUCES)
@pytest.mark.parametrize("engine", ["batched", "reference"])
def test_it_runs_again_at_once(name, engine):
    """A sum of sums: P^3 times as much after three rounds, with nothing between them."""
    check(13, 2, Line("x", 13, (0, 2)), name, rounds=3, elements=24, engine=engine)


@pytest.mark.parametrize("name", REDUCES)
@pytest.mark.parametrize("length", [1, 2, 5, 8, 13])
def test_a_reduction_to_any_root(name, length):
    takes = collectives()[name].takes
    line = Line("x", length, (0, 2))
    for root in sorted({0, 1, length // 2, length - 1} & set(range(length))) if takes else [None]:
        before, after = run(length, 2, line, name, **({} if root is None else {"root": root}))
        for held, found in zip(lines(before, line), lines(after, line), strict=True):
            total = held.sum(0).tolist()
            assert found[root].tolist() == total if root is not None else total in found.tolist()


@pytest.mark.parametrize("name", BROADCASTS)
@pytest.mark.parametrize("root", [0, 2, 6])
def test_a_broadcast_from_any_root(name, root):
    line = Line("y", 7, (0, 2))
    before, after = run(2, 7, line, name, root=root)
    assert (after == np.broadcast_to(before[root], before.shape)).all()


def test_the_sum_of_reals_is_that_of_numpy():
    data = np.random.default_rng(3).normal(size=(2, 13, 17)).astype(np.float32)
    for name in ALL_REDUCES:
        _, after = run(13, 2, Line("x", 13, (0, 2)), name, elements=17, data=data)
        exact = data.astype(np.float64).sum(1, keepdims=True)
        assert np.abs(after - exact).max() <= 1e-5 * np.abs(data).astype(np.float64).sum(1).max(), name


def test_an_algorithm_that_does_not_exist():
    with pytest.raises(MeshError) as caught:
        all_reduce(None, Line("x", 4, (0, 1)), None, algorithm="two_phases")
    assert caught.value.diagnostic.code == "M0617"
    assert "did you mean 'two_phase'?" in caught.value.diagnostic.render()
