"""``--expect``: what counts as a difference, and how it is told."""

from __future__ import annotations

import numpy as np
import pytest

from meshrt.diagnostics import MeshError
from meshrt.exit_status import DIFFERS, status_of
from meshrt.expectation import check_expected


def _logits() -> np.ndarray:
    return np.array([[0.5, -8.0, 3.0], [1.0, 2.0, -3.0]], dtype=np.float32)


def test_the_tolerance_is_relative_to_the_largest_magnitude():
    got = _logits()
    got[0, 0] += 8.0 * 0.9e-3
    assert check_expected({"logits": got}, {"logits": _logits()}, rtol=1e-3)["logits"] == pytest.approx(
        0.9e-3, rel=1e-3
    )
    got[0, 0] += 8.0 * 0.2e-3
    with pytest.raises(MeshError) as raised:
        check_expected({"logits": got}, {"logits": _logits()}, rtol=1e-3)
    assert status_of(raised.value) == DIFFERS


def test_the_difference_is_located():
    got = _logits()
    got[0, 2] += 1.0
    got[1, 1] -= 4.0
    with pytest.raises(MeshError) as raised:
        check_expected({"logits": got}, {"logits": _logits()})
    assert raised.value.diagnostic.render() == (
        "error[M0560]: 'logits' differs from what was expected in 2 of 6 elements\n"
        "  note: the tolerance is 0.0001 of the largest expected magnitude, 8\n"
        "  note: first at logits[0, 2]: got 4, expected 3\n"
        "  note: most at logits[1, 1]: got -2, expected 2, off by 0.5 of that magnitude"
    )


@pytest.mark.parametrize(
    ("got", "wanted", "same"),
    [
        (np.nan, np.nan, True),
        (np.inf, np.inf, True),
        (np.inf, -np.inf, False),
        (np.nan, 1.0, False),
        (1.0, np.nan, False),
        (1.0, np.inf, False),
    ],
)
def test_infinities_and_nans_must_match(got, wanted, same):
    outputs, expected = {"y": np.array([got, 1.0])}, {"y": np.array([wanted, 1.0])}
    if same:
        assert check_expected(outputs, expected) == {"y": 0.0}
    else:
        with pytest.raises(MeshError, match="M0560"):
            check_expected(outputs, expected)


def test_zero_is_expected_exactly():
    assert check_expected({"y": np.zeros(2)}, {"y": np.zeros(2)}) == {"y": 0.0}
    with pytest.raises(MeshError, match="M0560"):
        check_expected({"y": np.array([0.0, 1e-30])}, {"y": np.zeros(2)})


def test_integers_are_compared_too():
    assert check_expected({"y": np.array([3, 4])}, {"y": np.array([3, 4])}) == {"y": 0.0}


def test_more_outputs_than_expected_are_fine_but_not_fewer():
    assert check_expected({"y": np.ones(1), "z": np.ones(1)}, {"y": np.ones(1)}) == {"y": 0.0}
    with pytest.raises(MeshError, match="the outputs are: y") as raised:
        check_expected({"y": np.ones(1)}, {"logits": np.ones(1)})
    assert raised.value.diagnostic.code == "M0561"


def test_another_shape_is_told():
    with pytest.raises(MeshError, match=r"shape \[2\], expected is \[3\]"):
        check_expected({"y": np.ones(2)}, {"y": np.ones(3)})


def test_nothing_is_expected_of_an_empty_tensor():
    assert check_expected({"y": np.ones(0)}, {"y": np.ones(0)}) == {"y": 0.0}
