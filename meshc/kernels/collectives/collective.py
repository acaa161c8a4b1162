"""What a collective is: a named algorithm along a line, with its program and its price."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from meshc.kernels.collectives.pace import Payload
from meshc.kernels.estimate import Estimate, Scaling

#: Parameters of an algorithm by name: ``root``, ``groups``, ..
Parameters = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Collective:
    """An algorithm of ``operation`` (``reduce``, ``all_reduce`` or ``broadcast``) along every line of a region.

    ``emit(builder, line, data, op, **parameters)`` appends its streams and its code.
    ``estimate(length, payload, **parameters)`` predicts it. Both raise M0616 where the
    parameters do not fit the line. ``candidates(length, payload)`` are parameters worth pricing in a
    choice by cost, nothing where the algorithm does not run. ``takes`` are those that the caller of a
    choice may fix, such as ``root``. A ``priced`` program depends on what it carries and where: ``emit`` is given the
    ``payload`` besides. ``rerun`` says whether it may run again at once, without a barrier.
    """

    name: str
    meaning: str
    emit: Callable[..., None]
    estimate: Callable[..., Estimate]
    scaling: Scaling
    candidates: Callable[[int, Payload], Iterable[Parameters]]
    takes: frozenset[str] = frozenset()
    priced: bool = False
    rerun: bool = True

    @property
    def operation(self) -> str:
        """The first part of the name."""
        return self.name.partition(".")[0]

    @property
    def algorithm(self) -> str:
        """The second part of the name."""
        return self.name.partition(".")[2]
