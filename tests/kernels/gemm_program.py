"""A program of one product and nothing else, to run and to time a GEMM kernel on an engine."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from meshc.bench.gemm import Gemm
from meshc.standalone import product
from meshrt.program.check import diagnose
from meshrt.program.model import Program
from meshrt.run import RunOptions, RunResult, run_program
from meshrt.target import Target


@dataclass(frozen=True)
class Product(product.Product):
    """C[m, n] = X[m, k] W[k, n] by one kernel on a grid, in the arithmetic of ``--dtype``."""

    def program(self, target: Target, result: bool = False) -> Program:
        """The program, checked for the target."""
        program = super().program(target, result)
        assert not diagnose(program, target)
        return program

    def run(self, target: Target, x: np.ndarray, w: np.ndarray, engine: str = "batched") -> np.ndarray:
        """The product by an engine, every R4 conflict an error."""
        m, _, n = self.size
        program = self.program(target, result=True)
        weights = {"x": x.astype(np.float32), "w": w.astype(np.float32)}
        scalars = {program.regions[0].name: {"length": m}}
        found = run_program(program, target, weights, {}, scalars, options=RunOptions(engine=engine, checked=True))
        return found.outputs["c"].reshape(m, n)

    def time(self, target: Target, engine: str = "batched") -> RunResult:
        """A run without the way out, and where the engine can, without arithmetic."""
        (m, k, n), scalars = self.size, {"main": {"length": self.size[0]}}
        weights = {"x": np.zeros((m, k), np.float32), "w": np.zeros((k, n), np.float32)}
        options = RunOptions(engine=engine, timing_only=engine == "batched")
        return run_program(self.program(target), target, weights, {}, scalars, options=options)

    def cycles(self, target: Target, engine: str = "batched") -> int:
        """Cycles from the first PE's start to the last one's end, those in which X was copied to its place left out."""
        case = Gemm(self.kernel, self.grid, self.size, self.dtype)
        return int(self.time(target, engine).clocks.max()) - case.preparation(target)
