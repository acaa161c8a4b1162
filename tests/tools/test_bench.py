"""``make bench`` on one tiny model."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tools.bench import CASES, ROOT


@pytest.mark.slow
def test_one_case_is_measured(tmp_path):
    file = tmp_path / "out" / "bench.json"
    line = [sys.executable, "tools/bench.py", "--json", str(file), "llama-tiny"]
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    result = json.loads(file.read_text())
    assert result["schema"] == "meshc.bench/1"
    (case,) = result["cases"].values()
    assert all(case[step]["seconds"] > 0 and case[step]["peak_bytes"] > 1e7 for step in ("trace", "compile", "run"))
    assert case["pes"] == 64
    assert case["cycles"] > 1000


def test_an_unknown_case_is_a_usage_error():
    done = subprocess.run(
        [sys.executable, "tools/bench.py", "nonsense"], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 2
    assert "llama-tiny" in done.stderr


def test_there_are_the_demo_and_two_tiny_models():
    assert [case.name for case in CASES] == ["llama-tiny", "gpt2-tiny", "smollm2-135m"]


@pytest.mark.slow
def test_decoded_tokens_are_timed(tmp_path):
    file = tmp_path / "tokens.json"
    line = [sys.executable, "tools/bench_tokens.py", "--json", str(file), "llama-tiny"]
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    (case,) = json.loads(file.read_text())["cases"].values()
    assert 0 < case["processor_seconds_per_token"] < case["first_token_processor_seconds"]
    assert case["tokens"] == 8 and case["pes"] == 64 and case["skips"]
