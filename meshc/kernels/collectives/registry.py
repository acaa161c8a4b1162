"""The collectives by name, and a choice among them by cost.

They are entry points of the group ``meshc.collectives``, the built-in ones among them.
"""

from __future__ import annotations

from dataclasses import dataclass

from meshc.kernels.builder import MeshBuffer, MeshBuilder
from meshc.kernels.collectives.collective import Collective, Parameters
from meshc.kernels.collectives.line import Line
from meshc.kernels.collectives.pace import Payload
from meshc.kernels.estimate import Estimate
from meshrt.diagnostics import MeshError
from meshrt.diagnostics.suggest import did_you_mean
from meshrt.entry_points import entry_points, load
from meshrt.program.model import View

GROUP = "meshc.collectives"


def collectives() -> dict[str, Collective]:
    """Every collective by name. Raises M0663 where an entry point names none."""
    found: dict[str, Collective] = {}
    for name, entry in entry_points(GROUP).items():
        collective = load(entry)
        if not isinstance(collective, Collective) or collective.name != name:
            raise MeshError("M0663", f"{entry.value}, declared as {name!r}, is not a collective of that name")
        found[name] = collective
    return found


def collective(name: str) -> Collective:
    """The collective of a name such as ``all_reduce.k_tree``; raises M0617 where there is none."""
    known = collectives()
    if name not in known:
        operation, _, algorithm = name.partition(".")
        kin = {each.algorithm for each in known.values() if each.operation == operation}
        near = did_you_mean(algorithm, kin, "algorithms") if kin else did_you_mean(name, known, "collectives")
        raise MeshError("M0617", f"there is no collective {name!r}", helps=near)
    return known[name]


@dataclass(frozen=True, slots=True)
class Choice:
    """A collective with its parameters for a payload, and what it is predicted to cost."""

    collective: Collective
    parameters: Parameters
    payload: Payload
    estimate: Estimate

    def emit(self, builder: MeshBuilder, line: Line, data: MeshBuffer | View) -> None:
        """Append the collective with the payload's operator."""
        priced = {"payload": self.payload} if self.collective.priced else {}
        self.collective.emit(builder, line, data, self.payload.op, **priced, **self.parameters)


def choose(
    operation: str, length: int, payload: Payload, colors: int | None = None, rerun: bool = True, **fixed: object
) -> list[Choice]:
    """All that carries out ``operation`` on lines of so many PEs, the cheapest first.

    ``fixed`` parameters (the ``root`` of a reduction) go to every algorithm; what does not take them is left
    out. So is what needs more than ``colors`` in a router and, with ``rerun``, what needs a barrier before it
    runs again. Of equal cycles fewer colors come first, then less memory, then the name.
    """
    found = []
    for each in collectives().values():
        if each.operation != operation or (rerun and not each.rerun) or not fixed.keys() <= each.takes:
            continue
        for parameters in each.candidates(length, payload):
            parameters = {**parameters, **fixed}
            estimate = each.estimate(length, payload, **parameters)
            if colors is None or estimate.colors <= colors:
                found.append(Choice(each, parameters, payload, estimate))
    return sorted(found, key=lambda c: (c.estimate.cycles, c.estimate.colors, c.estimate.bytes, c.collective.name))


def cheapest(name: str, length: int, payload: Payload) -> Choice:
    """A collective by name, with the parameters that cost least within the target's colors.

    Raises M0405 where it does not run on lines of so many PEs at all.
    """
    operation = name.partition(".")[0]
    for choice in choose(operation, length, payload, payload.target.program_colors, rerun=False):
        if choice.collective.name == name:
            return choice
    raise MeshError("M0405", f"{name} does not run on lines of {length} PEs with {payload.elements} elements in each")
