"""A code while it runs: what is known of each of its steps before and since."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from meshrt.engines.batched.prepared import Prepared
from meshrt.engines.loading.flatten import Execute, LinearCode
from meshrt.program.expr import Expr, names_in
from meshrt.program.model import Instruction, View


@dataclass(eq=False, slots=True)
class CodeRun:
    """One code while it runs: what is known of each step."""

    number: int
    region: int
    linear: LinearCode
    handles: Mapping[str, int]
    #: For each step, which of its counters an instruction's expressions read, and the calls prepared so far.
    reads: list[tuple[int, ...]]
    names: list[tuple[str, ...]]
    prepared: list[dict[tuple, list[Prepared]]] = field(default_factory=list)
    #: Handles of the waits that follow one another from a step on, where there are several.
    waits: dict[int, np.ndarray] = field(default_factory=dict)
    #: The handle of each wait by itself.
    waits_alone: dict[int, np.ndarray] = field(default_factory=dict)


#: Where a PE is: code, step, counters of the loops around it.
Place = tuple[int, int, tuple[int, ...]]


def code_run(
    number: int, region: int, linear: LinearCode, handles: Mapping[str, int], joins_waits: bool = True
) -> CodeRun:
    """A code ready to run; ``joins_waits`` lets waits that follow one another run as one where none blocks."""
    names = [linear.counters(step) for step in range(len(linear.steps))]
    reads = []
    for step, around in zip(linear.steps, names, strict=True):
        used = _names_read(step.instruction) if isinstance(step, Execute) else frozenset()
        reads.append(tuple(i for i, name in enumerate(around) if name in used))
    waits = _joined_waits(linear, handles) if joins_waits else {}
    alone = {
        at: np.array([handles[str(step.instruction.option("handle"))]], np.int64)
        for at, step in enumerate(linear.steps)
        if isinstance(step, Execute) and step.instruction.opcode == "wait"
    }
    return CodeRun(number, region, linear, handles, reads, names, [{} for _ in linear.steps], waits, alone)


def _joined_waits(linear: LinearCode, handles: Mapping[str, int]) -> dict[int, np.ndarray]:
    joined = {}
    at = 0
    while at < len(linear.steps):
        following = []
        while isinstance(step := linear.steps[at], Execute) and step.instruction.opcode == "wait":
            # An op or a loop that begins or ends between two waits must see them apart.
            if following and linear.ops[at] != linear.ops[at - 1]:
                break
            following.append(handles[str(step.instruction.option("handle"))])
            at += 1
        if len(following) > 1:
            joined[at - len(following)] = np.array(following, np.int64)
        at += 0 if following else 1
    return joined


def _names_read(instruction: Instruction) -> frozenset[str]:
    exprs: list[Expr] = [v for _, v in instruction.options if isinstance(v, Expr)]
    for arg in instruction.args:
        if isinstance(arg, View):
            exprs.append(arg.offset)
            for dim in arg.dims or ():
                exprs += (dim.extent, dim.stride)
    return frozenset().union(*(names_in(e) for e in exprs)) if exprs else frozenset()
