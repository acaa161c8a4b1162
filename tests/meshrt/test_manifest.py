"""The manifest: what is written is read back, and where the steps of a run begin."""

from __future__ import annotations

from dataclasses import replace

import pytest

from meshrt.manifest import DecodeBinding, Manifest, TensorBinding, manifest_from_json, manifest_to_json

DECODE = DecodeBinding("decode", "ids", "tokens", ("length_0", "length_1"), "steps", 6, 9, 96, ("stop_0",))
GENERATE = replace(DECODE, first="first", prefill="prefill")


@pytest.mark.parametrize("decode", [DECODE, GENERATE])
def test_the_text_gives_the_binding_back(decode):
    ids = TensorBinding("ids", "i64", (2, 6), "decode", "ids")
    manifest = Manifest("tiny", "digest", "generate", (ids,), (), decode=decode)
    assert manifest_from_json(manifest_to_json(manifest)).decode == decode


def test_steps_begin_at_the_last_token_of_the_shortest_prompt():
    lengths = {"length_0": 5, "length_1": 3, "steps": 9}
    assert GENERATE.starts(lengths) == 2
    assert GENERATE.starts({**lengths, "length_1": 1}) == 0


def test_without_prefill_every_token_of_a_prompt_is_a_step():
    assert DECODE.starts({"length_0": 5, "length_1": 3}) == 0
