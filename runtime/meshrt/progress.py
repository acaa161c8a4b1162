"""Progress of long work: who works calls it, who shows it decides how.

``Progress`` itself shows nothing, so it is also what a library call gets by default.
"""

from __future__ import annotations

import sys
from types import TracebackType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import TaskID


class Progress:
    """Hears of stages and how far they are, and shows nothing."""

    def stage(self, name: str, total: int | None = None, unit: str = "") -> None:
        """A stage begins and the one before it has ended: ``importing the model``, with its length if known."""

    def advance(self, done: int) -> None:
        """So much of the present stage is done, in its unit, counted from its beginning."""

    def close(self) -> None:
        """Show nothing more: something else is written from now on."""

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """The work has ended."""


class TerminalProgress(Progress):
    """Bars on stderr, one line for each stage with its time; use it as a context manager."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, SpinnerColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn
        from rich.progress import Progress as Bars

        self._bars = Bars(
            SpinnerColumn(finished_text="[green]✓"),
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TaskProgressColumn(),
            TimeElapsedColumn(),
            console=Console(stderr=True),
            transient=True,
        )
        self._task: TaskID | None = None

    def stage(self, name: str, total: int | None = None, unit: str = "") -> None:
        """Finish the present stage's line and begin another."""
        self._finish()
        self._task = self._bars.add_task(name, total=total)

    def advance(self, done: int) -> None:
        """Move the bar."""
        if self._task is not None:
            self._bars.update(self._task, completed=done)

    def close(self) -> None:
        """Take the bars away."""
        self._bars.stop()

    def __enter__(self) -> TerminalProgress:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Take the bars away: what remains on the screen is what was printed."""
        if error is None:
            self._finish()
        self._bars.stop()

    def _finish(self) -> None:
        if self._task is not None:
            task = next(t for t in self._bars.tasks if t.id == self._task)
            total = task.total or 1
            self._bars.update(self._task, total=total, completed=total)


def progress_for_stderr(quiet: bool = False) -> Progress:
    """Bars when stderr is a terminal; else nothing."""
    return TerminalProgress() if sys.stderr.isatty() and not quiet else Progress()
