"""Runs of table entries."""

from __future__ import annotations

import pytest

from meshrt.program.table_runs import compress


@pytest.mark.parametrize(
    ("entries", "items"),
    [
        ((), []),
        ((5,), ["5"]),
        ((5, 5), ["5", "5"]),
        ((5, 5, 5), ["3 of 5"]),
        ((0, 1, 2), ["0", "1", "2"]),
        ((0, 1, 2, 3), ["0..4"]),
        ((9, 6, 3, 0, 7), ["9..-1:-3", "7"]),
        ((0, 1, 3, 5, 7), ["0", "1..8:2"]),
        ((-2, -1, 0, 1), ["-2..2"]),
    ],
)
def test_items(entries, items):
    assert list(compress(entries)) == items
