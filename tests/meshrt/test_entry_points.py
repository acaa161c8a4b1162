"""Entry points: from a checkout without metadata, from installed packages, and both at once."""

from __future__ import annotations

import pytest

from meshrt.diagnostics import MeshError
from meshrt.entry_points import entry_points, load

PYPROJECT = """[project]
name = "meshc"
[project.entry-points."test.group"]
second = "json:dumps"
first = "json:loads"
gone = "no_such_module:thing"
lost = "json:no_such_name"
"""


@pytest.fixture
def checkout(tmp_path):
    (tmp_path / "pyproject.toml").write_text(PYPROJECT)
    return tmp_path


def plug_in(folder, name, entries):
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[test.group]\n" + "".join(f"{k} = {v}\n" for k, v in entries.items()))


def test_a_checkout_is_enough(checkout):
    found = entry_points("test.group", checkout)
    assert list(found) == ["first", "gone", "lost", "second"]
    assert load(found["first"])("[1]") == [1]


def test_an_unknown_group_is_empty(checkout):
    assert entry_points("test.other", checkout) == {}


def test_another_projects_file_is_not_ours(tmp_path):
    (tmp_path / "pyproject.toml").write_text(PYPROJECT.replace('"meshc"', '"other"'))
    assert entry_points("test.group", tmp_path) == {}
    assert entry_points("test.group", tmp_path / "nowhere") == {}


def test_plug_ins_join_the_built_in_ones(checkout, tmp_path_factory, monkeypatch):
    site = tmp_path_factory.mktemp("site")
    plug_in(site, "plugin", {"third": "json:load"})
    plug_in(site, "meshc", {"first": "outdated:metadata", "removed": "outdated:metadata"})
    monkeypatch.syspath_prepend(str(site))
    assert list(entry_points("test.group", checkout)) == ["first", "gone", "lost", "second", "third"]


def test_installed_metadata_serves_without_a_checkout(tmp_path, tmp_path_factory, monkeypatch):
    site = tmp_path_factory.mktemp("site")
    plug_in(site, "meshc", {"first": "json:loads"})
    monkeypatch.syspath_prepend(str(site))
    assert entry_points("test.group", tmp_path)["first"].value == "json:loads"


def test_two_packages_with_one_name_are_an_error(checkout, tmp_path_factory, monkeypatch):
    site = tmp_path_factory.mktemp("site")
    plug_in(site, "plugin", {"first": "json:load"})
    monkeypatch.syspath_prepend(str(site))
    with pytest.raises(MeshError) as caught:
        entry_points("test.group", checkout)
    assert caught.value.diagnostic.code == "M0663"
    assert "'first' in test.group" in str(caught.value) and "json:load" in str(caught.value)


@pytest.mark.parametrize("name", ["gone", "lost"])
def test_what_cannot_be_imported_is_an_error(checkout, name):
    with pytest.raises(MeshError) as caught:
        load(entry_points("test.group", checkout)[name])
    assert caught.value.diagnostic.code == "M0663"
