"""The grammars are found in a checkout and in an installed package."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from meshrt import grammar
from meshrt.diagnostics import MeshError

NAMES = ("mir.lark", "mesh.lark")


@pytest.mark.parametrize("name", NAMES)
def test_from_where_the_package_is(name):
    assert grammar.grammar_text(name).startswith("//")


@pytest.mark.parametrize("name", NAMES)
def test_from_an_installed_package(name, tmp_path, monkeypatch):
    text = grammar.grammar_text(name)
    package = tmp_path / "site-packages" / "meshrt"
    (package / "grammars").mkdir(parents=True)
    (package / "grammars" / name).write_text(text, encoding="utf-8")
    shutil.copy(Path(grammar.__file__), package / "grammar.py")
    monkeypatch.setattr(grammar, "__file__", str(package / "grammar.py"))
    assert grammar.grammar_text(name) == text


def test_a_missing_grammar_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr(grammar, "__file__", str(tmp_path / "a" / "meshrt" / "grammar.py"))
    with pytest.raises(MeshError) as caught:
        grammar.grammar_text("mir.lark")
    assert caught.value.diagnostic.code == "M0290"
