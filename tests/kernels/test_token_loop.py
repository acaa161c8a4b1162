"""The loop over tokens: prompts of different lengths, tokens that feed back, stop ids; greedy as torch's argmax."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from meshc.kernels.random_numbers import uniform_of
from meshc.kernels.sample_top_k import MILLIONTHS, TOP_K
from meshrt.program.check import check_program
from meshrt.program.proofs import prove
from meshrt.run import RunOptions, run_program
from meshrt.target import load_target
from tests.kernels.bigram import Bigram

TINY = load_target("tiny")
ENGINES = ("batched", "reference")


def table_of(vocabulary: int, seed: int = 0) -> np.ndarray:
    return torch.randn(vocabulary, vocabulary, generator=torch.Generator().manual_seed(seed)).numpy()


def greedy(table: np.ndarray, prompts: list[list[int]], steps: int, stops: tuple[int, ...] = ()) -> np.ndarray:
    """What every step chooses, [batch, steps]; zero after the step in which all sequences have ended."""
    found = np.zeros((len(prompts), steps), np.int32)
    ended = [False] * len(prompts)
    chosen = [0] * len(prompts)
    for t in range(steps):
        for b, prompt in enumerate(prompts):
            token = prompt[t] if t < len(prompt) else chosen[b]
            found[b, t] = chosen[b] = int(torch.tensor(table[token]).argmax())
            ended[b] |= chosen[b] in stops and t + 1 >= len(prompt)
        if all(ended):
            break
    return found


def run(model: Bigram, table, prompts, steps, engine="batched", **chosen):
    program = model.program()
    check_program(program, TINY)
    return run_program(
        program, TINY, {"table": table}, model.inputs(prompts), model.scalars(prompts, steps, **chosen),
        options=RunOptions(engine=engine),
    )  # fmt: skip


@pytest.mark.parametrize(("width", "height", "batch", "vocabulary"), [(1, 1, 1, 9), (3, 2, 2, 17), (4, 1, 3, 16)])
@pytest.mark.parametrize("top_k", [1, 5])
def test_greedy_tokens_of_prompts_of_different_lengths(width, height, batch, vocabulary, top_k):
    model = Bigram(width, height, batch, vocabulary, top_k=top_k)
    prompts, table = [[3, 1, 4], [2], [1, 5, 2, 6]][:batch], table_of(vocabulary)
    for engine in ENGINES:
        found = run(model, table, prompts, 10, engine).outputs["tokens"]
        assert found[:, :10].tolist() == greedy(table, prompts, 10).tolist()
        assert not found[:, 10:].any()


def test_stop_ids_end_the_loop_when_all_sequences_have_ended():
    table = np.full((8, 8), -1.0, np.float32)
    for token, follows in enumerate([1, 2, 3, 4, 5, 6, 7, 0]):
        table[token, follows] = 1.0
    model = Bigram(2, 2, 2, 8)
    prompts = [[0, 1, 2], [4]]
    # The first sequence chooses 3, 4, 5, the second 5, 6, 7, .. in steps 2, 3, 4 and 0, 1, 2.
    cases = {(5, 7): 5, (7, 5, 1): 5, (6, 0): 6, (9,): 10, (): 10}
    for stops, steps in cases.items():
        for engine in ENGINES:
            found = run(model, table, prompts, 10, engine, stops=stops).outputs["tokens"]
            assert found.tolist() == np.pad(greedy(table, prompts, 10, stops), [(0, 0), (0, 2)]).tolist()
            assert (found[:, :steps].sum(1) > 0).all() and not found[:, steps:].any()


def test_of_equal_logits_the_lowest_id_is_chosen():
    table = np.zeros((17, 17), np.float32)
    table[0, [4, 9, 16]] = 2.0
    table[4, [16, 9]] = 0.5
    table[9, :] = -3.0
    table[9, [15, 16]] = -1.0
    model = Bigram(4, 1, 1, 17)
    assert run(model, table, [[0]], 4).outputs["tokens"][0, :4].tolist() == [4, 9, 15, 0]


def sampled(table, prompts, steps, top_k, temperature, seed, most):
    """The tokens that a run samples, by numpy: the sorted order, the same weights and the same random numbers."""
    batch = len(prompts)
    found = np.zeros((batch, steps), np.int32)
    chosen = [0] * batch
    coldness = np.float32(MILLIONTHS) / np.float32(round(temperature * MILLIONTHS))
    for t in range(steps):
        for b, prompt in enumerate(prompts):
            logits = table[prompt[t] if t < len(prompt) else chosen[b]]
            order = np.argsort(-logits, kind="stable")[:top_k]
            token, total = order[0], np.float32(1)
            random = uniform_of(seed, (t * most + np.arange(top_k)) * batch + b)
            for j in range(1, top_k):
                weight = np.exp((logits[order[j]] - logits[order[0]]) * coldness)
                total += weight
                token = order[j] if weight > random[j] * total else token
            found[b, t] = chosen[b] = token
    return found


@pytest.mark.parametrize(
    ("width", "vocabulary", "top_k", "temperature"), [(3, 17, 4, 0.7), (1, 13, 13, 1.5), (4, 30, 7, 0.01)]
)
def test_sampling_is_that_of_the_model_in_numpy(width, vocabulary, top_k, temperature):
    model = Bigram(width, 1, 2, vocabulary, context=20)
    most = min(TOP_K, vocabulary)
    table, prompts = table_of(vocabulary, 3), [[3, 1, 4], [2]]
    # Ties among those to choose from, and of those that are just left out.
    table[:, [2, 5, 7]] = table[:, [2]]
    for seed in (0, 1, 2**31 - 1):
        chosen = {"top_k": top_k, "temperature": temperature, "seed": seed}
        wanted = sampled(table, prompts, 20, top_k, temperature, seed, most)
        for engine in ENGINES:
            assert run(model, table, prompts, 20, engine, **chosen).outputs["tokens"].tolist() == wanted.tolist()


def test_sampled_tokens_are_as_frequent_as_their_probabilities():
    logits = torch.tensor([0.3, -1.0, 2.0, 1.5, 1.0, -0.2, 2.0, 0.0, -2.0, 0.7, 1.2])
    table = logits.repeat(11, 1).numpy()
    model = Bigram(2, 1, 6, 11, context=500)
    prompts = [[b] for b in range(6)]
    tokens = run(model, table, prompts, 500, top_k=6, temperature=0.8, seed=7).outputs["tokens"]
    kept = torch.full((11,), -torch.inf)
    kept[torch.topk(logits, 6).indices] = logits[torch.topk(logits, 6).indices]
    expected = torch.softmax(kept / 0.8, 0).numpy() * tokens.size
    counts = np.bincount(tokens.ravel(), minlength=11)
    assert not counts[expected == 0].any()
    able = expected > 0
    # Five degrees of freedom: beyond 20.5 in one of a thousand seeds.
    assert ((counts - expected)[able] ** 2 / expected[able]).sum() < 20.5
    # Sequences do not sample alike: two of them agree as often as chance has it.
    agree = (tokens[0] == tokens[1]).mean()
    assert abs(agree - ((expected / tokens.size) ** 2).sum()) < 0.08


def test_it_is_proven_for_all_prompts_and_all_ways_to_end():
    model = Bigram(3, 2, 2, 17, prompt=4, context=64)
    (region,) = (proof := prove(model.program(), TINY)).regions
    assert not proof.findings
    # What decides is only how many tokens there are to choose from.
    assert region.classes == 2 and region.choices > 10**9


def test_it_is_timed_without_values_for_all_its_steps():
    model = Bigram(3, 2, 2, 17)
    prompts, table = [[3, 1, 4], [2]], table_of(17)
    full = run(model, table, prompts, 9, top_k=3)
    timed = run_program(
        model.program(), TINY, scalars=model.scalars(prompts, 9, top_k=3), options=RunOptions(timing_only=True)
    )
    assert timed.clocks.tolist() == full.clocks.tolist()
