"""The configurations of a color that one code meets: initial routes and those that it writes itself."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from meshrt.program.expr import Expr
from meshrt.program.model import Code, Instruction, Region
from meshrt.program.problems import Problems, describe_pes
from meshrt.program.scope import Scope
from meshrt.target import Target

Configuration = tuple[str, tuple[str, ...]]


@dataclass
class ColorRoutes:
    """Collects, during the walk over a code, what it does to routes and to what colors it speaks."""

    code: Code
    region: Region
    target: Target
    scope: Scope
    problems: Problems
    #: PEs by color and configuration.
    configurations: dict[int, dict[Configuration, np.ndarray]] = field(default_factory=dict)
    #: Colors that the code may reroute, and whether there are some that are not known.
    rerouted: set[int] = field(default_factory=set)
    reroutes_unknown: bool = False

    def __post_init__(self) -> None:
        here = self.scope.mask(self.code.rect)
        for route in self.region.routes:
            self._note(route.color, (route.source, route.destinations), self.scope.mask(route.rect) & here)
        self._moves: list[tuple[np.ndarray, np.ndarray, Instruction, np.ndarray, bool]] = []
        self._lines: dict[int, int] = {}

    def _note(self, color: int, configuration: Configuration, mask: np.ndarray) -> None:
        of_color = self.configurations.setdefault(color, {})
        if configuration in of_color:
            of_color[configuration] = of_color[configuration] | mask
        else:
            of_color[configuration] = mask

    def add(
        self,
        color: Expr,
        values: np.ndarray | None,
        configuration: Configuration,
        mask: np.ndarray,
        counters: frozenset[str],
        line: int = 0,
    ) -> None:
        """A ``route`` instruction that the PEs of the mask may reach."""
        if values is None:
            self.reroutes_unknown = True
            return
        for value in values.tolist():
            self.rerouted.add(value)
            self._lines.setdefault(value, line)
            static = self.scope.is_static(color, counters)
            self._note(value, configuration, mask & (self.scope.grid(color) == value) if static else mask)

    def check_ramp(
        self, colors: np.ndarray, values: np.ndarray, instruction: Instruction, mask: np.ndarray, sends: bool
    ) -> None:
        """A move of the mask's PEs to or from a color; judged in :meth:`finish`, when all routes are known."""
        self._moves.append((colors, values, instruction, mask, sends))

    def finish(self) -> None:
        """Report moves that no route serves, and more configurations than a router holds."""
        if not self.reroutes_unknown:
            for move in self._moves:
                self._check_move(*move)
        for color, of_color in sorted(self.configurations.items()):
            count = np.zeros((self.region.height, self.region.width), np.int64)
            for mask in of_color.values():
                count += mask
            over = count > self.target.route_configurations
            if over.any():
                self.problems.add(
                    "M0321",
                    f"color {color} has up to {count.max()} configurations on {describe_pes(over)}; "
                    f"a router of {self.target.name} holds {self.target.route_configurations}",
                    self._lines.get(color, self.code.line),
                    "color",
                )

    def _check_move(
        self, colors: np.ndarray, values: np.ndarray, instruction: Instruction, mask: np.ndarray, sends: bool
    ) -> None:
        for color in values.tolist():
            served = np.zeros_like(mask)
            for (source, destinations), where in self.configurations.get(color, {}).items():
                if source == "RAMP" if sends else "RAMP" in destinations:
                    served |= where
            lacking = mask & (colors == color) & ~served
            if lacking.any() and color not in self.rerouted:
                way = "takes color {} from" if sends else "brings color {} to"
                self.problems.add(
                    "M0330",
                    f"no route {way.format(color)} the ramp of {describe_pes(lacking)}",
                    instruction.line,
                    instruction.opcode,
                )
