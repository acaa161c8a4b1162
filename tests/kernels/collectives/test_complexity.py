"""How the collectives grow: what the literature says, what a run measures, and what bounds them."""

from __future__ import annotations

import pytest

from meshc.kernels.collectives import chain, k_tree, tree, two_phase
from meshc.kernels.collectives.auto import draw_all_reduce, draw_reduce
from meshc.kernels.collectives.bounds import energies, least_energy_tree, lower_bound
from meshc.kernels.collectives.line import Line
from meshc.kernels.collectives.pace import Payload, all_reduce_estimate, reduce_pace
from meshc.kernels.collectives.registry import collectives
from meshc.kernels.collectives.spans import spans
from meshrt.program.printer import print_program
from meshrt.run import RunOptions, run_program
from meshrt.target import load_target
from tests.kernels.collectives.harness import alone, cycles

IDEAL, WSE2 = load_target("ideal"), load_target("wse2")
WORDS = (1, 4, 16, 64, 256, 1024)


@pytest.mark.parametrize(
    ("length", "groups"), [(64, (8, 8)), (256, (16, 16)), (64, (4, 4, 4)), (216, (6, 6, 6)), (256, (4, 4, 4, 4))]
)
def test_the_stages_of_a_k_tree(length, groups):
    """About K N^(1/K) / 2, and one for the multicast."""
    program = alone("all_reduce.k_tree", Line("x", length, (0, 1)), IDEAL, 1, "f32", groups=groups)
    stages = run_program(program, IDEAL, options=RunOptions(timing_only=True)).report["latency"]["critical_stages"]
    levels = len(groups)
    assert abs(stages - 1 - levels * length ** (1 / levels) / 2) <= levels
    assert stages <= k_tree.draw(length, groups).longest_path[1] + 1


def test_colors_do_not_grow_with_the_line():
    for length in (27, 81, 243, 729):
        assert chain.draw(length, 0).color_count == chain.draw(length, length // 2).color_count == 2
        assert two_phase.draw(length, 0).color_count == 3
        assert k_tree.draw(length, (9, -(-length // 9))).color_count <= 4
        assert k_tree.draw(length, (9, 9, -(-length // 81))).color_count <= 6
        assert tree.draw(length, 0).color_count == (length - 1).bit_length()
        for colors in (3, 4, 6):
            assert draw_all_reduce(length, Payload(8, "f32", "add", WSE2), colors).color_count <= colors


@pytest.mark.parametrize("length", [2, 3, 7, 16, 45, 128])
def test_auto_is_within_its_bound_and_never_slower_than_a_known_tree(length):
    for words in WORDS:
        payload = Payload(words, "f32", "add", IDEAL)
        found = reduce_pace(draw_reduce(length, payload), payload)
        assert found <= 1.4 * lower_bound(length, words)
        known = [draw(length, 0) for draw in (chain.draw, tree.draw, two_phase.draw)]
        assert all(found <= reduce_pace(plan, payload) for plan in known if plan.color_count <= 6)


@pytest.mark.parametrize("length", [7, 45, 128, 720])
@pytest.mark.parametrize("target", ["wse2", "wse3"])
def test_no_fixed_all_reduce_is_predicted_to_be_faster(length, target):
    for words in (1, 12, 100):
        payload = Payload(words, "f32", "add", load_target(target))
        found = all_reduce_estimate(draw_all_reduce(length, payload), payload)
        for name, each in collectives().items():
            if name.startswith("all_reduce") and name not in ("all_reduce.auto", "all_reduce.ring"):
                for parameters in each.candidates(length, payload):
                    other = each.estimate(length, payload, **parameters)
                    assert found.cycles <= other.cycles or other.colors > 7, (words, name, parameters)


@pytest.mark.parametrize("words", [1, 16, 64])
def test_the_emulator_keeps_the_bound_too(words):
    for length in (7, 33, 64):
        run = cycles(alone("reduce.auto", Line("x", length, (0, 1)), IDEAL, words, "f32"), IDEAL, "reference")
        assert run <= 1.4 * lower_bound(length, words)


def test_trees_of_least_energy_have_that_energy():
    energy, _ = energies(24, 23)
    for length in (2, 5, 13, 24):
        for depth in (1, 2, 3, length - 1):
            plan = least_energy_tree(length, depth)
            assert plan.cost(1).energy == energy[length, depth]
            assert plan.cost(1).depth <= depth
    assert energy[24, 1] == 23 * 24 // 2
    assert energy[24, 23] == 23


def test_stretches_that_are_alike_take_few_spans():
    assert spans([*range(0, 1000, 2)]) == [(0, 999, 2)]
    assert spans([*range(10), *range(20, 30), *range(40, 50)]) == [(0, 10, 1), (20, 30, 1), (40, 50, 1)]
    assert len(spans([p for p in range(1000) if p % 4])) == 3
    for positions in ([], [5], [1, 2, 4, 8, 16], [p for p in range(60) if p % 7 in (1, 2, 5)]):
        covered = sorted(p for span in spans(positions) for p in range(*span))
        assert covered == positions


@pytest.mark.parametrize("name", [name for name in collectives() if name.startswith("all_reduce")])
def test_the_text_grows_no_faster_than_the_line(name):
    """Tables with an entry for each PE, and rectangles of which there are fewer the more alike its stretches are."""
    for length in (64, 256):
        program = alone(name, Line("x", length, (0, 1)), WSE2, 512, "f32")
        assert len(print_program(program).splitlines()) <= 100 + length // 2
