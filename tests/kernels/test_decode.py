"""Steps of decode against torch: several in a row, so that the cache wraps over rows and fills."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from meshc.ir.core import Block, Operation
from meshc.kernels.line_trees import LineTrees
from meshc.passes.fuse_norm_gemv import FuseNormGemv
from meshc.passes.select_kernels import SelectKernels
from meshrt.program.expr import evaluate
from meshrt.program.printer import print_program
from meshrt.target import load_target
from tests.kernels.decode_harness import Steps
from tests.kernels.decode_model import Model
from tests.kernels.harness import assert_near
from tests.meshrt.naive_interpreter import Interpreter

#: Width, height.
GRIDS = [(1, 1), (1, 5), (7, 1), (4, 4), (3, 7), (8, 3)]


def run(model: Model, steps: Steps, count: int) -> tuple[dict[str, np.ndarray], torch.Tensor, list]:
    """Results of so many steps, the logits wanted and the caches wanted."""
    model.build(steps)
    ids = torch.randint(0, steps.vocabulary, (steps.batch, count), generator=steps.random)
    found = steps.run(ids)
    return found, *model.reference(steps.weights, ids)


@pytest.mark.parametrize(("width", "height"), GRIDS)
def test_steps_give_the_logits_of_the_whole_sequence(width, height):
    found, wanted, _ = run(Model(), Steps(width, height, context=9), 9)
    assert_near(found["logits"], wanted)


@pytest.mark.parametrize(
    ("model", "width", "height"),
    [
        (Model(kv_heads=3, per_kv=3, head_dim=6), 7, 3),  # groups of two columns, one idle
        (Model(kv_heads=3, per_kv=1, head_dim=4), 2, 2),  # several KV heads to a column
        (Model(kv_heads=2, head_dim=4, head_norms=True), 5, 3),
        (Model(window=3, mask="window"), 3, 4),
        (Model(softcap=2.0), 3, 2),
        (Model(learned=True, biases=True), 3, 4),
        (Model(biases=True), 4, 3),
        (Model(kv="append"), 3, 4),
    ],
)
def test_variants(model, width, height):
    found, wanted, _ = run(model, Steps(width, height, context=9), 9)
    assert_near(found["logits"], wanted)


@pytest.mark.parametrize(
    ("model", "width", "height", "batch"),
    [(Model(), 3, 4, 1), (Model(biases=True), 4, 3, 2), (Model(), 1, 1, 1)],
)
def test_norms_whose_squares_travel_with_the_projections(model, width, height, batch):
    steps = Steps(width, height, batch=batch, context=6, passes=[FuseNormGemv()])
    found, wanted, _ = run(model, steps, 6)
    assert not [op for op in steps.body.ops if op.name == "tile.rms_norm"]
    assert_near(found["logits"], wanted)


@pytest.mark.parametrize("scores", ["heads", "row"])
@pytest.mark.parametrize("softmax", ["overlapped", "joined", "apart"])
@pytest.mark.parametrize(
    ("model", "width", "height", "batch"),
    [
        (Model(kv_heads=2), 5, 3, 2),
        (Model(kv_heads=3, per_kv=1), 4, 3, 1),
        (Model(), 3, 2, 1),
        (Model(kv_heads=3), 2, 1, 1),
    ],
)
def test_scores_along_the_row_and_a_softmax_in_parts(scores, softmax, model, width, height, batch):
    pin = SelectKernels(pin=(f"cached_attention.trees{{scores={scores}, softmax={softmax}}}",))
    steps = Steps(width, height, batch=batch, context=5, passes=[pin])
    found, wanted, _ = run(model, steps, 5)
    (attention,) = [op for op in _within(steps.body) if op.name == "tile.cached_attention"]
    assert attention.attributes["schedule"] == {"scores": scores, "softmax": softmax}
    assert_near(found["logits"], wanted)


def _within(block: Block) -> list[Operation]:
    return [inner for op in block.ops for inner in (op, *(i for region in op.regions for i in _within(region)))]


@pytest.mark.parametrize(
    ("trees", "width", "height"),
    [
        (LineTrees("meshgemv"), 6, 7),
        (LineTrees("meshgemv", (2, 3)), 6, 6),
        (LineTrees("k_tree"), 7, 5),
        (LineTrees("k_tree", (3, 3)), 8, 9),
    ],
)
def test_trees_of_groups(trees, width, height):
    model, steps = Model(kv_heads=2), Steps(width, height, context=4)
    model.build(steps)
    ids = torch.randint(0, steps.vocabulary, (1, 4), generator=steps.random)
    found = steps.run(ids, trees=trees)
    assert_near(found["logits"], model.reference(steps.weights, ids)[0])


@pytest.mark.parametrize(("width", "height"), [(1, 1), (3, 4)])
def test_a_batch_of_three(width, height):
    found, wanted, _ = run(Model(kv_heads=2, learned=True), Steps(width, height, batch=3, context=6), 6)
    assert_near(found["logits"], wanted)


def test_trees_sought_for_the_target():
    model, steps = Model(kv_heads=2), Steps(13, 9, context=4)
    model.build(steps)
    ids = torch.randint(0, steps.vocabulary, (1, 4), generator=steps.random)
    found = steps.run(ids, target=load_target("wse2"))
    assert_near(found["logits"], model.reference(steps.weights, ids)[0])


@pytest.mark.parametrize(("kv_heads", "width", "batch"), [(2, 5, 1), (1, 4, 1), (1, 5, 2)])
def test_scalar_work_shared_among_neighbours(kv_heads, width, batch):
    """Groups of two columns, one idle; and one group, whose stretches have colors of their own."""
    model, texts = Model(kv_heads=kv_heads, inner=40 * width - 3), []
    ids = torch.randint(0, 19, (batch, 4), generator=torch.Generator().manual_seed(1))
    for shares in (True, False):
        fresh = Steps(width, 6, batch=batch, context=192)
        model.build(fresh)
        options = {"target": load_target("wse2"), "trees": LineTrees(shares=shares)}
        program = fresh.program(4, **options)
        texts.append(print_program(program))
        weights = {name: tensor.numpy() for name, tensor in fresh.weights.items()}
        found = fresh.found(Interpreter(program, weights, {"length": 4}).run({"ids": ids.numpy()})["kept"])
        assert_near(found["logits"], model.reference(fresh.weights, ids)[0])
    assert "exponentials" in texts[0] and "chain_two_sided" in texts[0]
    assert "exponentials" not in texts[1] and "chain_two_sided" not in texts[1]


def test_a_context_that_is_not_filled():
    found, wanted, _ = run(Model(), Steps(2, 3, context=20), 8)
    assert_near(found["logits"], wanted)


def held(steps: Steps, model: Model, state: np.ndarray, row: int, slot: int, layer: int) -> list[np.ndarray]:
    """Keys and values, [batch, KV heads, dim] each, that a row has in a slot."""
    layout = steps.heads(model.kv_heads, 1, model.head_dim, model.rotary())
    parts = state[row, :, layer, slot].reshape(steps.width, 2, steps.batch, layout.tile)
    found = np.full((2, steps.batch, layout.extent), np.nan, np.float32)
    for p in range(steps.width):
        for i in range(layout.tile):
            index = evaluate(layout.index(p, i), {}, {})
            if index >= 0:
                found[:, :, index] = parts[p, :, :, i]
    return list(found.reshape(2, steps.batch, model.kv_heads, model.head_dim))


@settings(max_examples=15, deadline=None, derandomize=True)
@given(st.sampled_from(["shift", "append"]), st.integers(1, 6), st.integers(1, 13), st.integers(1, 2))
@example("shift", 5, 2, 2)
@example("shift", 3, 11, 2)
@example("append", 4, 13, 1)
def test_the_cache_holds_every_token_in_order_and_in_balance(kv, height, count, batch):
    model, steps = Model(kv_heads=2, layers=2, kv=kv), Steps(3, height, batch=batch, context=13)
    found, _, caches = run(model, steps, count)
    if kv == "append":
        capacity, starts = 13, [0] * height + [count]
    else:
        capacity, starts = -(-13 // height), [count * row // height for row in range(height + 1)]
        sizes = np.diff(starts)
        assert sizes.max() - sizes.min() <= 1
    for layer, wanted in enumerate(caches):
        for row in range(height):
            for token in range(starts[row], starts[row + 1]):
                kept = held(steps, model, found["cache.{l}"], row, token % capacity, layer)
                for each, whole in zip(kept, wanted, strict=True):
                    np.testing.assert_allclose(each, whole[:, :, token].numpy(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("width", "height"), [(1, 1), (4, 3)])
def test_a_bias_on_one_of_several_parts(width, height):
    steps = Steps(width, height, batch=2)
    x = steps.op("embedding", [steps.weight("table", 19, 6), steps.ids], steps.y(6), sequence=1)
    parts = [(steps.weight("a", 5, 6), steps.weight("a_bias", 5)), (steps.weight("b", 5, 6), None)]
    steps.results["a"], steps.results["b"] = steps.gemv(x, parts, [steps.x(5), steps.x(5)])
    ids = torch.randint(0, 19, (2, 3))
    found = steps.run(ids)
    e = steps.weights["table"][ids]
    assert_near(found["a"], e @ steps.weights["a"].T + steps.weights["a_bias"])
    assert_near(found["b"], e @ steps.weights["b"].T)
