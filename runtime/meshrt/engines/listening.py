"""Listening to output ports while a run goes on: whole messages, in the order in which the engine lets them go."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from meshrt.engines.loading.names import RegionNames
from meshrt.program.model import Port


@dataclass(frozen=True, eq=False, slots=True)
class Heard:
    """What has left through an output port at one edge PE since the last time.

    ``values`` are the elements from number ``first`` on of those that the PE (x, y) of its region
    sends through the port, f32 or i32; a run without values has zeros. The last word of them was
    with the host in ``cycle``.
    """

    port: str
    pe: tuple[int, int]
    first: int
    values: np.ndarray
    cycle: int


#: Hears of whole messages, each once, and in the order of their elements.
Listener = Callable[[Heard], None]


@dataclass(eq=False, slots=True)
class Edge:
    """An edge PE of an output port that is listened to, and how many of its elements have been told."""

    port: Port
    names: RegionNames
    pe: int
    told: int = 0


class Ears:
    """Tells a listener what is new at the edges of a run; ``edges`` in the order of the engine's places."""

    def __init__(self, listener: Listener, edges: Sequence[Edge]):
        self._listener = listener
        self._edges = edges

    def tell(self, whole: np.ndarray, cycles: np.ndarray, values: Callable[[int, int, int], np.ndarray]) -> None:
        """Tell of what is new.

        For each edge: ``whole`` elements have left in whole messages, the last word in ``cycles``;
        ``values(edge, first, stop)`` gives some of them.
        """
        for number in np.flatnonzero(whole > [edge.told for edge in self._edges]).tolist():
            edge, stop = self._edges[number], int(whole[number])
            first, edge.told = edge.told, stop
            x, y = (int(edge.names.per_pe[axis][edge.pe]) for axis in "xy")
            self._listener(
                Heard(edge.port.name, (x, y), first, values(number, first, stop).copy(), int(cycles[number]))
            )
