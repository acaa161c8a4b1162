"""The reductions: exact sums and maxima of small integers, on any axis, line, root, operator and dtype they take."""

import math

import numpy as np
import pytest

from meshc.kernels.chain import chain_all_reduce
from meshc.kernels.collectives import broadcast, star, tree, two_phase
from meshc.kernels.collectives.line import Line, off_multiples, whole
from meshc.kernels.collectives.reductions import REDUCTIONS
from meshc.standalone.collective import collective_program
from meshrt.diagnostics import MeshError
from meshrt.program.check import diagnose
from meshrt.program.model import Rect
from meshrt.program.printer import print_program
from meshrt.run import run_program
from meshrt.target import load_target

TARGET = load_target("tiny")
OPERATORS = {"add": lambda a: a.sum(0), "max": lambda a: a.max(0)}


def run(width, height, append, elements=5, dtype="f32", seed=0):
    """What every PE held before and holds afterwards: [height, width, elements] each."""
    program = collective_program(width, height, TARGET, append, elements, dtype)
    assert not diagnose(program, TARGET)
    data = np.random.default_rng(seed).integers(-20, 21, (height, width, elements)).astype(np.float32)
    return data, run_program(program, TARGET, {"data": data}).outputs["result"]


def lines_of(line, data):
    """[elements of each PE] of every line, in order of position, with the position of its root in the array."""
    for across in range(*line.across):
        for number in range(line.repeat):
            first = line.start + number * line.length
            yield [(p, across) if line.axis == "x" else (across, p) for p in range(first, first + line.length)]


def check(reduction, width, height, line, root, operator="add", **options):
    def append(builder, data):
        reduction.emit(builder, line, root, data, operator)

    before, after = run(width, height, append, **options)
    reduced = 0
    for pes in lines_of(line, before):
        wanted = OPERATORS[operator](np.stack([before[y, x] for x, y in pes]))
        x, y = pes[root]
        assert after[y, x].tolist() == wanted.tolist()
        reduced += 1
    assert reduced == line.repeat * (line.across[1] - line.across[0])
    inside = {pe for pes in lines_of(line, before) for pe in pes}
    for x, y in {(x, y) for x in range(width) for y in range(height)} - inside:
        assert after[y, x].tolist() == before[y, x].tolist()


def applying(length):
    return [r for r in REDUCTIONS.values() if r.applies(length, 0) is None]


@pytest.mark.parametrize("length", [1, 2, 3, 4, 9, 16])
def test_a_row_to_each_end(length):
    for reduction in applying(length):
        for root in {0, length - 1}:
            check(reduction, length, 1, Line("x", length, (0, 1)), root)


@pytest.mark.parametrize("name", REDUCTIONS)
def test_columns_that_start_inside_and_repeat(name):
    # Two lines of four end to end in columns 1 and 2 of 4 x 10 PEs.
    line = Line("y", 4, (1, 3), start=1, repeat=2)
    for root in (0, 3):
        check(REDUCTIONS[name], 4, 10, line, root)


@pytest.mark.parametrize("name", REDUCTIONS)
@pytest.mark.parametrize("operator", OPERATORS)
@pytest.mark.parametrize(("dtype", "elements"), [("f32", 1), ("f32", 40), ("f16", 7), ("f16", 64)])
def test_operators_dtypes_and_payloads(name, operator, dtype, elements):
    length = 9 if name == "reduce.two_phase" else 8
    line = Line("x", length, (0, 1))
    check(REDUCTIONS[name], length, 1, line, 0, operator, dtype=dtype, elements=elements)


@pytest.mark.parametrize("name", ["reduce.chain", "reduce.star"])
def test_a_root_inside_the_line(name):
    for root in range(1, 6):
        check(REDUCTIONS[name], 7, 2, Line("x", 7, (0, 2)), root)


@pytest.mark.parametrize("name", ["reduce.tree", "reduce.two_phase"])
def test_reasons_why_not(name):
    reduction = REDUCTIONS[name]
    assert "6" in str(reduction.applies(6, 0))
    assert "end of the line" in str(reduction.applies(4, 1))
    assert reduction.applies(16, 15) is None


@pytest.mark.parametrize("stored", [0, 1, 2, 4])
def test_a_tree_gives_the_same_whatever_it_stores(stored):
    def append(builder, data):
        tree.emit_stored(builder, whole(builder, "x"), 15, data, "add", stored)

    before, after = run(16, 1, append, elements=24)
    assert after[0, 15].tolist() == before[0].sum(0).tolist()


@pytest.mark.parametrize("held", [0, 1, 23, 24])
def test_two_phases_give_the_same_whatever_is_held(held):
    def append(builder, data):
        two_phase.emit_held(builder, whole(builder, "x"), 0, data, "add", held)

    before, after = run(9, 1, append, elements=24)
    assert after[0, 0].tolist() == before[0].sum(0).tolist()


