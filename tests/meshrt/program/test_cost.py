"""Costs by cause: what the events of an instruction are, and that their price is what the machine's page says."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshrt.program import cost
from meshrt.target import Rates, load_target

MACHINE = load_target(str(Path(__file__).parents[1] / "machine" / "machine.toml"))


def test_a_product_sets_its_three_vectors_up_in_every_round_of_the_outer_loop():
    by_columns = cost.gemm_events(3, 4, 5, 6, "f32", "f32", vector="m")
    assert by_columns["vector_setup_cycles"] == 3 * 3 * 5
    assert by_columns["vector_issue_cycles"] == 3 * 5 * (6 + 5)
    by_rows = cost.gemm_events(3, 4, 5, 6, "f32", "f32", vector="n")
    assert by_rows["vector_setup_cycles"] == 3 * 3 * 4
    assert by_rows["vector_issue_cycles"] == 3 * 4 * (5 + 4)
    assert by_columns["fma_elements_per_cycle.f32"] == by_rows["fma_elements_per_cycle.f32"] == 3 * 4 * 5 * 6


def test_a_word_brings_two_short_factors():
    """The first word of a round comes with the set-up."""
    for inner, slots in ((1, 1), (2, 2), (3, 3 + 1), (8, 8 + 3)):
        assert cost.gemm_events(1, 4, 5, inner, "f32", "f16", vector="m")["vector_issue_cycles"] == 5 * slots
        assert cost.gemm_events(1, 5, inner, 4, "f32", "f16", vector="n")["vector_issue_cycles"] == 5 * slots


@given(vectors=st.integers(0, 40), length=st.integers(0, 40), dtype=st.sampled_from(["f16", "bf16", "f32"]))
def test_vectors_one_behind_the_other_take_every_memory_word_that_they_lie_in(vectors, length, dtype):
    size = cost.DTYPE_BYTES[dtype]
    bytes_of = [range(v * length * size, (v + 1) * length * size) for v in range(vectors)]
    whole = {2: 8, 4: 4}[size]
    assert (
        cost.packed_elements(vectors, length, dtype) * size
        == sum(len({b // whole for b in of}) for of in bytes_of) * whole
    )


def test_a_short_sum_leaves_elements_of_its_words_idle():
    events = cost.gemm_events(1, 3, 5, 4, "f16", "f16", vector="m")
    # Elements 0-2, 3-5, 6-8 and 9-11 lie in 1, 2, 2 and 1 words.
    assert events["fma_elements_per_cycle.f16"] == 3 * 4 * 5
    assert events["fma_idle_elements.f16"] == 5 * (6 * 4 - 12)
    assert "fma_idle_elements.f16" not in cost.gemm_events(1, 8, 5, 4, "f16", "f16", vector="m")
    assert not any(cause.startswith("fma_idle") for cause in cost.gemm_events(1, 3, 5, 4, "f32", "f16"))


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
        cost.gemm_events(1, 2, 3, 4, "f16", "f16"),
        *(cost.element_events(c, 8, "f16") for c in ("move", "add", "divide", "root", "special")),
    ]
    for events in found:
        assert cost.price(MACHINE, events) == sum(n * cost.unit_cycles(MACHINE, cause) for cause, n in events.items())
