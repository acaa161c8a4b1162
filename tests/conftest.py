"""What every test relies on: deterministic arithmetic on one thread, and no colour in what is compared."""

from __future__ import annotations

import os

import pytest
import torch

# Tests run side by side in processes (pytest -n); threads inside each would only compete.
torch.set_num_threads(1)
# Nothing is downloaded by a test.
os.environ["HF_HUB_OFFLINE"] = "1"


@pytest.fixture(autouse=True)
def plain_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same width and no colour, whatever terminal runs the tests."""
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setenv("NO_COLOR", "1")
    for name in ("FORCE_COLOR", "TERM_PROGRAM"):
        monkeypatch.delenv(name, raising=False)
