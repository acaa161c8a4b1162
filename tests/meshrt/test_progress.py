"""Progress: who works may report to anything, and a log gets no bars."""

from __future__ import annotations

import io
import sys

import pytest

from meshrt.progress import Progress, TerminalProgress, progress_for_stderr


def _work(progress: Progress) -> None:
    with progress:
        progress.stage("reading")
        progress.stage("running", 3, "steps")
        for done in range(4):
            progress.advance(done)


def test_by_default_nothing_is_shown(capsys):
    _work(Progress())
    captured = capsys.readouterr()
    assert captured.out + captured.err == ""


def test_bars_are_for_terminals_only(monkeypatch):
    assert type(progress_for_stderr()) is Progress
    terminal = io.StringIO()
    monkeypatch.setattr(terminal, "isatty", lambda: True)
    monkeypatch.setattr(sys, "stderr", terminal)
    assert type(progress_for_stderr(quiet=True)) is Progress
    assert type(progress_for_stderr()) is TerminalProgress


def test_bars_end_with_the_work_and_with_a_failure(monkeypatch):
    _work(TerminalProgress())
    with pytest.raises(KeyError), TerminalProgress() as progress:
        progress.stage("failing")
        raise KeyError
