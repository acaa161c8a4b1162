"""A program with all that a run of it needs; it can be saved and run again.

A case is two files: ``NAME.mesh``, the program, and ``NAME.toml``, the numbers in which its target differs from
``tiny`` and the values of its runtime scalars. Weights and inputs are random numbers that follow from the names and
shapes of the tensors alone.
"""

from __future__ import annotations

import tomllib
import zlib
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np

from meshrt.program.model import Program
from meshrt.program.parser import parse_program
from meshrt.program.printer import print_program
from meshrt.target import Target
from tests.differential.targets import machine

#: Extents of every weight: more than any region and vector has; what lies outside a tensor would be zero.
WEIGHT_SHAPE = (8, 8, 80)


@dataclass(frozen=True)
class Case:
    """``numbers`` are those of the target that are not as on ``tiny``; ``scalars`` are by region, then by name."""

    program: Program
    numbers: dict[str, int] = field(default_factory=dict)
    scalars: dict[str, dict[str, int]] = field(default_factory=dict)

    @cached_property
    def target(self) -> Target:
        return machine(self.numbers)

    @cached_property
    def text(self) -> str:
        return print_program(self.program)

    @cached_property
    def weights(self) -> dict[str, np.ndarray]:
        """Every tensor that a placement names."""
        names = {placement.tensor for region in self.program.regions for placement in region.placements}
        return {name: _values(name, WEIGHT_SHAPE, integer=name.startswith("i32")) for name in sorted(names)}

    @cached_property
    def inputs(self) -> dict[str, np.ndarray]:
        """A tensor for every input port."""
        ports = [port for region in self.program.regions for port in region.ports if port.direction == "in"]
        return {port.name: _values(port.name, port.shape, integer=port.dtype == "i32") for port in ports}

    def save(self, path: Path) -> Path:
        """Write ``path`` (.mesh) and the numbers beside it."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(self.text, encoding="utf-8")
        lines = ["[target]", *(f"{key} = {value}" for key, value in sorted(self.numbers.items()))]
        for region, values in sorted(self.scalars.items()):
            lines += ["", f"[scalars.{region}]", *(f"{name} = {value}" for name, value in sorted(values.items()))]
        path.with_suffix(".toml").write_text("\n".join(lines) + "\n", encoding="utf-8")
        return path

    @staticmethod
    def load(path: Path) -> Case:
        """What :meth:`save` wrote; without the second file, on ``tiny``."""
        numbers = path.with_suffix(".toml")
        said = tomllib.loads(numbers.read_text(encoding="utf-8")) if numbers.exists() else {}
        program = parse_program(path.read_text(encoding="utf-8"), str(path))
        return Case(program, said.get("target", {}), said.get("scalars", {}))


def _values(name: str, shape: tuple[int, ...], integer: bool) -> np.ndarray:
    random = np.random.default_rng(zlib.crc32(name.encode()))
    if integer:
        return random.integers(-9, 10, shape).astype(np.int32)
    return random.normal(size=shape).astype(np.float32)
