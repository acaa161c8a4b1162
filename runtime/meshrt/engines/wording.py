"""PEs, instructions and colors in the program's own terms, for the messages of all engines."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from meshrt.diagnostics import Place
from meshrt.program.model import Instruction, Program
from meshrt.program.rectangles import describe

_PORT_NAMES = ("N", "E", "S", "W", "RAMP")
_DTYPE_NAMES = ("f32", "f16", "bf16", "i32")


class Wording:
    """Turns PE, color and instruction numbers back into words. ``bases[r]`` is the number of region r's first PE."""

    def __init__(
        self,
        program: Program,
        bases: Sequence[int],
        instructions: Sequence[Instruction],
        colors: Sequence[int],
        text: Sequence[str] = (),
    ):
        self._program = program
        self._bases = np.asarray(bases, np.int64)
        self._instructions = instructions
        self._colors = colors
        self._text = text

    def region_of(self, pe: int) -> int:
        """Number of the region that holds a PE."""
        return int(np.searchsorted(self._bases, pe, "right")) - 1

    def where(self, pe: int) -> tuple[int, int]:
        """(x, y) of a PE in its region."""
        r = self.region_of(pe)
        y, x = divmod(int(pe) - int(self._bases[r]), self._program.regions[r].width)
        return x, y

    def pes(self, pes: Sequence[int]) -> str:
        """Rectangles of PEs, with their region where there are several."""
        parts = []
        for r in sorted({self.region_of(p) for p in pes}):
            text = describe([self.where(p) for p in pes if self.region_of(p) == r])
            parts.append(text if len(self._program.regions) == 1 else f"{text} of {self._program.regions[r].name}")
        return " and ".join(parts)

    def color(self, dense: int) -> int:
        """The program's number of a dense color; a number that is none stays as it is."""
        return self._colors[dense] if 0 <= dense < len(self._colors) else dense

    def call(self, number: int) -> str:
        """``recv at line 12`` of an instruction number."""
        if number < 0:
            return "the host"
        i = self._instructions[number]
        return f"{i.opcode} at line {i.line}" if i.line else i.opcode

    def line(self, number: int) -> str:
        """``line 12: recv a, color=0`` of an instruction number, where the text is known."""
        i = self._instructions[number]
        if 0 < i.line <= len(self._text):
            return f"line {i.line}: {self._text[i.line - 1].strip()}"
        return self.call(number)

    def place(self, number: int) -> Place | None:
        """Where an instruction stands in the program text, if it was parsed."""
        if number < 0 or not self._instructions[number].line:
            return None
        line = self._instructions[number].line
        text = self._text[line - 1] if line <= len(self._text) else ""
        return Place("program.mesh", line, 0, text)


def port_name(port: int) -> str:
    """Name of a router port."""
    return _PORT_NAMES[port] if 0 <= port < len(_PORT_NAMES) else "?"


def queue_name(port: int) -> str:
    """Name of the queue where words of a port wait; behind the ports comes the one between router and PE."""
    return f"port {_PORT_NAMES[port]}" if 0 <= port < len(_PORT_NAMES) else "the PE"


def dtype_name(dtype: int) -> str:
    """Name of a dtype."""
    return _DTYPE_NAMES[dtype] if 0 <= dtype < len(_DTYPE_NAMES) else "?"
