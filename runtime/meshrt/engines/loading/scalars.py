"""Runtime scalars: integers that a program leaves to each run."""

from __future__ import annotations

from collections.abc import Mapping

from meshrt.diagnostics import MeshError
from meshrt.program.fabric import linked
from meshrt.program.model import Program


def check_scalars(program: Program, scalars: Mapping[str, Mapping[str, int]]) -> None:
    """Every runtime scalar has a value in its bounds, and the same in all regions that are linked. Raises M0516."""
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
    for group in linked(program.regions):
        first: dict[str, str] = {}
        for region in (program.regions[r] for r in group):
            for scalar in region.scalars:
                other, value = first.setdefault(scalar.name, region.name), scalars[region.name][scalar.name]
                if scalars[other][scalar.name] != value:
                    raise MeshError(
                        "M0516",
                        f"scalar {scalar.name} is {scalars[other][scalar.name]} in region {other} and {value} in "
                        f"region {region.name}; words go between the two, so they share it",
                    )
