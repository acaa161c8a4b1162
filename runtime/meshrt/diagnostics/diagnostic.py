"""A diagnostic is data: a code, what is wrong in the user's terms, where, and what would help."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Place:
    """Where it is: a file, a line and column (1-based, 0 when unknown) and the text of that line."""

    file: str = ""
    line: int = 0
    column: int = 0
    text: str = ""

    def __str__(self) -> str:
        parts = [self.file or "<text>"]
        if self.line:
            parts.append(str(self.line))
            if self.column:
                parts.append(str(self.column))
        return ":".join(parts)


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One failure. ``code`` is a key of :data:`meshrt.diagnostics.CATALOG`."""

    code: str
    message: str
    place: Place | None = None
    notes: tuple[str, ...] = ()
    helps: tuple[str, ...] = ()

    def render(self) -> str:
        """Plain text: the headline, the place with a caret, then notes and helps."""
        lines = [f"error[{self.code}]: {self.message}"]
        if self.place is not None:
            lines.append(f"  --> {self.place}")
            if self.place.text:
                lines.append(f"   | {self.place.text}")
                if self.place.column:
                    lines.append("   | " + " " * (self.place.column - 1) + "^")
        lines += [f"  note: {note}" for note in self.notes]
        lines += [f"  help: {help}" for help in self.helps]
        return "\n".join(lines)


class MeshError(Exception):
    """A diagnostic on its way to the user. The command line prints it and exits with status 1."""

    def __init__(
        self,
        code: str,
        message: str,
        *,
        place: Place | None = None,
        notes: Sequence[str] = (),
        helps: Sequence[str] = (),
    ):
        self.diagnostic = Diagnostic(code, message, place, tuple(notes), tuple(helps))
        super().__init__(self.diagnostic.render())

    def __reduce__(self):
        d = self.diagnostic
        return (_rebuild, (d,))


def _rebuild(diagnostic: Diagnostic) -> MeshError:
    d = diagnostic
    return MeshError(d.code, d.message, place=d.place, notes=d.notes, helps=d.helps)
