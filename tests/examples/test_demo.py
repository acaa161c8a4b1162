"""How the demo judges the wafer's answer. The demo itself is `make demo`."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

FILE = Path(__file__).resolve().parents[2] / "examples" / "smollm2" / "demo.py"


@pytest.fixture(scope="module")
def demo() -> ModuleType:
    spec = importlib.util.spec_from_file_location("demo", FILE)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_top_is_best_first(demo):
    assert demo.top(np.array([1.0, 5.0, 3.0, 5.0]), 3) == [1, 3, 2]


def test_near_neighbours_may_stand_in_either_order(demo):
    reference = np.array([9.0, 8.0, 7.99, 5.0, 4.0, 3.0])
    assert demo.same_order([0, 1, 2, 3, 4], reference)
    assert demo.same_order([0, 2, 1, 3, 4], reference)
    assert not demo.same_order([0, 1, 3, 2, 4], reference)
    assert not demo.same_order([0, 1, 2, 3, 5], reference)


def test_cosine_is_of_all_elements(demo):
    a = np.array([[1.0, 0.0], [0.0, 1.0]])
    assert demo.cosine(a, 3 * a) == pytest.approx(1.0)
    assert demo.cosine(a, np.array([[1.0, 0.0], [0.0, -1.0]])) == pytest.approx(0.0)


def test_without_the_package_it_says_what_to_do(demo, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SystemExit, match="make demo"):
        demo.gguf_file()
