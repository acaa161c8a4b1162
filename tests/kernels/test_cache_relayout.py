"""What prefill kept comes to the rows where decode looks for it: every slot against numpy, on any grid and batch.

Within one region, and over the border to the PEs at the same places of the next one.
"""

from __future__ import annotations

import numpy as np
import pytest

from meshc.dialects.layout import Block as BlockLayout
from meshc.emit.program import emit_program
from meshc.ir.core import Block, Module, Operation
from meshc.kernels.builder import MeshBuffer, MeshBuilder
from meshc.kernels.cache import TokenRows
from meshc.kernels.cache_crossing import send_east, take_from_west
from meshc.kernels.cache_relayout import balanced
from meshc.kernels.host_io import drain_rows
from meshc.kernels.lowering import Lowering
from meshc.passes.allocate_colors import AllocateColors
from meshc.passes.pipeline import run_pipeline
from meshc.passes.plan_memory import PlanMemory
from meshrt.program.check import check_program
from meshrt.program.expr import Name, as_expr
from meshrt.program.model import Program
from meshrt.run import RunOptions, run_program
from meshrt.target import load_target
from tests.meshrt.naive_interpreter import Interpreter

LAYERS, KEYS, VALUES = 2, 3, 2


def builder_of(width: int, height: int, name: str, x: int = 0) -> MeshBuilder:
    attributes = {"name": name, "width": width, "height": height, "origin": (x, 0)}
    return MeshBuilder(Operation("mesh.region", attributes=attributes, regions=[Block()]), width, height)


def tell(builder: MeshBuilder, slots: MeshBuffer) -> None:
    """What every PE holds leaves through port ``slots``."""
    with builder.scope(2):
        shape = builder.height, builder.width, slots.elements
        drain_rows(builder, "slots", slots, shape, lambda source, element: (Name("y"), source, element))


def program_of(width: int, height: int, batch: int, sequence: int, context: int, across: bool = False) -> Program:
    """Every PE starts with what it kept in place; port ``slots`` tells what it holds after, or the PE at its place in
    the region behind the border.
    """
    builder = builder_of(width, height, "main")
    builders = [builder]
    tokens = BlockLayout(batch * sequence, height)
    lowering = Lowering(builder, "f32", "f32", batch, sequence, tokens, as_expr(sequence))
    part = KEYS + VALUES
    kept = lowering.whole_state("cache", "kept", "f32", [LAYERS], (tokens.tile, part))
    given = builder.buffer("given", "f32", LAYERS, tokens.tile, part)
    layer, local, feature = (Name(name) for name in "ijk")
    ranges = [("i", 0, LAYERS), ("j", 0, tokens.tile), ("k", 0, part)]
    builder.place(given, ranges, "kept", [layer, tokens.index(Name("y"), local), Name("x") * part + feature])
    with builder.scope(0):
        builder.emit("copy", kept, given)
    cache = {"cache": "cache", "keys": KEYS, "values": VALUES, "layers": (LAYERS,)}
    with builder.scope(1):
        slots = balanced(cache, TokenRows.of(height, context), lowering)
        if across:
            send_east(builder, [slots])
    if across:
        builders.append(builder_of(width, height, "east", width))
        taken = builders[1].buffer("taken", "f32", *slots.shape)
        with builders[1].scope(1):
            take_from_west(builders[1], [taken])
        tell(builders[1], taken)
    else:
        tell(builder, slots)
    module = Module("mesh", attributes={"ops": (("keep", ""), ("relayout", ""), ("output", ""))})
    for each in builders:
        each.finish()
        module.body.append(each.region)
    run_pipeline(module, [AllocateColors(), PlanMemory()])
    return emit_program(module)


def kept_of(width: int, batch: int, sequence: int) -> np.ndarray:
    """[layers, batch * sequence, features of all columns], no two elements alike."""
    shape = LAYERS, batch * sequence, width * (KEYS + VALUES)
    return np.arange(1, 1 + np.prod(shape), dtype=np.float32).reshape(shape)


def expected(kept: np.ndarray, width: int, height: int, batch: int, context: int, count: int) -> np.ndarray:
    """Slots of every PE, [rows, columns, layers, slots, entry], by the rule of meshc/kernels/cache.py."""
    capacity, part = -(-context // height), KEYS + VALUES
    by_token = kept.reshape(LAYERS, batch, -1, width, part)
    slots = np.zeros((height, width, LAYERS, capacity, batch * part), np.float32)
    for row in range(height):
        for token in range(count * row // height, count * (row + 1) // height):
            for x in range(width):
                keys, values = np.split(by_token[:, :, token, x], [KEYS], axis=-1)
                entry = np.concatenate([keys.reshape(LAYERS, -1), values.reshape(LAYERS, -1)], axis=-1)
                slots[row, x, :, token % capacity] = entry
    return slots


@pytest.mark.parametrize("count", [0, 1, 4, 6])
@pytest.mark.parametrize(
    ("width", "height", "batch", "sequence", "context"),
    [(1, 1, 1, 7, 9), (2, 5, 1, 7, 9), (3, 4, 3, 7, 7), (2, 9, 2, 7, 30), (1, 2, 2, 8, 8)],
)
def test_every_token_lies_in_the_slot_of_its_row(width, height, batch, sequence, context, count):
    program, kept = program_of(width, height, batch, sequence, context), kept_of(width, batch, sequence)
    check_program(program, load_target("tiny"))
    found = Interpreter(program, {"kept": kept}, {"first": count}).run({})["slots"]
    wanted = expected(kept, width, height, batch, context, count)
    assert np.array_equal(found.reshape(wanted.shape), wanted)


@pytest.mark.parametrize("across", [False, True])
@pytest.mark.parametrize(
    ("width", "height", "batch", "sequence", "context"),
    [(3, 4, 3, 7, 7), (2, 9, 2, 7, 30), (1, 3, 1, 7, 9), (6, 2, 1, 7, 9)],
)
def test_both_engines_agree(width, height, batch, sequence, context, across):
    program, kept = program_of(width, height, batch, sequence, context, across), kept_of(width, batch, sequence)
    wanted = expected(kept, width, height, batch, context, 5)
    runs = [
        run_program(
            program, load_target("tiny"), {"kept": kept}, {}, {"main": {"first": 5}}, options=RunOptions(engine)
        )
        for engine in ("batched", "reference")
    ]
    for run in runs:
        assert np.array_equal(run.outputs["slots"].reshape(wanted.shape), wanted)
    cycles = [run.report["cycles"] for run in runs]
    assert abs(cycles[0] - cycles[1]) <= max(16, 0.05 * cycles[1]), cycles
