"""``meshc explain``."""

from __future__ import annotations

import json

import pytest

from meshc.cli.main import status_of_line
from meshrt.diagnostics import CATALOG


@pytest.mark.parametrize("written", ["M0101", "m0101", "101", "error[M0101]"])
def test_a_code_is_found_however_it_is_written(written, capsys):
    assert status_of_line(["explain", written]) == 0
    out = capsys.readouterr().out
    assert out.startswith(f"M0101: {CATALOG['M0101'].title}\n")
    assert out.count("\n") > 2


def test_without_a_code_it_lists_them_all(capsys):
    assert status_of_line(["explain"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == sorted(CATALOG)


def test_an_unknown_code_is_a_diagnostic(capsys):
    assert status_of_line(["explain", "M9999"]) == 1
    assert capsys.readouterr().err.startswith("error[M0650]: there is no diagnostic 'M9999'\n")


def test_json(capsys):
    assert status_of_line(["explain", "M0101", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["title"] == CATALOG["M0101"].title
    assert status_of_line(["explain", "--json"]) == 0
    assert set(json.loads(capsys.readouterr().out)) == set(CATALOG)
