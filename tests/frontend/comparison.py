"""Import a module, run the graph passes, and compare the graph with the module itself."""

from __future__ import annotations

import torch
from torch.export import ExportedProgram

from meshc.dialects.graph_coverage import unsupported
from meshc.frontend.export import export_module
from meshc.frontend.importer import GRAPH_PIPELINE, import_exported
from meshc.ir.core import Module
from meshc.passes.base import PassContext
from meshc.passes.pipeline import parse_pipeline, run_pipeline
from tests.graph_reference import run_graph


def graph_of(
    exported: ExportedProgram, batch: int | None = None, seq: int | None = None
) -> tuple[Module, dict[str, torch.Tensor]]:
    """The graph after all graph passes, and the weights it names."""
    imported = import_exported(exported, batch=batch, seq=seq)
    weights = dict(imported.weights)
    run_pipeline(imported.module, parse_pipeline(",".join(GRAPH_PIPELINE)), PassContext(weights))
    assert unsupported(imported.module) == []
    return imported.module, weights


def agreeing_graph(
    model: torch.nn.Module,
    ids: torch.Tensor,
    exported: ExportedProgram | None = None,
    *,
    tolerance: float = 1e-5,
) -> Module:
    """The graph of a model, which gives the model's logits on these token ids (relative to the largest)."""
    exported = export_module(model, (ids,)) if exported is None else exported
    module, weights = graph_of(exported, *ids.shape)
    with torch.no_grad():
        wanted = model(ids)
    found = run_graph(module, weights, ids)
    assert float((found - wanted).abs().max() / wanted.abs().max()) < tolerance
    return module


def operations(module: Module) -> list[str]:
    """The operations' names, without their dialect, in order."""
    return [op.name.removeprefix("graph.") for op in module.walk()]


def only(module: Module, name: str) -> dict[str, object]:
    """The attributes of the first operation of this name."""
    return next(op.attributes for op in module.walk() if op.name == f"graph.{name}")
