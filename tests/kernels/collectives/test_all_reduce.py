"""Every all-reduce is exact on small integers, on any line, payload, operator and dtype, as often as it runs."""

from __future__ import annotations

import numpy as np
import pytest

from meshc.kernels.collectives.all_reduce import SHAPES, all_reduce
from meshc.kernels.collectives.line import Line
from meshc.standalone.collective import collective_program
from meshc.standalone.region import repeated
from meshrt.diagnostics import MeshError
from meshrt.program.check import diagnose
from meshrt.run import RunOptions, run_program
from meshrt.target import load_target

TARGET = load_target("tiny")
COMBINE = {"add": np.sum, "max": np.max}
#: Parameters with which the algorithms run on lines of so many PEs.
GROUPS = {1: (1,), 2: (2,), 3: (2, 2), 5: (3, 2), 7: (3, 3), 8: (3, 3), 12: (2, 3, 2), 13: (2, 2, 2, 2), 16: (4, 4)}


def parameters(name, length):
    return {"groups": GROUPS[length]} if name == "k_tree" else {}


def run(width, height, line, name, op="add", elements=5, dtype="f32", rounds=1, engine="batched", **options):
    """What every PE held before and holds afterwards: [height, width, elements] each."""

    def append(builder, data):
        with repeated(builder, rounds):
            all_reduce(builder, line, data, op, name, **options)

    program = collective_program(width, height, TARGET, append, elements, dtype)
    assert not diagnose(program, TARGET)
    data = np.random.default_rng(elements).integers(-9, 10, (height, width, elements)).astype(np.float32)
    result = run_program(program, TARGET, {"data": data}, options=RunOptions(engine=engine))
    return data, result.outputs["result"]


def expected(before, line, op, rounds=1):
    after = before.copy()
    values = after if line.axis == "x" else after.swapaxes(0, 1)
    for number in range(line.repeat):
        along = slice(line.start + number * line.length, line.start + (number + 1) * line.length)
        part = values[slice(*line.across), along]
        for _ in range(rounds):
            part[:] = COMBINE[op](part, axis=1, keepdims=True)
    return after


def check(width, height, line, name, op="add", **options):
    rounds = options.get("rounds", 1)
    before, after = run(width, height, line, name, op, **options, **parameters(name, line.length))
    assert after.tolist() == expected(before, line, op, rounds).tolist()


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("length", GROUPS)
def test_rows_and_columns(name, length):
    check(length, 2, Line("x", length, (0, 2)), name)
    check(1, length, Line("y", length, (0, 1)), name)


@pytest.mark.parametrize("name", SHAPES)
def test_segments_of_some_rows(name):
    check(16, 3, Line("x", 7, (1, 3), start=1, repeat=2), name)
    check(3, 12, Line("y", 5, (0, 2), start=2, repeat=2), name)


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("op", COMBINE)
@pytest.mark.parametrize(("dtype", "elements"), [("f32", 1), ("f32", 40), ("f16", 7), ("f16", 64)])
def test_operators_dtypes_and_payloads(name, op, dtype, elements):
    check(8, 1, Line("x", 8, (0, 1)), name, op, dtype=dtype, elements=elements)


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("engine", ["batched", "reference"])
def test_it_runs_again_at_once(name, engine):
    """A sum of sums: P^2 times as much after three rounds, with nothing between them."""
    check(13, 2, Line("x", 13, (0, 2)), name, rounds=3, elements=24, engine=engine)


def test_an_algorithm_that_does_not_exist():
    with pytest.raises(MeshError) as caught:
        run(4, 1, Line("x", 4, (0, 1)), "two_phases")
    assert caught.value.diagnostic.code == "M0617"
    assert "two_phase" in caught.value.diagnostic.render()
