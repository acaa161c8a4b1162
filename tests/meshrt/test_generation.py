"""Generation: new tokens of every prompt as they come, their times, how a text ends, and what cannot be asked for."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from meshrt.diagnostics import MeshError
from meshrt.generation import NewToken, Request, Sampling, generate
from meshrt.report_schema import check_report
from meshrt.run import RunOptions
from tests.kernels.bigram import Bigram

#: Each token is followed by the next one, the last by the first.
VOCABULARY = 10
NEXT = (np.roll(np.eye(VOCABULARY), 1, axis=1) * 4).astype(np.float32)
TWO = Bigram(2, 2, 2, VOCABULARY, prompt=4, context=12)
ERRORS = Path(__file__).parent / "generation_errors"


@pytest.fixture(scope="module")
def build():
    return TWO.build(NEXT)


@pytest.mark.parametrize("engine", ["batched", "reference"])
def test_tokens_come_one_by_one_in_the_order_of_time(build, engine):
    heard: list[NewToken] = []
    request = Request(((0, 1, 2), (5,)), 4)
    generation = generate(build, request, RunOptions(engine=engine), heard.append)
    assert generation.tokens == ((3, 4, 5, 6), (6, 7, 8, 9))
    assert not generation.cut
    # The second prompt is shorter, so its tokens come first; each prompt's are in order.
    assert [(t.prompt, t.number, t.id, t.last) for t in heard] == [
        (1, 0, 6, False), (1, 1, 7, False), (0, 0, 3, False), (1, 2, 8, False), (0, 1, 4, False), (1, 3, 9, True),
        (0, 2, 5, False), (0, 3, 6, True),
    ]  # fmt: skip
    cycles = [t.cycle for t in heard]
    assert cycles == sorted(cycles)
    told = generation.report["generation"]
    check_report(generation.report)
    assert (told["prompts"], told["new_tokens"], told["steps"]) == ([3, 1], [4, 4], 6)
    assert told["first_token_cycles"] == heard[2].cycle
    mine = [t.cycle for t in heard if t.prompt == 0]
    gaps = [b - a for a, b in itertools.pairwise(mine)]
    assert told["token_cycles"] == pytest.approx(sum(gaps) / 3, rel=0.2)
    assert told["tokens_per_second"] == pytest.approx(2 / told["token_seconds"])


def test_a_stop_id_ends_a_text_and_the_run(build):
    generation = generate(build, Request(((0, 1), (4,)), 9, stop_ids=(6, 3)))
    assert generation.tokens == ((2, 3), (5, 6))
    assert generation.report["generation"]["steps"] == 3


def test_fewer_prompts_than_the_build_takes(build):
    assert generate(build, Request(((7,),), 3)).tokens == ((8, 9, 0),)


def test_a_full_context_keeps_what_was_written(build):
    request = Request(((0, 1, 2), (5,)), 11)
    generation = generate(build, request)
    # The longest prompt and its answer fill the context; the other one has all that was asked for.
    assert [len(tokens) for tokens in generation.tokens] == [10, 11]
    assert generation.tokens[0] == (3, 4, 5, 6, 7, 8, 9, 0, 1, 2)
    assert generation.cut == (0,)
    with pytest.raises(MeshError) as caught:
        generation.check_complete(request)
    assert str(caught.value) + "\n" == (ERRORS / "context_full.err").read_text(encoding="utf-8")


def test_the_same_seed_gives_the_same_text(build):
    def text(seed: int) -> tuple[tuple[int, ...], ...]:
        return generate(build, Request(((1,), (1,)), 10, sampling=Sampling(5, 3.0, seed))).tokens

    assert text(1) == text(1)
    assert text(1) != text(2)
    assert text(1)[0] != text(1)[1]


def test_a_timing_only_run_times_all_tokens(build):
    request = Request(((0, 1, 2), (5,)), 4, stop_ids=(3,))
    timed = generate(build, request, RunOptions(timing_only=True), on_token=pytest.fail)
    full = generate(build, replace(request, stop_ids=()))
    assert timed.tokens == () and timed.report["generation"] == full.report["generation"]


#: Requests that cannot be done beside what is said of them.
BAD = {
    "no_prompt": Request((), 4),
    "empty_prompt": Request(((1, 2), ()), 4),
    "prompt_too_long": Request(((1, 2, 3, 4, 5),), 4),
    "unknown_id": Request(((1, 2), (3, 10)), 4),
    "negative_id": Request(((1, -2),), 4),
    "too_many_prompts": Request(((1,), (2,), (3,)), 4),
    "nothing_to_write": Request(((1,),), 0),
    "unknown_stop_id": Request(((1,),), 4, stop_ids=(10,)),
    "too_many_stop_ids": Request(((1,),), 4, stop_ids=(1, 2, 3, 4, 5)),
    "top_k_too_large": Request(((1,),), 4, sampling=Sampling(top_k=11)),
    "temperature_below_zero": Request(((1,),), 4, sampling=Sampling(2, -0.5)),
    "temperature_not_a_number": Request(((1,),), 4, sampling=Sampling(2, float("nan"))),
    "seed_too_large": Request(((1,),), 4, sampling=Sampling(2, 1.0, 1 << 31)),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_request_is_told_before_the_run(build, name):
    with pytest.raises(MeshError) as caught:
        generate(build, BAD[name])
    assert str(caught.value) + "\n" == (ERRORS / f"{name}.err").read_text(encoding="utf-8")


def test_a_build_without_a_decode_phase_writes_nothing(build):
    with pytest.raises(MeshError) as caught:
        generate(replace(build, manifest=replace(build.manifest, phase="prefill", decode=None)), Request(((1,),), 4))
    assert str(caught.value) + "\n" == (ERRORS / "no_decode.err").read_text(encoding="utf-8")


def test_a_greedy_build_cannot_sample():
    with pytest.raises(MeshError) as caught:
        generate(Bigram(1, 1, 1, VOCABULARY, top_k=1).build(NEXT), Request(((1,),), 4, sampling=Sampling(2)))
    assert str(caught.value) + "\n" == (ERRORS / "greedy_build.err").read_text(encoding="utf-8")


def test_options_of_sampling(build):
    def chosen(*options):
        return Sampling.chosen(build.manifest, *options)

    assert chosen(None, None, None) == chosen(0, 7, 3) == chosen(0.0, None, None) == Sampling()
    assert chosen(0.7, None, None) == Sampling(VOCABULARY, 0.7, 0)
    assert chosen(None, 3, 5) == Sampling(3, 1.0, 5)
    with pytest.raises(MeshError) as caught:
        chosen(None, None, 3)
    assert str(caught.value) + "\n" == (ERRORS / "seed_alone.err").read_text(encoding="utf-8")
