"""Faults that a test injects into a run, to see that it is noticed: broken links, words, PEs, queues and memories.

Every fault begins in a ``cycle`` and has a place: a PE ``(x, y)`` of a region (the first
one unless it is named), and for what concerns links a ``side`` of its router:
``N``, ``E``, ``S``, ``W`` toward a neighbour or the host, ``IN`` from the router to the PE,
``OUT`` from the PE to the router. What a run notices of each, with the codes of
docs/errors.md, is told in docs/machine.md. Without a fault a run is not affected in any way.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Union

#: Links of a router by the sides that faults name.
LINK_SIDES = ("N", "E", "S", "W", "IN", "OUT")


@dataclass(frozen=True, slots=True)
class StuckLink:
    """From ``cycle`` on no word goes over the link."""

    x: int
    y: int
    side: str
    cycle: int = 0
    region: str | None = None


@dataclass(frozen=True, slots=True)
class LostWord:
    """The first word that goes over the link in ``cycle`` or later never arrives."""

    x: int
    y: int
    side: str
    cycle: int = 0
    region: str | None = None


@dataclass(frozen=True, slots=True)
class DamagedWord:
    """Of the first word that goes over the link in ``cycle`` or later a bit is flipped.

    ``bit`` (0 to 31) is that of its first element, as the engine holds it: of an ``i32``, or of a float as ``f32``.
    """

    x: int
    y: int
    side: str
    cycle: int = 0
    bit: int = 0
    region: str | None = None


@dataclass(frozen=True, slots=True)
class StoppedPe:
    """The PE issues no instruction in ``cycle`` or later; moves that it launched before go on."""

    x: int
    y: int
    cycle: int = 0
    region: str | None = None


@dataclass(frozen=True, slots=True)
class DeafLink:
    """From ``cycle`` on the link does not notice that the queue behind it is full, and sends nevertheless."""

    x: int
    y: int
    side: str
    cycle: int = 0
    region: str | None = None


@dataclass(frozen=True, slots=True)
class ShortSram:
    """From ``cycle`` on the PE's SRAM ends at byte ``bytes``."""

    x: int
    y: int
    bytes: int
    cycle: int = 0
    region: str | None = None


Fault = Union[StuckLink, LostWord, DamagedWord, StoppedPe, DeafLink, ShortSram]
