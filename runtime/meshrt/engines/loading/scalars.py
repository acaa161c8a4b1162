"""Runtime scalars: integers that a program leaves to each run."""

from __future__ import annotations

from collections.abc import Mapping

from meshrt.diagnostics import MeshError
from meshrt.program.model import Program


def check_scalars(program: Program, scalars: Mapping[str, Mapping[str, int]]) -> None:
    """Every runtime scalar has a value in its bounds. Raises M0516."""
    for region in program.regions:
        given = scalars.get(region.name, {})
        for scalar in region.scalars:
            if scalar.name not in given:
                raise MeshError("M0516", f"the run needs a value for scalar {scalar.name} of region {region.name}")
            if not scalar.low <= given[scalar.name] <= scalar.high:
                raise MeshError(
                    "M0516",
                    f"scalar {scalar.name} of region {region.name} is {given[scalar.name]}; "
                    f"it lies from {scalar.low} to {scalar.high}",
                )
