"""Compares a run's outputs with expected ones, and says where they part."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from meshrt.diagnostics import MeshError

#: Relative tolerance when none is given: what f32 programs hold against PyTorch.
DEFAULT_RTOL = 1e-4


def check_expected(
    outputs: Mapping[str, np.ndarray], expected: Mapping[str, np.ndarray], rtol: float = DEFAULT_RTOL
) -> dict[str, float]:
    """The largest difference of each expected tensor, relative to its largest magnitude.

    Tensors are compared by name; every expected one must be among the outputs. Raises
    M0561 for a missing tensor or another shape, M0560 for an element that is further off
    than ``rtol`` times the expected tensor's largest magnitude.
    """
    differences: dict[str, float] = {}
    for name, wanted in sorted(expected.items()):
        if name not in outputs:
            raise MeshError(
                "M0561",
                f"the expected tensor {name!r} is not an output",
                helps=[f"the outputs are: {', '.join(sorted(outputs))}"],
            )
        got = outputs[name]
        if got.shape != wanted.shape:
            raise MeshError("M0561", f"{name!r} has shape {list(got.shape)}, expected is {list(wanted.shape)}")
        differences[name] = _compare(name, got.astype(np.float64), wanted.astype(np.float64), rtol)
    return differences


def _compare(name: str, got: np.ndarray, wanted: np.ndarray, rtol: float) -> float:
    finite = np.isfinite(wanted)
    scale = float(np.max(np.abs(wanted), where=finite, initial=0.0))
    same = (got == wanted) | (np.isnan(got) & np.isnan(wanted))
    with np.errstate(invalid="ignore"):
        distance = np.where(same, 0.0, np.abs(got - wanted))
    # An infinity or NaN on one side only is as far off as can be.
    distance = np.where(np.isnan(distance), np.inf, distance)
    wrong = distance > rtol * scale
    largest = float(np.max(distance, initial=0.0))
    if not wrong.any():
        return largest / scale if scale else largest
    first = np.unravel_index(int(np.argmax(wrong)), wrong.shape)
    worst = np.unravel_index(int(np.argmax(distance)), wrong.shape)
    raise MeshError(
        "M0560",
        f"{name!r} differs from what was expected in {int(wrong.sum()):,} of {wrong.size:,} elements",
        notes=[
            f"the tolerance is {rtol:g} of the largest expected magnitude, {scale:.6g}",
            f"first at {_element(name, first)}: got {got[first]:.9g}, expected {wanted[first]:.9g}",
            f"most at {_element(name, worst)}: got {got[worst]:.9g}, expected {wanted[worst]:.9g}"
            + (f", off by {distance[worst] / scale:.3g} of that magnitude" if scale else ""),
        ],
    )


def _element(name: str, index: tuple[np.intp, ...]) -> str:
    return f"{name}[{', '.join(str(int(i)) for i in index)}]"
