"""How the demo judges what the wafer writes, and says how fast it was. The demo itself is `make demo`."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
import torch

FOLDER = Path(__file__).resolve().parents[2] / "examples" / "smollm2"
FILES = ("commands", "comparison", "demo")


@pytest.fixture
def files(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, ModuleType]]:
    """The demo's files, as the command line finds them beside it."""
    monkeypatch.syspath_prepend(str(FOLDER))
    yield {name: importlib.import_module(name) for name in FILES}
    for name in FILES:
        sys.modules.pop(name, None)


def model_of(rows: list[list[float]]) -> Callable:
    """A model whose logits at each position are those of the token there."""
    table = torch.tensor(rows)
    return lambda ids, use_cache: SimpleNamespace(logits=table[ids])


def test_a_token_is_the_likeliest_behind_what_the_wafer_wrote(files):
    compared = files["comparison"].compared
    model = model_of([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [1.0, 0.0, 0.985]])
    assert str(compared(model, [0], [1, 2, 0])) == "all 3 tokens are PyTorch's"
    # Of two that are near to each other either is right; what follows goes on from the one that was chosen.
    near = compared(model, [0, 1], [2, 2, 2])
    assert (near.near, near.wrong) == (2, None)
    assert str(near) == "all 3 tokens are PyTorch's, 2 of them within 0.02 of its likeliest"
    assert compared(model, [0], [1, 2, 1]).wrong == 2
    assert str(compared(model, [0], [2])) == "token 0 is not PyTorch's"


def test_how_fast_it_was(files):
    speed = files["demo"].speed
    first = {"first_token_seconds": 0.0051234}
    assert speed(first) == "first token after 5.12 ms"
    more = {"token_seconds": 119e-6, "tokens_per_second": 8403.4}
    assert speed(first | more) == "first token after 5.12 ms, then one every 119 us, 8,403 a second"


def test_five_different_prompts(files):
    assert len(set(files["demo"].PROMPTS)) == 5


def test_without_the_package_it_says_what_to_do(files, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SystemExit, match="make demo"):
        files["commands"].gguf_file()


def test_a_step_that_fails_ends_the_demo(files, capfd):
    with pytest.raises(SystemExit) as ended:
        files["commands"].step("explain", "M9999")
    assert ended.value.code == 1
    assert capfd.readouterr().out.startswith("$ meshc explain M9999\n")
