"""What every test relies on: deterministic arithmetic on one thread, and no colour in what is compared."""

from __future__ import annotations

import os

import pytest
import torch

# Tests run side by side in processes (pytest -n); threads inside each would only compete.
torch.set_num_threads(1)
# Nothing is downloaded by a test.
os.environ["HF_HUB_OFFLINE"] = "1"


def pytest_addoption(parser: pytest.Parser) -> None:
    """How many generated programs the engines are held together on (tests/differential)."""
    parser.addoption("--programs", type=int, default=500, metavar="N", help="generated programs to run on both engines")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What tests recorded under ``agreement``: how near the engines are, and the programs where they are least so."""
    said = [
        value
        for outcome in ("passed", "failed")
        for report in terminalreporter.getreports(outcome)
        for name, value in report.user_properties
        if name == "agreement" and report.when == "call"
    ]
    if said:
        terminalreporter.section("agreement of the engines")
        for text in said:
            terminalreporter.write_line(text)


@pytest.fixture(autouse=True)
def plain_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same width and no colour, whatever terminal runs the tests."""
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setenv("NO_COLOR", "1")
    for name in ("FORCE_COLOR", "TERM_PROGRAM"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(autouse=True)
def every_ir_round_trips(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a pass leaves is printed, parsed and compared, in every test that runs one.

    The mesh level has a test of its own (tests/ir/test_round_trip_models.py): its texts are long.
    """
    from meshc.dialects.levels import parse_module
    from meshc.ir.equality import difference
    from meshc.ir.printer import print_module
    from meshc.passes import pipeline

    verify = pipeline.first_violation

    def verify_and_read_back(module, levels):
        violation = verify(module, levels)
        if violation is None and module.level != "mesh" and levels is pipeline.LEVELS:
            text = print_module(module)
            again = parse_module(text)
            assert difference(module, again) is None
            assert print_module(again) == text
        return violation

    monkeypatch.setattr(pipeline, "first_violation", verify_and_read_back)
