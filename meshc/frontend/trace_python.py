"""``file.py:function``: the user's own model, from a function that returns (module, example_inputs)."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import torch

from meshrt.diagnostics import MeshError, Place

_HELP = "the function returns (module, example_inputs), such as (model, (torch.zeros(1, 16, dtype=torch.int64),))"


def split_source(source: str) -> tuple[Path, str] | None:
    """``file.py:function`` as (file, function); None for a source of another form."""
    file, colon, function = source.rpartition(":")
    if colon and file.endswith(".py") and function.isidentifier():
        return Path(file), function
    return None


def python_model(file: Path, function: str) -> tuple[torch.nn.Module, Any]:
    """Import the file, call the function, and check what it returns.

    The file's directory is on the import path meanwhile, as it is for ``python file.py``. What the file itself
    raises is reported as M0115 with its line.
    """
    place = Place(str(file))
    if not file.is_file():
        raise MeshError("M0115", f"there is no file {file.name}", place=place, helps=[_HELP])
    module = _load(file)
    build = getattr(module, function, None)
    if not callable(build):
        names = sorted(n for n, held in vars(module).items() if callable(held) and not n.startswith("_"))
        notes = [f"it defines {', '.join(names[:8])}"] if names else []
        raise MeshError("M0115", f"{file.name} has no function {function}", place=place, notes=notes, helps=[_HELP])
    result = _guarded(file, build)
    if not (isinstance(result, tuple) and len(result) == 2 and isinstance(result[0], torch.nn.Module)):
        raise MeshError(
            "M0115",
            f"{function} in {file.name} returned {_describe(result)}, not a module and its example inputs",
            place=place,
            helps=[_HELP],
        )
    return result


def _load(file: Path) -> Any:
    spec = importlib.util.spec_from_file_location(file.stem, file)
    assert spec is not None
    assert spec.loader is not None
    loader = spec.loader
    module = importlib.util.module_from_spec(spec)
    # Classes of the file are looked up by module name (dataclasses, torch.export's names of classes).
    sys.modules[file.stem] = module
    directory = str(file.resolve().parent)
    sys.path.insert(0, directory)
    try:
        _guarded(file, lambda: loader.exec_module(module))
    finally:
        sys.path.remove(directory)
    return module


def _guarded(file: Path, work: Any) -> Any:
    """Run the user's code; what it raises is the user's to fix, so it is told with its line and no traceback."""
    try:
        return work()
    except (
        ArithmeticError,
        AssertionError,
        AttributeError,
        ImportError,
        LookupError,
        NameError,
        OSError,
        RuntimeError,
        SyntaxError,
        TypeError,
        ValueError,
    ) as failure:
        raise MeshError(
            "M0115",
            f"{file.name} failed: {type(failure).__name__}: {failure}",
            place=Place(str(file), _line_in(file, failure)),
            helps=[f"run it alone to see the whole traceback: python {file.name}"],
        ) from failure


def _line_in(file: Path, failure: BaseException) -> int:
    """The innermost line of the file that the failure passed through; 0 when there is none."""
    if isinstance(failure, SyntaxError) and failure.filename and Path(failure.filename) == file:
        return failure.lineno or 0
    line, frame = 0, failure.__traceback__
    while frame is not None:
        if Path(frame.tb_frame.f_code.co_filename) == file:
            line = frame.tb_lineno
        frame = frame.tb_next
    return line


def _describe(result: Any) -> str:
    if isinstance(result, tuple):
        return f"a tuple of {len(result)} ({', '.join(type(part).__name__ for part in result)})"
    return f"{type(result).__name__}"
