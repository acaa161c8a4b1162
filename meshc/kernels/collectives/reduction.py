"""What an algorithm of reduction is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from meshc.kernels.builder import MeshBuffer, MeshBuilder
from meshc.kernels.collectives.cost import PatternCost
from meshc.kernels.collectives.line import Line
from meshrt.program.model import View

#: (builder, line, root, data, operator): appends the streams and the code.
Emit = Callable[[MeshBuilder, Line, int, MeshBuffer | View, str], None]


@dataclass(frozen=True, slots=True)
class Reduction:
    """A way to combine what the PEs of a line hold into the ``data`` of its root.

    ``applies(length, root)`` gives the reason why it cannot run on a line, or None.
    ``emit`` appends its program: the operator is ``add`` or ``max``, partial results travel
    in the dtype of ``data``, and what the other PEs hold in ``data`` afterwards is undefined.
    ``cost(length, words)`` is the published cost with the root at one end.
    """

    name: str
    meaning: str
    emit: Emit
    applies: Callable[[int, int], str | None]
    cost: Callable[[int, int], PatternCost]


def any_root(length: int, root: int) -> str | None:
    """The condition of an algorithm that runs on every line with every root."""
    return None


def root_at_an_end(length: int, root: int) -> str | None:
    """The condition of an algorithm whose root is the first or the last PE of the line."""
    return None if root in (0, length - 1) else f"its root is at an end of the line, not at {root} of {length} PEs"
