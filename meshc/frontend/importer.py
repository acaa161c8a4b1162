"""Importing: an exported program becomes graph IR, with its weights and inputs, and the passes that then follow."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch.export import ExportedProgram

from meshc.frontend.extents import symbol_values
from meshc.frontend.imported import ImportedModel, weights_digest
from meshc.frontend.interpreter import ImportedCall, Interpreter, MutationError
from meshc.frontend.static_cache import StaticCache, StaticCacheInterpreter
from meshc.ir.printer import print_module
from meshrt.diagnostics import MeshError

#: The graph passes, in order, that follow importing.
GRAPH_PIPELINE = (
    "canonicalize",
    "recognise-positions",
    "fuse-linear",
    "canonicalize",
    "split-projections",
    "recognise-softmax",
    "fuse-layer-norm",
    "fuse-rms-norm",
    "recognise-activations",
    "pack-norm-heads",
    "fuse-attention",
    "fuse-rope",
    "pack-heads",
    "canonicalize",
    "split-projections",
    "fuse-glu",
    "fold-weights",
    "canonicalize",
    "require-covered",
    "roll-layers",
)


def import_exported(
    exported: ExportedProgram,
    *,
    batch: int | None = None,
    seq: int | None = None,
    name: str = "model",
    tokenizer_files: Mapping[str, bytes] | None = None,
    record: list[ImportedCall] | None = None,
) -> ImportedModel:
    """The graph, weights and inputs of an exported program at one batch and sequence length.

    An export with a static cache is read as one of a prompt as long as the cache.
    ``record`` receives one row for each ATen call, in order, with the operations that it became.

    Raises M0107 and M0108 where the export does not allow these extents, M0111 where the model returns no
    tensor and M0112 where a shape depends on the values of the model's inputs.
    """
    with torch.no_grad():
        try:
            importer = Interpreter(exported, symbol_values(exported, batch, seq))
            importer.run()
        except MutationError:
            # Parts of the model write into their activations or a cache: let torch make the graph functional first.
            exported = functional(exported)
            symbols = symbol_values(exported, batch, seq)
            cache = StaticCache.of(exported)
            importer = StaticCacheInterpreter(exported, symbols, cache) if cache else Interpreter(exported, symbols)
            importer.run()
    if record is not None:
        record += importer.calls
    module = importer.module()
    used = {op.attributes["name"] for op in module.walk() if op.name == "graph.weight"}
    weights = {n: t for n, t in importer.sources.weights.items() if n in used}
    digest = weights_digest(print_module(module), weights)
    return ImportedModel(module, weights, tuple(importer.inputs), digest, name, dict(tokenizer_files or {}))


def functional(exported: ExportedProgram) -> ExportedProgram:
    """The export without writes in place. Raises M0114 where it writes into its constants."""
    try:
        return exported.run_decompositions({})
    except AssertionError as failure:
        raise MeshError(
            "M0114",
            "the export writes into tensors that are constants in it",
            notes=[str(failure).splitlines()[0]],
            helps=["register caches as buffers and export with strict=True, as transformers does by default"],
        ) from failure
