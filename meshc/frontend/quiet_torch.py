"""torch's own talk while it exports: logs with tracebacks, and a half-made graph on standard error.

What fails is reported as one diagnostic, so these say nothing that the user can act on.
"""

from __future__ import annotations

import logging
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO


@contextmanager
def quiet_torch() -> Iterator[None]:
    """Run without torch's logs, warnings and printed graphs; all are put back afterwards."""
    disabled, stream = logging.root.manager.disable, sys.stderr
    logging.disable(logging.ERROR)
    sys.stderr = _WithoutGraphs(stream)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        sys.stderr = stream
        logging.disable(disabled)


class _WithoutGraphs:
    """A text stream that drops printed graphs and passes everything else on (progress bars draw meanwhile)."""

    def __init__(self, stream: TextIO):
        self._stream = stream
        self._dropped = False

    def write(self, text: str) -> int:
        """Write to the stream behind, unless the text is a graph or the line end that follows one."""
        graph = "def forward(" in text
        drop = graph or (self._dropped and text == "\n")
        self._dropped = graph
        return len(text) if drop else self._stream.write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
