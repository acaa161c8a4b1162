"""Flags that may end loops: the sequences of their values, as a graph of the states that they lead to.

Whether a loop goes on after a round is not known before the run: a flag says so, which every PE of the region got from
one broadcast. All PEs therefore look at the same flags in the same order, and the execution is a function of their
values. PEs stop at each flag that is not decided; when nothing else can go on, both values are followed, one after the
other (:mod:`.execution`).

The state at a flag is a *node*; two nodes with the same state are followed by the same. A loop whose counter decides
nothing inside it makes no difference between its rounds but by how many are left, so that a node covers all later
rounds in its state, and an ``until``, whose rounds have no bound, comes to an end as soon as a state repeats.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

#: Values of flags in the order in which they are looked at: 0 where the loop goes on, 1 where it ends.
Flags = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class _Node:
    """A state at a flag: the counter of its loop, and how many flags came before."""

    counter: int
    depth: int


@dataclass
class Tree:
    """Which nodes were visited, and how the executions between them went.

    ``ends`` are the flags of executions that came to their end, ``merges`` of those that came to a node that was known,
    with the number of flags since that was visited first.
    """

    nodes: dict[bytes, _Node] = field(default_factory=dict)
    left: set[bytes] = field(default_factory=set)
    ends: list[Flags] = field(default_factory=list)
    merges: list[tuple[Flags, int]] = field(default_factory=list)

    def visit(self, key: bytes, counter: int, flags: Flags) -> bool:
        """An execution comes to a node after these flags; gives whether it is a new one."""
        known = self.nodes.get(key)
        if known is not None and known.counter <= counter:
            self.merges.append((flags, max(1, len(flags) - known.depth)))
            return False
        self.nodes[key] = _Node(counter, len(flags))
        return True

    def leave(self, key: bytes) -> bool:
        """A loop may end in this state; gives whether none has before."""
        new = key not in self.left
        self.left.add(key)
        return new

    def end(self, flags: Flags) -> None:
        """An execution has come to its end."""
        self.ends.append(flags)

    def sequences(self) -> Iterator[Flags]:
        """Sequences in which every node is followed by all that can follow it; what lies beyond them is 1."""
        yield from self.ends
        for flags, period in self.merges:
            for rounds in range(period + 1):
                yield (*flags, *(0,) * rounds)
