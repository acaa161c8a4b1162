"""``meshc targets``."""

from __future__ import annotations

import json

from meshc.cli.main import status_of_line
from meshrt.target.loader import load_target, parse_target
from meshrt.target.schema import KEYS


def test_the_list_names_every_preset(capsys):
    assert status_of_line(["targets"]) == 0
    names = [line.split()[0] for line in capsys.readouterr().out.splitlines() if line]
    assert {"wse2", "wse3", "tiny"} <= set(names)


def test_one_target_shows_every_number_with_its_source(capsys):
    assert status_of_line(["targets", "wse2"]) == 0
    out = capsys.readouterr().out
    assert all(f"  {name}" in out for name in KEYS)
    assert "49,152" in out


def test_the_printed_file_is_the_target(capsys):
    assert status_of_line(["targets", "wse3", "--toml"]) == 0
    assert parse_target(capsys.readouterr().out) == load_target("wse3")


def test_json(capsys):
    assert status_of_line(["targets", "--json"]) == 0
    assert "wse2" in [target["name"] for target in json.loads(capsys.readouterr().out)]
    assert status_of_line(["targets", "tiny", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["fma_elements_per_cycle"]["f16"] == 4


def test_the_file_of_no_target_is_a_usage_error(capsys):
    assert status_of_line(["targets", "--toml"]) == 2
    assert "NAME" in capsys.readouterr().err
