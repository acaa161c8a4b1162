"""The two halves of rolling layers: names as templates of a counter, and runs that repeat."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshc.passes.matching.name_templates import template
from meshc.passes.matching.periods import repeated_runs


@pytest.mark.parametrize(
    ("names", "wanted"),
    [
        (["layers.0.w", "layers.1.w", "layers.2.w"], "layers.{l}.w"),
        (["layers.1.w", "layers.3.w", "layers.5.w"], "layers.{2*l+1}.w"),
        (["layers.4.fc1.w", "layers.5.fc1.w"], "layers.{l+4}.fc1.w"),
        (["a.0.b.10", "a.1.b.20"], "a.{l}.b.{10*l+10}"),
        (["shared.w", "shared.w"], "shared.w"),
        (["layers.0.w", "layers.2.w", "layers.3.w"], None),
        (["layers.1.w", "layers.0.w"], None),
        (["layers.0.w", "layers.1.v"], None),
        (["layers.00.w", "layers.01.w"], None),
        (["a{0}", "a{1}"], None),
    ],
)
def test_names_become_a_template_where_their_integers_grow_evenly(names, wanted):
    assert template(names, "l") == wanted


@pytest.mark.parametrize(
    ("text", "wanted"),
    [("xabcabcabcy", (1, 9, 3)), ("aaaa", (0, 4, 1)), ("xyabababz", (2, 6, 2)), ("xababcababcy", (1, 10, 5))],
)
def test_the_best_run_covers_most(text, wanted):
    best = repeated_runs(text)[0]
    assert (best.start, best.length, best.period) == wanted


@given(st.lists(st.integers(0, 2), max_size=24))
def test_every_run_repeats_with_its_period(items):
    for run in repeated_runs(items):
        assert run.count >= 2
        part = items[run.start : run.start + run.length]
        assert part[: -run.period] == part[run.period :]


def test_nothing_repeats_in_a_sequence_without_equal_items():
    assert repeated_runs("abcdef") == []
