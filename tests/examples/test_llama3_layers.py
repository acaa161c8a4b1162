"""How long a context 360 x 360 PEs of a WSE-2 hold for layers of LLaMA3-8B: beside Table 5 of WaferLLM."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from meshc.cli.main import status_of_line

EXAMPLE = Path(__file__).parents[2] / "examples" / "llama3_layers.py"
#: Table 5 of WaferLLM (OSDI'25): the longest decode of LLaMA3-8B, which says nothing of the layers in a region.
PUBLISHED = {"append": 382, "shift": 137548}
ROWS = 360


@pytest.mark.slow
def test_three_layers_hold_about_what_waferllm_published(tmp_path):
    model, build = tmp_path / "llama3.pt2", tmp_path / "build"
    assert status_of_line(["trace", f"{EXAMPLE}:layers", "-o", str(model), "-q"]) == 0
    options = ["--phase", "decode", "--layers", "0:3", "--grid", f"{ROWS}x{ROWS}", "--dtype", "f16", "-q"]
    assert status_of_line(["compile", str(model), "-o", str(build), *options]) == 0
    # What `meshc check` shows after its proof, which takes minutes for so many PEs.
    capacity = json.loads((build / "manifest.json").read_text(encoding="utf-8"))["details"]["capacity"]
    found = {policy: longest["context"] for policy, longest in capacity["longest"].items()}
    for policy, published in PUBLISHED.items():
        assert abs(found[policy] - published) <= 0.15 * published
    # Table 5's ratio is the number of rows; the code of the shift takes a slot or two in each.
    assert 0.97 * ROWS <= found["shift"] / found["append"] <= ROWS
