"""Collects what the checker finds, each as a coded diagnostic at its line of the program."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from meshrt.diagnostics import Diagnostic
from meshrt.diagnostics.source_text import SourceText

#: After so many findings the rest is rarely news.
MAX_PROBLEMS = 100
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z0-9_]+)*")
#: Words that the grammar reads as numbers.
NUMBER_WORDS = ("inf", "nan")
#: Names with a fixed meaning in index expressions.
COORDINATES = ("x", "y")
_ELEMENT_INDEX = re.compile(r"e|i[0-9]+")


@dataclass
class Problems:
    """The findings so far; ``source`` gives their places."""

    source: SourceText
    found: list[Diagnostic] = field(default_factory=list)

    def add(
        self,
        code: str,
        message: str,
        line: int,
        word: str = "",
        *,
        notes: Sequence[str] = (),
        helps: Sequence[str] = (),
    ) -> None:
        """Add a finding at ``word`` in line ``line`` (0: the program was built in memory)."""
        place = self.source.place_of(line, word) if line else None
        found = Diagnostic(code, message, place, tuple(notes), tuple(helps))
        if len(self.found) < MAX_PROBLEMS and found not in self.found:
            self.found.append(found)

    def check_name(self, name: str, kind: str, line: int, *, in_expressions: bool = False) -> None:
        """A name must be readable back from the text and must not hide one with a fixed meaning."""
        if not is_name(name):
            self.add("M0324", f"{kind} cannot have the name {name!r}", line, name)
        elif in_expressions and (name in COORDINATES or _ELEMENT_INDEX.fullmatch(name)):
            meaning = "a coordinate of the PE" if name in COORDINATES else "an element index"
            self.add("M0324", f"{kind} cannot have the name {name!r}, which is {meaning}", line, name)


def is_name(text: str) -> bool:
    """Whether the grammar reads the text as a name."""
    return _NAME.fullmatch(text) is not None and text not in NUMBER_WORDS


def describe_pes(mask: np.ndarray) -> str:
    """PEs of a mask [height, width] in words: the only one, or how many and the first."""
    positions = np.argwhere(mask)
    y, x = positions[0]
    return f"PE ({x}, {y})" if len(positions) == 1 else f"{len(positions)} PEs, the first is ({x}, {y})"


def duplicates(names: Iterable[str]) -> list[str]:
    """The names that occur more than once, in the order of their second occurrence."""
    seen: set[str] = set()
    twice: dict[str, None] = {}
    for name in names:
        if name in seen:
            twice[name] = None
        seen.add(name)
    return list(twice)
