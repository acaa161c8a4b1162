"""Programs of decode as the machine sees them: alike on both engines, proven to end, and no longer for more layers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from meshc.passes.fuse_norm_gemv import FuseNormGemv
from meshrt.program.check import diagnose
from meshrt.program.model import Program
from meshrt.program.printer import print_program
from meshrt.program.proofs import prove
from meshrt.target import load_target
from tests.differential.agreement import run_both
from tests.kernels.decode_harness import Steps
from tests.kernels.decode_model import Model

TARGET = load_target("wse2")


def program(model: Model, steps: Steps, count: int) -> Program:
    model.build(steps)
    return steps.program(count, target=TARGET)


@pytest.mark.parametrize(
    ("model", "width", "height", "dtype", "tolerance", "passes"),
    [
        (Model(kv_heads=2), 4, 3, "f32", 1e-5, []),
        (Model(kv_heads=2), 4, 3, "mixed", 3e-3, []),
        (Model(kv_heads=2), 4, 3, "mixed", 3e-3, [FuseNormGemv()]),
        (Model(window=3, mask="window"), 3, 7, "mixed", 3e-3, []),
        (Model(learned=True, biases=True), 7, 2, "bf16", 3e-2, []),
    ],
)
def test_both_engines(model, width, height, dtype, tolerance, passes):
    steps = Steps(width, height, batch=2, context=9, dtype=dtype, passes=passes)
    code = program(model, steps, 9)
    ids = torch.randint(0, steps.vocabulary, (2, 9), generator=steps.random)
    weights = {name: tensor.numpy() for name, tensor in steps.weights.items()}
    pair = run_both(code, TARGET, weights, {"ids": ids.numpy().astype(np.int32)}, {"main": {"length": 9}})
    assert not pair.differences()
    assert pair.comparison("decode").within
    wanted = model.reference(steps.weights, ids)[0].numpy()
    found = steps.found(pair.batched.outputs["kept"])["logits"]
    assert np.abs(found - wanted).max() <= tolerance * np.abs(wanted).max()


@pytest.mark.parametrize("kv", ["shift", "append"])
@pytest.mark.parametrize(("width", "height"), [(1, 1), (4, 3), (3, 7)])
def test_a_program_is_sound_and_proven_to_end(width, height, kv):
    code = program(Model(kv_heads=2, kv=kv), Steps(width, height, context=9), 9)
    assert not diagnose(code, TARGET)
    assert not prove(code, TARGET).findings


def test_text_does_not_grow_with_the_layers():
    texts = [print_program(program(replace(Model(), layers=n), Steps(3, 4), 4)) for n in (2, 9)]
    assert texts[0].count("\n") == texts[1].count("\n")
