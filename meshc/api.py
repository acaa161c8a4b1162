"""The Python interface: :func:`compile`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch.export import ExportedProgram

from meshc.driver import CompiledModel, compile_model
from meshc.frontend.export import export_module
from meshc.options import WRITING, CompileOptions


def compile(
    model: torch.nn.Module | ExportedProgram,
    example_inputs: Sequence[torch.Tensor] = (),
    *,
    name: str = "model",
    **options: Any,
) -> CompiledModel:
    """Compile a module (traced with the example inputs) or an exported program.

    ``example_inputs`` are those of the module's forward: token ids, int64 [batch, sequence];
    their extents are the build's (in decode, their tokens the context) unless ``batch``, ``seq``
    and ``context`` say otherwise. ``options`` are
    the fields of :class:`meshc.options.CompileOptions` (``target``, ``grid``, ``dtype``, ..).
    Raises :class:`meshrt.diagnostics.MeshError` for whatever cannot be traced or compiled.
    """
    if isinstance(model, ExportedProgram):
        return compile_model(model, CompileOptions(**options), name=name)
    inputs = tuple(example_inputs)
    exported = export_module(model, inputs)
    if inputs and inputs[0].dim() == 2:
        batch, seq = inputs[0].shape
        # The prompts of a build that writes may be of other lengths: the export's is the context.
        extents = {"batch": batch} if options.get("phase") in WRITING else {"batch": batch, "seq": seq}
        options = {**extents, **options}
    return compile_model(exported, CompileOptions(**options), name=name)
