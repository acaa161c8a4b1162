"""Source locations of exported graphs: from torch's stack traces to lines relative to their package.

An export records, for every node, the Python frames that ran it (with the absolute paths of
the machine that traced it) and the stack of modules that were running. This file turns both
into a :class:`meshc.ir.core.Location` that says the same on every machine.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath

import torch

from meshc.ir.core import UNKNOWN, Location

_FRAME = re.compile(r'^\s*File "(?P<file>[^"]+)", line (?P<line>\d+)', re.MULTILINE)

#: Directories whose children are packages: what follows the last of them is package-relative.
_PACKAGE_DIRECTORIES = ("site-packages", "dist-packages")

#: This package's directory, installed or not.
_OWN_PACKAGE = Path(__file__).resolve().parents[1].as_posix()

#: Path prefixes of frames that are never the user's line: the framework and this compiler's own wrappers.
FRAMEWORK = ("torch/", "meshc/")

#: Building blocks that models call (activations, Conv1D, attention functions): the line of the model that
#: called them says more. Model code lies under ``transformers/models``.
_BUILDING_BLOCKS = "transformers/"
_MODEL_CODE = "transformers/models/"


def node_location(node: torch.fx.Node) -> Location:
    """The user's innermost line that made this node, and the path of the module that ran it.

    Frames of torch itself are passed over (the line that *called* ``nn.Linear`` counts, not the one inside
    it), and those of transformers' building blocks where a line of the model called them. The file is relative
    to its package; a file of no known package is given by its name alone, so that no machine's directories
    reach the output. Nodes without a trace give :data:`meshc.ir.core.UNKNOWN`.
    """
    modules = module_stack(node)
    scope = modules[-1][0] if modules else ""
    packages = [class_name.partition(".")[0] for _, class_name in modules]
    frames = _FRAME.findall(node.meta.get("stack_trace") or "")
    candidates = [(package_relative(file, packages), int(line)) for file, line in reversed(frames)]
    candidates = [frame for frame in candidates if not frame[0].startswith(FRAMEWORK)]
    if not candidates:
        return Location(scope=scope) if scope else UNKNOWN
    file, line = next((frame for frame in candidates if _is_model_code(frame[0])), candidates[0])
    return Location(file, line, scope)


def module_stack(node: torch.fx.Node) -> list[tuple[str, str]]:
    """The modules running at a node, outermost first, as (path in the model, qualified class name)."""
    found = []
    for path, kind in (node.meta.get("nn_module_stack") or {}).values():
        name = kind if isinstance(kind, str) else f"{kind.__module__}.{kind.__qualname__}"
        found.append((_clean_scope(path), name))
    return found


def package_relative(file: str, packages: Iterable[str] = ()) -> str:
    """A source path as seen from the directory that holds its package; no absolute path ever comes out.

    ``packages`` are top-level names that the model's classes come from: they find the package of a file that
    is not installed (a checkout, an editable install). Paths that are relative already are left as they are,
    provided that they do not climb out (``..``).
    """
    file = file.replace("\\", "/")
    path = PurePosixPath(file)
    parts = path.parts
    if file.startswith(_OWN_PACKAGE + "/"):
        return "meshc" + file[len(_OWN_PACKAGE) :]
    for i in range(len(parts) - 1, -1, -1):
        if parts[i] in _PACKAGE_DIRECTORIES:
            return "/".join(parts[i + 1 :])
    if not path.is_absolute() and not re.match(r"^[A-Za-z]:", file) and ".." not in parts:
        return str(path)
    known = {name for name in packages if name not in ("", "__main__", "builtins")}
    for i in range(len(parts) - 2, -1, -1):
        if parts[i] in known:
            return "/".join(parts[i:])
    return path.name


def relative_stack_trace(trace: str, packages: Sequence[str] = ()) -> str:
    """A stack trace with each file's path made package-relative (what ``meshc trace`` stores)."""

    def rewrite(match: re.Match[str]) -> str:
        return match.group(0).replace(match.group("file"), package_relative(match.group("file"), packages))

    return _FRAME.sub(rewrite, trace)


def strip_absolute_paths(graph_module: torch.fx.GraphModule) -> None:
    """Make every stack trace of an export, nested graphs included, package-relative in place."""
    for module in graph_module.modules():
        if not isinstance(module, torch.fx.GraphModule):
            continue
        for node in module.graph.nodes:
            trace = node.meta.get("stack_trace")
            if trace:
                packages = [name.partition(".")[0] for _, name in module_stack(node)]
                node.meta["stack_trace"] = relative_stack_trace(trace, packages)


def _is_model_code(file: str) -> bool:
    return file.startswith(_MODEL_CODE) or not file.startswith(_BUILDING_BLOCKS)


def _clean_scope(path: str) -> str:
    """``L['self'].model.layers[0]`` and ``model.layers.slice(None, 2, None).0`` as dotted paths."""
    path = re.sub(r"^L\['self'\]\.?|^L__self__\.?", "", path)
    path = re.sub(r"\.slice\([^)]*\)", "", path)
    path = re.sub(r"\[['\"]?([^'\"\]]+)['\"]?\]", r".\1", path)
    return re.sub(r"@\d+$", "", path)
