"""Runs a collective of the registry on a region of its own, for values or for cycles."""

from __future__ import annotations

import numpy as np

from meshc.kernels.collectives.line import Line
from meshc.kernels.collectives.pace import Payload
from meshc.kernels.collectives.registry import collective
from meshc.standalone.collective import collective_program
from meshc.standalone.region import assemble, repeated
from meshrt.program.check import diagnose
from meshrt.program.model import Program
from meshrt.run import RunOptions, run_program
from meshrt.target import Target, load_target

TINY = load_target("tiny")
COMBINE = {"add": np.sum, "max": np.max}
#: Groups for K-trees over so many PEs, some with a shorter last group.
GROUPS = {1: (1,), 2: (2,), 3: (2, 2), 4: (2, 2), 5: (3, 2), 7: (3, 3), 8: (3, 3), 12: (2, 3, 2), 13: (2, 2, 2, 2)}


def parameters(name: str, length: int, **fixed: object):
    """What an algorithm needs to be told to run on a line, and to be priced."""
    if name.endswith("k_tree"):
        near = max(1, round(length**0.5))
        return {"groups": GROUPS.get(length, (near, -(-length // near))), **fixed}
    return fixed


def append(name: str, line: Line, target: Target, op: object = "add", rounds: int = 1, **fixed: object):
    """Appends the collective so often, back to back."""

    def body(builder, data):
        with repeated(builder, rounds):
            priced = {"payload": Payload(data.elements, data.dtype, op, target)} if collective(name).priced else {}
            collective(name).emit(builder, line, data, op, **priced, **parameters(name, line.length, **fixed))

    return body


def run(width, height, line, name, op="add", elements=5, dtype="f32", rounds=1, engine="batched", data=None, **fixed):
    """What every PE held before and holds afterwards: [height, width, elements] each."""
    program = collective_program(width, height, TINY, append(name, line, TINY, op, rounds, **fixed), elements, dtype)
    assert not diagnose(program, TINY)
    if data is None:
        data = np.random.default_rng(elements).integers(-9, 10, (height, width, elements)).astype(np.float32)
    result = run_program(program, TINY, {"data": data}, options=RunOptions(engine=engine))
    return data, result.outputs["result"]


def alone(name: str, line: Line, target: Target, elements: int, dtype: str, op: object = "add", **fixed) -> Program:
    """The collective and nothing else, on the smallest region that holds the line."""
    width, height = line.start + line.length * line.repeat, line.across[1]
    if line.axis == "y":
        width, height = height, width
    body = append(name, line, target, op, **fixed)
    return assemble(width, height, target, lambda builder: body(builder, builder.buffer("data", dtype, elements)))


def cycles(program: Program, target: Target, engine: str = "batched") -> int:
    """When the last PE ends."""
    options = RunOptions(engine=engine, timing_only=engine == "batched")
    return int(run_program(program, target, options=options).clocks.max())
