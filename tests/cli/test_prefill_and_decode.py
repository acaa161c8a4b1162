"""Builds of the phase generate by the commands: the same text as token by token, and what the report says of it."""

from __future__ import annotations

import json

import pytest

from meshc.cli.main import status_of_line
from meshrt.__main__ import main as meshrt_main
from meshrt.report_schema import check_report

LINE = ("--prompt", "why is the sky", "--max-new-tokens", "5")


def run(build, *options: object) -> None:
    assert status_of_line(["run", str(build), *map(str, options)]) == 0


def test_the_text_is_that_of_token_by_token(text_build, capsys):
    texts = []
    for phase in ("decode", "generate"):
        assert meshrt_main([str(text_build(phase)), "--ids", "3 4 5 6", "--max-new-tokens", "5", "--no-table"]) == 0
        texts.append(capsys.readouterr().out)
    assert texts[0] == texts[1] and len(texts[0].split()) == 5


def test_a_prompt_of_one_token_leaves_prefill_nothing_to_keep(text_build, capsys):
    texts = []
    for phase in ("decode", "generate"):
        assert meshrt_main([str(text_build(phase)), "--ids", "7", "--max-new-tokens", "3", "--no-table"]) == 0
        texts.append(capsys.readouterr().out)
    assert texts[0] == texts[1]


def test_the_report_tells_the_phases_apart(text_build, tmp_path, capsys):
    file = tmp_path / "report.json"
    run(text_build("generate"), *LINE, "--json", file)
    report = json.loads(file.read_text())
    check_report(report)
    prefill, relayout, decode = report["phases"]
    assert [phase["name"] for phase in report["phases"]] == ["prefill", "relayout", "decode"]
    assert [phase["regions"] for phase in report["phases"]] == [["prefill"], ["prefill", "decode"], ["decode"]]
    assert sum(phase["cycles"] for phase in report["phases"]) == report["cycles"]
    for part in ("critical_hops", "critical_stages"):
        assert sum(phase["latency"][part] for phase in report["phases"]) == report["latency"][part]
    assert sum(phase["parallelism"]["macs"] for phase in report["phases"]) == report["parallelism"]["macs"]
    assert relayout["parallelism"]["macs"] == 0 < relayout["routing"]["words"]
    # One step for each new token: the last token of the prompt is decode's first.
    told = report["generation"]
    assert (told["prompts"], told["new_tokens"], told["steps"]) == ([4], [5], 5)
    before = prefill["cycles"] + relayout["cycles"]
    assert before < told["first_token_cycles"] < before + decode["cycles"]
    out = capsys.readouterr().out
    (header,) = [line for line in out.splitlines() if line.startswith("phase ")]
    assert header.split() == ["phase", "prefill", "relayout", "decode"]


def test_time_alone_is_that_of_the_whole_run(text_build, tmp_path):
    reports = []
    for options in ((), ("--timing-only",)):
        file = tmp_path / "report.json"
        run(text_build("generate"), *LINE, "--json", file, "--no-table", *options)
        reports.append(json.loads(file.read_text()))
    for section in ("cycles", "phases", "generation"):
        assert reports[0][section] == reports[1][section]


def test_json_on_standard_output_stands_alone(text_build, capsys):
    run(text_build("generate"), *LINE, "--json", "-")
    captured = capsys.readouterr()
    check_report(json.loads(captured.out))
    assert captured.err.count("\n") == 1


@pytest.mark.parametrize("seed", [1, 2])
def test_chance_is_that_of_token_by_token(text_build, capsys, seed):
    texts = []
    for phase in ("decode", "generate"):
        line = ["--ids", "3 4 5 6", "--max-new-tokens", "6", "--no-table", "--temperature", "2", "--seed", str(seed)]
        assert meshrt_main([str(text_build(phase)), *line]) == 0
        texts.append(capsys.readouterr().out)
    assert texts[0] == texts[1]
