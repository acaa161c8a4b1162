"""Reductions and all-reduces that a tree over the line carries out.

An all-reduce is the reduction to the tree's root and a multicast from there: each router on the way
hands a copy to its PE, so that going back takes no stage.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from meshc.kernels.builder import MeshBuffer, MeshBuilder
from meshc.kernels.collectives import broadcast
from meshc.kernels.collectives.emission import emit_plan
from meshc.kernels.collectives.line import Line
from meshc.kernels.collectives.operators import Operator
from meshc.kernels.collectives.pace import Payload, all_reduce_estimate, reduce_estimate
from meshc.kernels.collectives.plan import Plan
from meshc.kernels.estimate import Estimate
from meshrt.program.model import View


@dataclass(frozen=True, slots=True)
class ByTree:
    """A family of trees: ``draw(length, **parameters)`` gives the one over so many PEs.

    With ``priced`` the tree depends on what it carries, and ``payload`` is among its parameters.
    """

    algorithm: str
    draw: Callable[..., Plan]
    priced: bool = False

    def reduce(
        self, builder: MeshBuilder, line: Line, data: MeshBuffer | View, op: Operator = "add", **parameters: object
    ) -> None:
        """Append the reduction: the root's ``data`` becomes the combination, the others' is left undefined."""
        self._reduce(builder, line, data, op, self.draw(line.length, **parameters), parameters)

    def all_reduce(
        self,
        builder: MeshBuilder,
        line: Line,
        data: MeshBuffer | View,
        op: Operator = "add",
        meanwhile: Callable[[], None] | None = None,
        **parameters: object,
    ) -> None:
        """Append the all-reduce: everyone's ``data`` becomes the combination.

        ``meanwhile`` appends what PEs do between giving theirs and taking the combination.
        """
        plan = self.draw(line.length, **parameters)
        self._reduce(builder, line, data, op, plan, parameters)
        broadcast.emit_line(builder, line, plan.root, data, meanwhile)

    def reduce_estimate(self, length: int, payload: Payload, /, **parameters: object) -> Estimate:
        """What the reduction costs, to the end of the root."""
        return reduce_estimate(self._drawn(length, payload, parameters), payload)

    def all_reduce_estimate(self, length: int, payload: Payload, /, **parameters: object) -> Estimate:
        """What the all-reduce costs, to the end of the last PE."""
        return all_reduce_estimate(self._drawn(length, payload, parameters), payload)

    def _drawn(self, length: int, payload: Payload, parameters: dict[str, object]) -> Plan:
        return self.draw(length, **({"payload": payload} if self.priced else {}), **parameters)

    def _reduce(
        self,
        builder: MeshBuilder,
        line: Line,
        data: MeshBuffer | View,
        op: Operator,
        plan: Plan,
        parameters: dict[str, object],
    ) -> None:
        emit_plan(builder, line, plan, f"{self.algorithm}_{self._variant(plan, parameters)}".rstrip("_"), data, op)

    def _variant(self, plan: Plan, parameters: dict[str, object]) -> str:
        """What tells two trees of one algorithm on one line apart, in the names of streams and tables."""
        if self.priced:
            return plan.digest
        numbers = (value if isinstance(value, list | tuple) else (value,) for _, value in sorted(parameters.items()))
        return "_".join(str(number) for value in numbers for number in value)
