"""Runs a few instructions on one PE: buffers in, one buffer out."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from meshrt.program.check import check_program
from meshrt.program.model import DTYPE_BYTES
from meshrt.program.parser import parse_program
from meshrt.run import run_program
from meshrt.target import load_target

TINY = load_target("tiny")
FIRST = 16384


def run_one(buffers: Mapping[str, tuple[str, np.ndarray]], statements: str, result: str) -> np.ndarray:
    """The contents of buffer ``result`` after the statements; ``buffers`` are (dtype, contents) by name."""
    address, declared, placed = FIRST, [], []
    for name, (dtype, values) in buffers.items():
        shape = ", ".join(map(str, values.shape))
        names = [f"d{i}" for i in range(values.ndim)]
        ranges = ", ".join(f"{n}: 0..{e}" for n, e in zip(names, values.shape, strict=True))
        declared.append(f"  buffer (0, 0) {name}: {dtype}[{shape}] @ {address}")
        placed.append(f'  place (0, 0) {name}[{ranges}] = "{name}"[{", ".join(names)}]')
        address += -(-values.size * DTYPE_BYTES[dtype] // 4) * 4
    dtype, values = buffers[result]
    text = "\n".join(
        [
            "mesh 1",
            "region main 1 x 1 at (0, 0) {",
            *declared,
            *placed,
            "  route (0, 0) color 21: RAMP -> E",
            f"  port out out side E (0, 0) color 21: {dtype}[{values.size}] count {values.size} at [e]",
            "  code (0, 0) main {",
            statements,
            f"  send {result}, color=21",
            "  }",
            "}",
        ]
    )
    program = parse_program(text + "\n")
    check_program(program, TINY)
    weights = {name: np.asarray(v, np.int32 if d == "i32" else np.float32) for name, (d, v) in buffers.items()}
    return run_program(program, TINY, weights).outputs["out"].reshape(values.shape)
