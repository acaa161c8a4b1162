"""What a command does with the terminal: diagnostics in colour, clean endings, exit statuses.

Both front doors, ``meshc`` and ``python -m meshrt``, run inside :func:`exit_status_of`, so a
failure looks the same from either. ``NO_COLOR`` is honoured (rich does). rich is imported
only when something is drawn with it.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from meshrt.diagnostics import Diagnostic, MeshError
from meshrt.exit_status import DONE, INTERRUPTED, status_of

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

#: Columns of a table that goes to a file or a pipe.
LOG_WIDTH = 120

#: What to colour in a rendered diagnostic: a pattern over its lines and the style of its first group.
_STYLES = (
    (re.compile(r"^(error\[M\d+\]:)"), "bold red"),
    (re.compile(r"^ +(-->)"), "bold blue"),
    (re.compile(r"^ +(\|)"), "bold blue"),
    (re.compile(r"^ +\| +(\^+)$"), "bold red"),
    (re.compile(r"^  (note:)"), "bold cyan"),
    (re.compile(r"^  (help:)"), "bold green"),
)


def error_console() -> Console:
    """A console on stderr that neither wraps nor interprets what is printed."""
    from rich.console import Console

    return Console(stderr=True, highlight=False, markup=False, soft_wrap=True)


def output_console() -> Console:
    """A console on stdout; what is not a terminal is as wide as a log may be, unless COLUMNS says otherwise."""
    from rich.console import Console

    width = None if sys.stdout.isatty() or os.environ.get("COLUMNS") else LOG_WIDTH
    return Console(highlight=False, markup=False, width=width)


def styled(diagnostic: Diagnostic) -> Text:
    """A diagnostic as coloured text; its plain form equals :meth:`Diagnostic.render`."""
    from rich.text import Text

    text = Text()
    for i, line in enumerate(diagnostic.render().splitlines()):
        part = Text(("\n" if i else "") + line)
        for pattern, style in _STYLES:
            if match := pattern.match(line):
                part.stylize(style, match.start(1) + (i > 0), match.end(1) + (i > 0))
        text.append_text(part)
    return text


def file_diagnostic(error: OSError) -> MeshError:
    """What the operating system refused, as a diagnostic."""
    name = error.filename if error.filename is not None else "a file"
    reason = (error.strerror or str(error)).lower()
    return MeshError("M0100", f"cannot read or write {name}: {reason}")


def exit_status_of(work: Callable[[], int | None]) -> int:
    """Run a command to its end and give its exit status.

    Diagnostics go to stderr. A reader that closed the pipe, and Ctrl-C, end it quietly.
    Anything else is a defect of the program and keeps its traceback.
    """
    try:
        status = work() or DONE
        sys.stdout.flush()
    except MeshError as error:
        return _fail(error)
    except BrokenPipeError:
        # Python flushes stdout once more at exit; that must not fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    except OSError as error:
        return _fail(file_diagnostic(error))
    except KeyboardInterrupt:
        error_console().print("interrupted")
        return INTERRUPTED
    return status


def print_diagnostics(found: Sequence[Diagnostic]) -> None:
    """Print diagnostics on stderr, apart from one another by an empty line."""
    console = error_console()
    for i, diagnostic in enumerate(found):
        if i:
            console.print()
        console.print(styled(diagnostic))
    # At a terminal somebody may want to know more; in a log the code says enough.
    if console.is_terminal:
        codes = sorted({diagnostic.code for diagnostic in found})
        console.print(f"  (meshc explain {' or '.join(codes)} tells more)", style="dim")


def print_warning(text: str) -> None:
    """Print a warning on stderr: nothing has failed, but somebody may want to know."""
    from rich.text import Text

    error_console().print(Text.assemble(("warning:", "bold yellow"), f" {text}"))


def _fail(error: MeshError) -> int:
    print_diagnostics((error.diagnostic,))
    return status_of(error)
