"""Which trees carry out the all-reduces of decode: a property of the whole function, since trees share colors.

``auto``
    A tree sought for the target (:mod:`meshc.kernels.collectives.auto`); two levels of groups where none is known.
``k_tree``
    Two or more levels of groups, drawn as a tree over any number of PEs (:mod:`meshc.kernels.collectives.k_tree`).
``meshgemv``
    The same as WaferLLM's kernels do it (:mod:`meshc.kernels.all_reduce_k_tree`): level by level, then one
    send from the root to either side. The groups multiply to the PEs of the axis.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Algorithm = Literal["auto", "k_tree", "meshgemv"]


@dataclass(frozen=True, slots=True)
class LineTrees:
    """An algorithm, and the sizes of its ``groups`` from the lowest level on (balanced ones where there are none).

    Groups are those of the whole rows and columns; shorter lines get balanced ones. ``shares`` says whether
    work that is alike along a line is shared among neighbours (:mod:`meshc.kernels.shared_work`).
    """

    algorithm: Algorithm = "auto"
    groups: tuple[int, ...] = ()
    shares: bool = True

    @classmethod
    def of(cls, attributes: Mapping[str, object]) -> LineTrees:
        """What a function's attributes say."""
        described = attributes.get("trees", {})
        assert isinstance(described, Mapping)
        return cls(**described)

    def attribute(self) -> dict[str, object]:
        """As the attribute ``trees`` of a function."""
        groups = {"groups": self.groups} if self.groups else {}
        return {"algorithm": self.algorithm, **groups, "shares": self.shares}
