"""Costs by cause: what the events of an instruction are, and that their price is what the machine's page says."""

from dataclasses import replace
from pathlib import Path

import pytest

from meshrt.program import cost
from meshrt.target import Rates, load_target

MACHINE = load_target(str(Path(__file__).parents[1] / "machine" / "machine.toml"))


def test_a_product_sets_its_three_vectors_up_in_every_round_of_the_outer_loop():
    by_columns = cost.gemm_events(3, 4, 5, 6, "f32", "f32", vector="m")
    assert by_columns["vector_setup_cycles"] == 3 * 3 * 5
    assert by_columns["vector_issue_cycles"] == 3 * 5 * 6
    by_rows = cost.gemm_events(3, 4, 5, 6, "f32", "f32", vector="n")
    assert by_rows["vector_setup_cycles"] == 3 * 3 * 4
    assert by_rows["vector_issue_cycles"] == 3 * 4 * 5
    assert by_columns["fma_elements_per_cycle.f32"] == by_rows["fma_elements_per_cycle.f32"] == 3 * 4 * 5 * 6


@pytest.mark.parametrize(
    ("c", "a", "kind"),
    [("f16", "f16", "f16"), ("f32", "f16", "mixed"), ("f32", "bf16", "bf16"), ("bf16", "bf16", "bf16")]
    + [("f32", "f32", "f32")],
)
def test_the_dtypes_of_a_product_choose_its_rate(c, a, kind):
    assert cost.fma_cause(c, a) == f"fma_elements_per_cycle.{kind}"


def test_the_price_is_the_product_of_counts_and_numbers_rounded_up_once():
    target = replace(MACHINE, add_elements_per_cycle=Rates((("f16", 4.9), ("bf16", 1.0), ("f32", 0.3), ("i32", 1.0))))
    assert cost.price(target, {"issue_cycles": 2, "vector_issue_cycles": 3}) == 5
    assert cost.price(target, {"add_elements_per_cycle.f16": 49}) == 10
    assert cost.price(target, {"add_elements_per_cycle.f16": 50}) == 11
    assert cost.price(target, {"add_elements_per_cycle.f32": 3, "issue_cycles": 1}) == 11


def test_every_cause_is_a_number_of_the_target():
    found = [
        cost.launch_events(True),
        cost.launch_events(False),
        cost.gemm_events(1, 2, 3, 4, "f32", "f16"),
        *(cost.element_events(c, 8, "f16") for c in ("move", "add", "divide", "root", "special")),
    ]
    for events in found:
        assert cost.price(MACHINE, events) == sum(n * cost.unit_cycles(MACHINE, cause) for cause, n in events.items())
