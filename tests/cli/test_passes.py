"""``meshc passes``."""

from __future__ import annotations

import json

from meshc.cli.main import status_of_line
from meshc.passes.registry import PassRegistry


def test_the_list_names_every_pass(capsys):
    assert status_of_line(["passes"]) == 0
    out = capsys.readouterr().out.splitlines()
    assert [line for line in out if not line.startswith(" ")] == list(PassRegistry())


def test_one_pass_with_its_options(capsys):
    assert status_of_line(["passes", "tile"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("tile\n") and "options" in out and "width" in out


def test_json(capsys):
    assert status_of_line(["passes", "--json"]) == 0
    passes = json.loads(capsys.readouterr().out)
    assert [each["name"] for each in passes] == list(PassRegistry())
    assert all(each["documentation"] for each in passes)


def test_an_unknown_pass(capsys):
    assert status_of_line(["passes", "tiel"]) == 1
    assert "did you mean 'tile'?" in capsys.readouterr().err
