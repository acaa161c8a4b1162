"""TorchScript archives, converted with torch's own TorchScript-to-ExportedProgram converter.

Two things are added to what torch does. Every operator gets the source line and the module path that the
archive recorded for it. And what a trace computes from shapes (``size`` -> ``NumToTensor`` ->
``floor_divide`` -> ``Int``) is evaluated for the one shape asked for, see
:mod:`meshc.frontend.shape_arithmetic`; left in the graph it would make shapes depend on tensor values.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch.export import ExportedProgram

from meshc.frontend.export import EXPORT_FAILURES, export_module
from meshc.frontend.quiet_torch import quiet_torch
from meshc.frontend.shape_arithmetic import fold_shape_arithmetic
from meshc.frontend.source_locations import strip_absolute_paths
from meshrt.diagnostics import MeshError, Place

#: ``/path/modeling_llama.py(248): forward``, a frame as a trace records it.
_TRACED_FRAME = re.compile(r"^\s*(?P<file>[^\s()<>][^()<>]*)\((?P<line>\d+)\): (?P<function>\S+)$", re.MULTILINE)

#: ``File "/path/model.py", line 12``, a frame as a script records it.
_SCRIPTED_FRAME = re.compile(r'^(?P<serialized>Serialized)?\s*File "(?P<file>[^"]+)", line (?P<line>\d+)', re.MULTILINE)


def convert_torchscript(path: Path, batch: int | None, seq: int | None) -> ExportedProgram:
    """Convert a TorchScript archive for int64 token ids of [batch, seq]; batch 1 when it is not given.

    Raises M0107 without ``seq``, M0102 for a damaged archive and M0106 when the converter cannot convert it.
    """
    if seq is None:
        raise MeshError(
            "M0107",
            f"{path.name} is TorchScript, which has no shapes of its own: the sequence length must be given",
            place=Place(str(path)),
            helps=["add --seq N, the longest prompt in tokens (and --batch N where it is not 1)"],
        )
    sample = torch.zeros((1 if batch is None else batch, seq), dtype=torch.int64)
    try:
        script: Any = torch.jit.load(str(path), map_location="cpu")
    except (RuntimeError, ValueError, OSError) as failure:
        raise MeshError(
            "M0102",
            f"{path.name} is a TorchScript archive that cannot be read",
            place=Place(str(path)),
            notes=[_first_line(failure)],
            helps=["copy or export the model again"],
        ) from failure
    _check_inputs(script, path)
    script.eval()
    try:
        with quiet_torch(), torch.no_grad():
            exported = _convert(script, sample)
    except (*EXPORT_FAILURES, MeshError) as failure:
        notes = list(failure.diagnostic.notes) if isinstance(failure, MeshError) else [_first_line(failure)]
        raise MeshError(
            "M0106",
            f"{path.name} cannot be converted from TorchScript for token ids of {list(sample.shape)}",
            place=Place(str(path)),
            notes=notes,
            helps=[
                "a trace may have its example's shape built in: try the --batch and --seq that it was traced with",
                "or make a .pt2, which needs no conversion, where the model's code is: meshc trace file.py:function",
            ],
        ) from failure
    strip_absolute_paths(exported.graph_module)
    return exported


def _check_inputs(script: Any, path: Path) -> None:
    """Only models of one input, the token ids, can be given a sample: TorchScript has no shapes to go by."""
    arguments = [a for a in script.forward.schema.arguments if a.name != "self"]
    needed = [a.name for a in arguments if not a.has_default_value()]
    if len(needed) <= 1 and arguments:
        return
    raise MeshError(
        "M0106",
        f"the forward of {path.name} takes {len(needed)} inputs, and token ids alone can be given to TorchScript",
        place=Place(str(path)),
        notes=[f"inputs: {', '.join(needed) or 'none'}"],
        helps=["trace a wrapper whose forward takes input_ids only, or export it with torch.export"],
    )


def _convert(script: Any, sample: torch.Tensor) -> ExportedProgram:
    # The converter is imported here: it pulls in torch's quantization passes, which no other input needs.
    from torch._export import converter as torch_converter

    classes = {path: module.original_name for path, module in script.named_modules()}

    class LocatedGraphConverter(torch_converter.TS2FXGraphConverter):
        """The converter's graph builder, which also notes where each operator comes from."""

        def convert_node(self, node: Any) -> None:
            before = len(self.fx_graph.nodes)
            super().convert_node(node)
            added = len(self.fx_graph.nodes) - before
            if added:
                meta = _source_meta(node.sourceRange(), node.scopeName(), classes)
                last = list(self.fx_graph.nodes)[-added:]
                for new in last:
                    new.meta.update(meta)

    conversion = torch_converter.TS2EPConverter(script, (sample,))
    attributes, names = torch_converter.get_block_to_lifted_attrs(conversion.ts_graph)
    graph_converter = LocatedGraphConverter(
        conversion.ts_graph,
        conversion.name_to_param,
        conversion.name_to_buffer,
        attributes,
        conversion.name_to_non_tensor_attributes,
        conversion.name_to_constant,
        names,
    )
    module = graph_converter.convert()
    constants = [name for name, held in graph_converter.name_to_constant.items() if isinstance(held, torch.Tensor)]
    _name_inputs(module, [a.name for a in script.forward.schema.arguments if a.name != "self"])
    fold_shape_arithmetic(module, (sample,), constants)
    return export_module(module, (sample,))


