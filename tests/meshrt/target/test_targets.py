"""Targets: presets, files, plug-ins, and every mistake in a file."""

from __future__ import annotations

import dataclasses
import pickle
import tomllib
from pathlib import Path

import pytest

from meshrt.diagnostics import CATALOG, MeshError
from meshrt.target import KEYS, Rates, Target, available_targets, load_target, parse_target, target_to_toml

HERE = Path(__file__).parent
PRESETS = ("ideal", "tiny", "wse2", "wse3")


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_is_whole_and_says_where_its_numbers_come_from(name):
    target = load_target(name)
    assert target.name == name
    sources = dict(target.sources)
    for key in KEYS.values():
        value = getattr(target, key.name)
        names = [f"{key.name}.{dtype}" for dtype in value] if isinstance(value, Rates) else [key.name]
        assert all(sources[name] for name in names)
    assert len(sources) == sum(len(key.dtypes) or 1 for key in KEYS.values())


@pytest.mark.parametrize("name", PRESETS)
def test_a_target_writes_and_pickles_whole(name):
    target = load_target(name)
    again = parse_target(target_to_toml(target))
    assert again == target and again.sources == target.sources and again.digest == target.digest
    assert target_to_toml(again) == target_to_toml(target)
    copy = pickle.loads(pickle.dumps(target))  # noqa: S301 - bytes of this very line
    assert copy == target and hash(copy) == hash(target) and copy.digest == target.digest


def test_known_facts():
    wse2, wse3 = load_target("wse2"), load_target("wse3")
    assert (wse2.fabric_width, wse2.fabric_height) == (757 - 7, 996 - 2)
    assert (wse3.fabric_width, wse3.fabric_height) == (762 - 7, 1172 - 2)
    assert wse2.sram_bytes == wse3.sram_bytes == 49152
    assert (wse2.colors, wse2.host_colors, wse2.program_colors) == (24, 3, 21)
    assert (wse2.hop_cycles, wse3.hop_cycles) == (1, 2)
    assert wse2.fma_elements_per_cycle["f16"] == 4.0 and wse2.fma_elements_per_cycle["mixed"] == 2.0
    assert wse3.fma_elements_per_cycle["mixed"] == 4.0 and wse3.fma_elements_per_cycle["f32"] == 0.5
    assert (wse2.output_queues, wse3.output_queues) == (6, 8)
    assert wse2.pes == 745_500
    assert wse2.code_bytes(100) == 4176 + 3200


def test_what_is_calibrated_lies_where_the_silicon_study_measured_it():
    wse3 = load_target("wse3")
    assert 2.9 <= wse3.fma_elements_per_cycle["f16"] <= 5
    assert 15 <= wse3.issue_cycles + wse3.vector_setup_cycles + wse3.vector_issue_cycles <= 17


def test_the_fields_are_the_keys():
    fields = [field.name for field in dataclasses.fields(Target)]
    assert fields == ["name", *KEYS, "sources"]


def test_the_digest_is_of_the_numbers():
    target = load_target("wse2")
    assert dataclasses.replace(target, name="other", sources=()).digest == target.digest
    assert dataclasses.replace(target, hop_cycles=2).digest != target.digest
    rates = Rates(tuple((name, rate * 2) for name, rate in target.fma_elements_per_cycle.items()))
    assert dataclasses.replace(target, fma_elements_per_cycle=rates).digest != target.digest


def test_rates_are_a_mapping():
    rates = load_target("wse2").fma_elements_per_cycle
    assert dict(rates) == {"f16": 4.0, "mixed": 2.0, "bf16": 2.0, "f32": 0.5}
    with pytest.raises(KeyError):
        rates["f64"]


def test_every_preset_registers_as_a_plug_in_would():
    assert list(available_targets()) == sorted(available_targets())
    assert {path.stem for path in available_targets().values()} >= set(PRESETS)
    project = tomllib.loads((HERE.parents[2] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert set(project["entry-points"]["meshc.targets"]) == set(PRESETS)


def test_a_file_by_its_path(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(target_to_toml(load_target("wse3")).replace('name = "wse3"', 'name = "mine"'), encoding="utf-8")
    assert load_target(path).name == "mine"
    assert load_target(str(path)).hop_cycles == 2


def test_a_name_that_is_none():
    with pytest.raises(MeshError) as caught:
        load_target("wse4")
    assert caught.value.diagnostic.code == "M0610"
    assert caught.value.diagnostic.helps[0] == "did you mean 'wse3'?"


def test_a_file_that_is_none(tmp_path):
    for path in (tmp_path / "none.toml", tmp_path):
        with pytest.raises(MeshError) as caught:
            load_target(path)
        assert caught.value.diagnostic.code == "M0610"


def edited(case: str) -> str:
    """The tiny target with the edits that a case lists: 'old => new' lines; an empty old one appends."""
    text = target_to_toml(load_target("tiny"))
    for line in case.splitlines():
        old, _, new = line.partition(" => ")
        assert old in text
        text = text.replace(old, new, 1) if old else text + new + "\n"
    return text


@pytest.mark.parametrize("path", sorted((HERE / "errors").glob("*.edit")), ids=lambda path: path.stem)
def test_a_mistake_in_a_file_gets_its_diagnostic(path):
    with pytest.raises(MeshError) as caught:
        parse_target(edited(path.read_text(encoding="utf-8")), "mine.toml")
    assert caught.value.diagnostic.code in CATALOG
    assert str(caught.value) + "\n" == path.with_suffix(".err").read_text(encoding="utf-8")
