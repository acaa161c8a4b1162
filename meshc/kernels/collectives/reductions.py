"""The reductions by name: what a pass or a plug-in chooses from."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from meshc.kernels.collectives import chain, star, tree, two_phase
from meshc.kernels.collectives.reduction import Reduction

REDUCTIONS: Mapping[str, Reduction] = MappingProxyType(
    {r.name: r for r in (chain.REDUCTION, star.REDUCTION, tree.REDUCTION, two_phase.REDUCTION)}
)
