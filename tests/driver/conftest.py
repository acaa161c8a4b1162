"""Tiny exported models, shared by the tests of the driver."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from torch.export import ExportedProgram

from meshc.frontend.export import export_module
from tests.models import tiny, token_ids


@pytest.fixture(scope="session")
def llama() -> Callable[..., ExportedProgram]:
    """A tiny Llama with so many layers, for prompts of up to eight tokens; each is exported once."""
    made: dict[int, ExportedProgram] = {}

    def exported(layers: int = 2) -> ExportedProgram:
        if layers not in made:
            made[layers] = export_module(tiny("llama", num_hidden_layers=layers), (token_ids(1, 8),))
        return made[layers]

    return exported
