"""The IR of real models, at every level and after every pass, reads back as it was printed."""

from __future__ import annotations

import pytest
import torch

from meshc import driver
from meshc.dialects.levels import parse_module
from meshc.frontend.importer import import_exported
from meshc.ir.core import Module
from meshc.ir.equality import difference
from meshc.ir.printer import print_module
from meshc.options import CompileOptions
from meshc.passes.base import Pass, PassContext
from meshc.passes.pipeline import parse_pipeline, run_pipeline
from meshrt.target.loader import load_target
from tests.models import tiny, token_ids


@pytest.mark.parametrize("family", ["llama", "gpt2", "qwen3"])
def test_after_every_pass(family):
    exported = torch.export.export(tiny(family), (token_ids(1, 12),))
    imported = import_exported(exported, batch=1, seq=12)
    options = CompileOptions(target="tiny", grid=(4, 4), dtype="f32", seq=12)
    context = PassContext(imported.weights, options, load_target("tiny"))
    seen: list[str] = []

    def observe(each: Pass, module: Module) -> None:
        seen.append(module.level)
        text = print_module(module)
        again = parse_module(text, each.name)
        assert difference(module, again) is None
        assert print_module(again) == text

    run_pipeline(imported.module, parse_pipeline(driver.DEFAULT_PIPELINE), context, observe=observe)
    assert set(seen) == {"graph", "tile", "mesh"}
