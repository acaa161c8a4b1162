"""Exit statuses of ``meshc`` and ``python -m meshrt``, and which diagnostic has which."""

from __future__ import annotations

from meshrt.diagnostics import MeshError

DONE = 0
#: A diagnostic was printed.
DIAGNOSTIC = 1
#: The command line itself was wrong.
USAGE = 2
#: ``--max-cycles`` was exceeded.
MAX_CYCLES = 3
#: ``--expect`` found a difference.
DIFFERS = 4
#: Ended by Ctrl-C, as shells have it: 128 + SIGINT.
INTERRUPTED = 130

#: Diagnostics that end with another status than :data:`DIAGNOSTIC`.
STATUS_OF_CODE = {"M0530": MAX_CYCLES, "M0560": DIFFERS, "M0561": DIFFERS}


def status_of(error: MeshError) -> int:
    """The exit status for a diagnostic."""
    return STATUS_OF_CODE.get(error.diagnostic.code, DIAGNOSTIC)
