"""What a collective says of itself beside what a run takes: cycles, colors, memory, the critical path."""

from __future__ import annotations

from collections import defaultdict
from itertools import product

import pytest

from meshc.kernels.collectives.line import Line
from meshc.kernels.collectives.operators import SoftmaxMerge
from meshc.kernels.collectives.pace import Payload
from meshc.kernels.collectives.registry import choose, collectives
from meshrt.run import RunOptions, run_program
from meshrt.target import load_target
from tests.kernels.collectives.harness import alone, cycles, parameters

TARGETS = {name: load_target(name) for name in ("ideal", "wse2", "wse3")}
NAMES = list(collectives())
#: Elements and dtype of the benchmark grid's payloads.
PAYLOADS = [(1, "f32"), (24, "f16"), (100, "f32")]


def roots(name, length):
    return [{"root": root} for root in sorted({0, length // 2})] if collectives()[name].takes else [{}]


def estimated(name, length, payload, **fixed):
    return collectives()[name].estimate(length, payload, **parameters(name, length, **fixed))


def near(predicted, cycles):
    """Within a tenth, or the four cycles that a word or two may wait for a RAMP."""
    return abs(predicted - cycles) <= max(0.1 * cycles, 4)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)
def test_predicted_cycles_lie_within_a_tenth_of_the_reference(name, target):
    for length, (elements, dtype) in product([2, 3, 7, 16, 45], PAYLOADS):
        payload = Payload(elements, dtype, "add", target)
        if name == "all_reduce.ring" and not list(collectives()[name].candidates(length, payload)):
            continue
        for fixed in roots(name, length):
            line = Line("x", length, (0, 1))
            run = cycles(alone(name, line, target, elements, dtype, **fixed), target, "reference")
            found = estimated(name, length, payload, **fixed).cycles
            assert near(found, run), (length, elements, dtype, fixed, run, found)


@pytest.mark.parametrize("target", [TARGETS["wse2"], TARGETS["wse3"]], ids=["wse2", "wse3"])
def test_and_of_the_batched_engine_on_long_lines(target):
    for length, name in product([128, 720], ["all_reduce.auto", "all_reduce.k_tree", "all_reduce.chain"]):
        run = cycles(alone(name, Line("x", length, (0, 1)), target, 23, "f16"), target)
        assert near(estimated(name, length, Payload(23, "f16", "add", target)).cycles, run), (name, length, run)


@pytest.mark.parametrize(
    "name", [n for n in NAMES if not n.startswith("broadcast") and "ring" not in n and "star" not in n]
)
def test_merges_are_priced_too(name):
    merge, target = SoftmaxMerge(2, 5), TARGETS["wse2"]
    payload = Payload(merge.elements, "f32", merge, target)
    for length in (2, 7, 16):
        run = cycles(alone(name, Line("x", length, (0, 1)), target, merge.elements, "f32", merge), target)
        found = estimated(name, length, payload)
        assert near(found.cycles, run), (length, run, found)


def test_segments_ask_each_pe_whether_it_takes_part():
    target, line = TARGETS["wse2"], Line("x", 7, (1, 3), start=1, repeat=2)
    payload = Payload(24, "f16", "add", target, partial=True)
    for name in NAMES:
        if name.startswith("all_reduce") and "ring" not in name:
            run = cycles(alone(name, line, target, 24, "f16"), target)
            assert near(estimated(name, 7, payload).cycles, run), (name, run)


@pytest.mark.parametrize("name", NAMES)
def test_colors_and_memory_are_those_of_the_program(name):
    target = TARGETS["wse2"]
    for length, fixed in [(n, fixed) for n in (1, 2, 3, 7, 16) for fixed in roots(name, n)]:
        (region,) = alone(name, Line("x", length, (0, 1)), target, 24, "f16", **fixed).regions
        found = estimated(name, length, Payload(24, "f16", "add", target), **fixed)
        colors = defaultdict(set)
        for route in region.routes:
            for x in range(route.rect.x0, route.rect.x1, route.rect.xs):
                colors[x].add(route.color)
        assert found.colors == len(set().union(*colors.values())), (length, fixed)
        assert found.bytes == sum(buffer.bytes for buffer in region.buffers if buffer.name != "data")


@pytest.mark.parametrize("name", [n for n in NAMES if n.startswith("all_reduce")])
def test_the_critical_path_of_a_run_is_no_longer_than_the_one_declared(name):
    target = TARGETS["wse2"]
    for length in (3, 16, 45):
        program = alone(name, Line("x", length, (0, 1)), target, 96, "f16")
        latency = run_program(program, target, options=RunOptions(timing_only=True)).report["latency"]
        found = estimated(name, length, Payload(96, "f16", "add", target))
        assert latency["critical_stages"] <= found.stages
        assert latency["critical_hops"] <= found.hops


def test_a_choice_is_sorted_and_keeps_its_limits():
    payload = Payload(23, "f16", "add", TARGETS["wse2"])
    found = choose("all_reduce", 128, payload)
    assert [c.estimate.cycles for c in found] == sorted(c.estimate.cycles for c in found)
    assert {c.collective.algorithm for c in found} >= {
        "auto",
        "chain",
        "chain_two_sided",
        "k_tree",
        "tree",
        "two_phase",
    }
    assert found[0].collective.name == "all_reduce.auto"
    assert all(c.estimate.colors <= 5 for c in choose("all_reduce", 128, payload, colors=5))
    reductions = choose("reduce", 16, payload, root=3)
    assert {c.collective.name for c in reductions} == {"reduce.auto", "reduce.chain", "reduce.tree", "reduce.two_phase"}
    assert "reduce.star" in {c.collective.name for c in choose("reduce", 16, payload, rerun=False, root=3)}