@pytest.mark.parametrize(("kernel", "length", "root"), [(star, 6, 2), (tree, 8, 7), (two_phase, 9, 0)])
def test_it_runs_again_once_it_is_rearmed(kernel, length, root):
    rounds = 3

    def append(builder, data):
        line = whole(builder, "x")
        barrier = builder.buffer("barrier", "f32", 1)
        with builder.loop("round", rounds):
            kernel.emit(builder, line, root, data, "add")
            broadcast.emit_line(builder, line, root, data)
            kernel.rearm(builder, line, root)
            builder.emit("fill", barrier, value=0.0)
            chain_all_reduce(builder, line.segment(builder), barrier, "add")

    before, after = run(length, 1, append)
    total = before[0].sum(0) * float(length) ** (rounds - 1)
    assert (after[0] == total).all()


def test_two_reductions_meet_on_a_rectangle():
    """Rows to the first column, then that column to its last row, then everyone gets the sum."""

    def append(builder, data):
        REDUCTIONS["reduce.tree"].emit(builder, whole(builder, "x"), 0, data, "add")
        REDUCTIONS["reduce.two_phase"].emit(builder, Line("y", 4, (0, 1)), 3, data, "add")
        broadcast.emit_rectangle(builder, builder.everywhere, (0, 3), data)

    before, after = run(8, 4, append)
    assert (after == before.sum((0, 1))).all()


@pytest.mark.parametrize("root", [0, 3, 6])
@pytest.mark.parametrize("axis", ["x", "y"])
def test_a_broadcast_along_lines(axis, root):
    def append(builder, data):
        broadcast.emit_line(builder, whole(builder, axis), root, data)

    width, height = (7, 2) if axis == "x" else (2, 7)
    before, after = run(width, height, append)
    wanted = before[:, root : root + 1] if axis == "x" else before[root : root + 1]
    assert (after == np.broadcast_to(wanted, before.shape)).all()


@pytest.mark.parametrize(
    "rect", [Rect(0, 5, 0, 4), Rect(1, 4, 1, 4), Rect(2, 3, 0, 4), Rect(0, 5, 2, 3), Rect(1, 3, 1, 3)]
)
def test_a_broadcast_over_a_rectangle_from_anywhere(rect):
    for root in [(x, y) for x in range(rect.x0, rect.x1) for y in range(rect.y0, rect.y1)]:
        before, after = run(5, 4, lambda builder, data, root=root: broadcast.emit_rectangle(builder, rect, root, data))
        for y in range(4):
            for x in range(5):
                wanted = before[root[1], root[0]] if (x, y) in rect else before[y, x]
                assert after[y, x].tolist() == wanted.tolist()


def test_the_text_does_not_grow_with_the_line():
    """A tree's routes grow with log P squared, those of two phases with the primes of Q; the others stay."""

    def lines(name, length):
        def append(builder, data):
            REDUCTIONS[name].emit(builder, whole(builder, "x"), 0, data, "add")

        return len(print_program(collective_program(length, 1, load_target("ideal"), append, 4)).splitlines())

    assert lines("reduce.star", 8) == lines("reduce.star", 512)
    assert lines("reduce.chain", 8) == lines("reduce.chain", 512)
    assert lines("reduce.tree", 512) - lines("reduce.tree", 8) <= 2 * 9 * 9
    assert lines("reduce.two_phase", 1024) - lines("reduce.two_phase", 16) <= 2 * 3


def test_too_many_colors_are_a_diagnostic():
    def append(builder, data):
        for root in (0, 63):
            for start in (0, 1):
                tree.emit(builder, Line("x", 64, (0, 1), start=start), root, data, "add")

    with pytest.raises(MeshError) as caught:
        collective_program(66, 1, load_target("ideal"), append, 4)
    assert caught.value.diagnostic.code == "M0406"


@pytest.mark.parametrize("period", [1, 2, 3, 4, 6, 7, 8, 12, 49])
def test_off_multiples_covers_exactly(period):
    covered = [n for start, step in off_multiples(period) for n in range(start, 5 * period, step)]
    assert sorted(covered) == [n for n in range(1, 5 * period) if n % period]


@pytest.mark.parametrize("length", [4, 16, 64])
def test_costs_are_the_published_formulas(length):
    """The rows of the paper, written out, with T_R of 2."""
    ramp, root, log = 2, math.isqrt(length), math.log2(length)
    for words in (1, 10, 100, 1000):
        wanted = {
            "reduce.star": words * (length - 1) + 2 * ramp + 1,
            "reduce.chain": words + (2 * ramp + 2) * (length - 1),
            "reduce.tree": max(words * log, words * length / (2 * (length - 1)) * log + length - 1)
            + (2 * ramp + 1) * log,
            "reduce.two_phase": max(2 * words, 2 * words * root / (root + 1) + length - 1)
            + (2 * ramp + 1) * (2 * root - 2),
        }
        for name, reduction in REDUCTIONS.items():
            assert reduction.cost(length, words).cycles(ramp) == pytest.approx(wanted[name])
        assert broadcast.line_cost(length, words).cycles(ramp) == words + length + 2 * ramp
        square = broadcast.rectangle_cost(length, 3, words).cycles(ramp)
        assert square == words + length + 3 - 2 + 2 * ramp + 1
