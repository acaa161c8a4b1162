"""A text that diagnostics point into: a program, a target file, IR."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property

from meshrt.diagnostics.diagnostic import Place


@dataclass(frozen=True)
class SourceText:
    """A text and the name of its file (relative, or empty for text that is in no file)."""

    text: str
    file: str = ""

    @cached_property
    def lines(self) -> tuple[str, ...]:
        """The lines without their ends; line n of the text is entry n - 1."""
        return tuple(line.removesuffix("\r") for line in self.text.split("\n"))

    def line(self, number: int) -> str:
        """Line ``number`` (1-based), empty where there is none."""
        return self.lines[number - 1] if 1 <= number <= len(self.lines) else ""

    def place(self, line: int, column: int = 0) -> Place:
        """A place in this text; line and column are 1-based, 0 when unknown.

        Tabs are shown as single spaces, so that a caret stands below its column.
        """
        return Place(self.file, line, column, self.line(line).replace("\t", " "))

    def place_of(self, line: int, word: str) -> Place:
        """The place of a word in a line (not of a part of another word), else of the line as a whole."""
        if not word:
            return self.place(line)
        before = r"(?<![\w.@])" if word[0].isalnum() or word[0] == "_" else ""
        after = r"(?!\w)" if word[-1].isalnum() or word[-1] == "_" else ""
        found = re.search(before + re.escape(word) + after, self.line(line))
        return self.place(line, found.start() + 1 if found else 0)


#: Stands for a program that was built in memory.
NO_TEXT = SourceText("")
