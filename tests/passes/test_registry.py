"""The registry: every built-in pass is declared, under its own name, in a file of its own."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import json
from pathlib import Path

import pytest

import meshc.passes
from meshc.passes.base import Pass
from meshc.passes.pass_options import options_of
from meshc.passes.pipeline import parse_pipeline, pipeline_text
from meshc.passes.registry import PassRegistry, find_pass
from meshrt.diagnostics import MeshError

FOLDER = Path(next(iter(meshc.passes.__path__)))


def defined() -> dict[str, tuple[type[Pass], Path]]:
    """Every pass class in the package, by its name, with its file."""
    found: dict[str, tuple[type[Pass], Path]] = {}
    for path in sorted(FOLDER.glob("*.py")):
        module = importlib.import_module(f"meshc.passes.{path.stem}")
        for _, cls in inspect.getmembers(module, inspect.isclass):
            if issubclass(cls, Pass) and cls is not Pass and cls.__module__ == module.__name__:
                found[cls.name] = (cls, path)
    return found


def test_every_pass_is_declared():
    registry = PassRegistry()
    assert {name: cls for name, (cls, _) in defined().items()} == {
        name: registry[name] for name in registry if registry[name].__module__.startswith("meshc.")
    }


def test_names_follow_files_and_passes_are_frozen():
    for name, (cls, path) in defined().items():
        assert path.stem == name.replace("-", "_")
        assert dataclasses.is_dataclass(cls) and cls.__dataclass_params__.frozen  # type: ignore[attr-defined]
        assert cls.__doc__
        for option in options_of(cls).values():
            assert option.default is not dataclasses.MISSING, f"{name}: {option.name} has no default"


def test_every_pass_has_a_pipeline_text():
    passes = tuple(cls() for _, (cls, _) in sorted(defined().items()))
    assert parse_pipeline(pipeline_text(passes)) == passes


def test_an_unknown_pass_is_an_error_with_a_suggestion():
    name, *_ = PassRegistry()
    with pytest.raises(MeshError) as caught:
        find_pass(name + "x", PassRegistry())
    assert caught.value.diagnostic.code == "M0661"
    assert f"did you mean {name!r}?" in str(caught.value)


def test_defaults_can_be_written_as_json():
    for cls, _ in defined().values():
        json.dumps({name: option.default for name, option in options_of(cls).items()})
