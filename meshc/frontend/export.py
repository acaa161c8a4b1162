"""``torch.export`` with the settings this compiler wants: inference mode, plain ATen operators, logits out."""

from __future__ import annotations

import copy
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch._dynamo.exc import TorchDynamoException
from torch.export import ExportedProgram

from meshc.frontend.quiet_torch import quiet_torch
from meshc.frontend.source_locations import FRAMEWORK, package_relative, strip_absolute_paths
from meshrt.diagnostics import MeshError

#: What torch.export raises when a model cannot be traced; a model's own forward may raise any of them too.
EXPORT_FAILURES = (
    RuntimeError,
    ValueError,
    TypeError,
    AttributeError,
    LookupError,
    AssertionError,
    NotImplementedError,
    TorchDynamoException,
)


def export_module(module: torch.nn.Module, example_inputs: Any, *, dynamic_shapes: Any = None) -> ExportedProgram:
    """Export a module for the compiler; its training mode and gradients are left as they were.

    ``example_inputs`` is one tensor, a sequence of positional inputs or a mapping of keyword inputs.
    A transformers model is exported so that it returns its logits alone and keeps no cache.
    ``dynamic_shapes`` is as in ``torch.export.export``; without it all shapes are static. Parameters on the
    meta device export as they are: such a program has shapes and no weights.

    Raises M0109 when torch.export cannot trace the module.
    """
    args, kwargs = _split_inputs(example_inputs)
    target = logits_only(module) if is_transformers_model(module) else module
    try:
        with _inference(target), quiet_torch(), torch.no_grad():
            exported = torch.export.export(target, args, kwargs, dynamic_shapes=dynamic_shapes, strict=False)
    except EXPORT_FAILURES as failure:
        raise MeshError(
            "M0109",
            f"torch.export cannot trace {type(module).__name__}",
            notes=[*_user_line(failure), _first_sentence(failure)],
            helps=[
                "make forward() free of Python branches on tensor values and of side effects",
                "torch.export.export(module, example_inputs, strict=False) alone shows the whole failure",
            ],
        ) from failure
    _drop_checks(exported)
    strip_absolute_paths(exported.graph_module)
    return exported


class LogitsOnly:
    """Base of the classes that :func:`logits_only` makes."""


def is_transformers_model(module: torch.nn.Module) -> bool:
    """Whether this is a Hugging Face transformers model as it comes (found without importing transformers)."""
    loaded = sys.modules.get("transformers.modeling_utils")
    return loaded is not None and isinstance(module, loaded.PreTrainedModel) and not isinstance(module, LogitsOnly)


def logits_only(model: torch.nn.Module) -> torch.nn.Module:
    """The same transformers model, sharing its weights and their names, whose forward(input_ids) gives logits.

    Its class is made a subclass rather than a wrapper, so that weights keep their own names. Logits are
    [batch, seq, vocabulary]; no key/value cache is kept.
    """
    base: Any = type(model)

    def forward(self: torch.nn.Module, input_ids: torch.Tensor) -> torch.Tensor:
        return base.forward(self, input_ids=input_ids, use_cache=False).logits

    view = copy.copy(model)
    view.__class__ = type(base.__name__, (LogitsOnly, base), {"forward": forward, "__module__": base.__module__})
    return view


def _drop_checks(exported: ExportedProgram) -> None:
    """Remove the checks that torch inserts before every cast: they hold by construction and compute nothing."""
    graph = exported.graph_module.graph
    for node in list(graph.nodes):
        if node.target is torch.ops.aten._assert_tensor_metadata.default:
            graph.erase_node(node)
    exported.graph_module.recompile()


@contextmanager
def _inference(module: torch.nn.Module) -> Iterator[None]:
    """Run with every submodule in inference mode; put each back afterwards."""
    training = [part for part in module.modules() if part.training]
    for part in training:
        part.training = False
    try:
        yield
    finally:
        for part in training:
            part.training = True


def _split_inputs(example_inputs: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    if isinstance(example_inputs, Mapping):
        return (), dict(example_inputs)
    if isinstance(example_inputs, torch.Tensor) or not isinstance(example_inputs, Sequence):
        return (example_inputs,), {}
    return tuple(example_inputs), {}


def _first_sentence(failure: BaseException) -> str:
    """What a failure says first: torch appends pages of advice and stack."""
    lines = [line.strip() for line in str(failure).splitlines() if line.strip()] or ["no message"]
    return f"{type(failure).__name__}: {lines[0].partition('  (')[0][:300]}"


def _user_line(failure: BaseException) -> list[str]:
    """Where in the user's code the failure happened: the innermost frame outside torch and this package."""
    found: list[str] = []
    frame = failure.__traceback__
    while frame is not None:
        file = package_relative(frame.tb_frame.f_code.co_filename)
        if frame.tb_frame.f_code.co_name == "forward" and not file.startswith(FRAMEWORK):
            found = [f"at {file}:{frame.tb_lineno}"]
        frame = frame.tb_next
    return found
