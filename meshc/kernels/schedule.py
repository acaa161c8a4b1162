"""A kernel's schedule: choices that leave the algorithm as it is, as the ``schedule`` of an operation in the IR.

A schedule maps names that the kernel defines to words, numbers or truth values, such as
``{vector = "n", overlap = true}``. ``Kernel.schedules`` lists those that a kernel offers for
one operation on one grid; ``select-kernels`` picks one, and what the IR gives already is kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from meshc.ir.core import Attribute, Operation
from meshc.ir.typed_values import word_text

#: What an operation's ``schedule`` holds.
Schedule = Mapping[str, Attribute]

#: Dimensions that the vector operations of a tile product may run along.
VECTORS = ("n", "m")


def schedule_of(op: Operation) -> Schedule:
    """The schedule of an operation, possibly in part; empty where it has none."""
    return op.attributes.get("schedule", {})


def scheduled(op: Operation, algorithm: str, schedule: Schedule) -> Operation:
    """The operation as a candidate would have it: detached, with that algorithm and schedule."""
    attributes = {**op.attributes, "algorithm": algorithm}
    if schedule:
        attributes["schedule"] = dict(schedule)
    types = [result.type for result in op.results]
    return Operation(op.name, op.operands, types, attributes, op.regions, op.location)


def agrees(schedule: Schedule, pinned: Schedule) -> bool:
    """Whether a schedule has every pinned value."""
    return all(key in schedule and schedule[key] == value for key, value in pinned.items())


def schedule_text(schedule: Schedule) -> str:
    """A schedule as one writes it: ``vector=n, overlap=true``."""
    return ", ".join(f"{key}={word_text(value)}" for key, value in schedule.items())


def vectors(first: str) -> Iterable[Schedule]:
    """A schedule for each loop order of a tile product, that with the vectors along ``first`` first."""
    return [{"vector": first}, *({"vector": other} for other in VECTORS if other != first)]