def _name_inputs(module: torch.fx.GraphModule, names: Sequence[str]) -> None:
    """Give the inputs the names of the model's forward again (the converter numbers them)."""
    placeholders = [n for n in module.graph.nodes if n.op == "placeholder"]
    for node, name in zip(placeholders, names, strict=False):
        node.target = name
        node.name = name
    module.recompile()


def _source_meta(source: str, scope: str, classes: Mapping[str, str]) -> dict[str, Any]:
    """An operator's recorded source range and scope as the metadata that torch.export writes."""
    meta: dict[str, Any] = {"nn_module_stack": _module_stack(scope, classes)}
    frames = [(m["file"], m["line"]) for m in _TRACED_FRAME.finditer(source) if m["function"] == "forward"]
    if not frames:
        scripted = [m for m in _SCRIPTED_FRAME.finditer(source) if m["file"] and not m["serialized"]]
        frames = [(m["file"], m["line"]) for m in scripted]
    if frames:
        # Recorded innermost first; Python prints the innermost last.
        lines = [f'File "{file}", line {line}, in forward' for file, line in reversed(frames)]
        meta["stack_trace"] = "\n".join(lines)
    return meta


def _module_stack(scope: str, classes: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    """``Root::/Model::model/Layer::layers.0`` as nested module paths, keyed as torch.export keys them.

    ``classes`` maps the paths of the model's modules to the names of their classes.
    """
    stack: dict[str, tuple[str, str]] = {}
    path = ""
    for step in scope.split("/"):
        kind, _, name = step.partition("::")
        if name:
            path = _module_path(path, name, kind.rpartition(".")[2], classes)
        stack[f"L__self__{path}"] = (path, kind.removeprefix("__torch__."))
    return stack


def _module_path(parent: str, name: str, kind: str, classes: Mapping[str, str]) -> str:
    """The path of a called module. torch names it from its parent, or by its last part only (``0`` of a list)."""
    inside = f"{parent}." if parent else ""
    if inside + name in classes:
        return inside + name
    found = [p for p, held in classes.items() if held == kind and p.startswith(inside) and p.endswith(f".{name}")]
    return found[0] if len(found) == 1 else inside + name


def _first_line(failure: BaseException) -> str:
    lines = [line.strip() for line in str(failure).splitlines() if line.strip()]
    return f"{type(failure).__name__}: {lines[0][:300]}" if lines else type(failure).__name__
