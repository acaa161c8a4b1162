"""Machines for generated programs: the ``tiny`` target with its fabric, queues and costs drawn at random."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from hypothesis import strategies as st

from meshrt.target import Target, load_target

TINY = load_target("tiny")
#: What is drawn: from the smallest that a program can live with to what wafers have.
RANGES = {
    "queue_words": (1, 8),
    "hop_cycles": (1, 3),
    "ramp_cycles": (1, 3),
    "route_write_cycles": (0, 3),
    "async_launch_cycles": (0, 6),
    "task_wakeup_cycles": (0, 8),
    "issue_cycles": (0, 2),
    "vector_setup_cycles": (0, 17),
    "loop_cycles": (0, 3),
    "branch_cycles": (0, 2),
}


def machine(numbers: Mapping[str, int]) -> Target:
    """The ``tiny`` target with some of its numbers replaced."""
    return replace(TINY, name="drawn", **numbers)


#: The numbers in which a target differs from ``tiny``.
numbers = st.fixed_dictionaries({}, optional={key: st.integers(*ends) for key, ends in RANGES.items()})
