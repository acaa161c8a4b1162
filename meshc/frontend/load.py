"""Load a model file into an exported program: torch.export archives and TorchScript archives."""

from __future__ import annotations

import importlib
import logging
import os
import pickle
import struct
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

import torch
from torch.export import ExportedProgram

from meshc.frontend.archive import Kind, identify
from meshc.frontend.bundle import TOKENIZER_PREFIX
from meshc.frontend.extents import static_extents
from meshc.frontend.torchscript import convert_torchscript
from meshrt.diagnostics import MeshError, Place

#: What torch's readers raise on an archive that is damaged inside, or of a version they do not know.
_READ_FAILURES = (
    RuntimeError,
    ValueError,
    TypeError,
    AttributeError,
    LookupError,
    AssertionError,
    NotImplementedError,
    OSError,
    EOFError,
    struct.error,
    zipfile.BadZipFile,
)

#: Environment variables that switch torch.load's unpickling of arbitrary objects off and on.
_UNPICKLING_SWITCHES = ("TORCH_FORCE_WEIGHTS_ONLY_LOAD", "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD")

#: Names of an archive's constants that are Python objects rather than tensors.
_PICKLED_CONSTANTS = ("custom_obj_", "opaque_obj_")


@dataclass(frozen=True)
class Loaded:
    """A model file, loaded.

    ``batch`` and ``seq`` are the extents of the token input that the export fixes (None where dynamic);
    ``extra_files`` what the archive holds beside the program (``tokenizer/tokenizer.json``, ...) by name.
    """

    exported_program: ExportedProgram
    kind: Kind
    batch: int | None
    seq: int | None
    extra_files: Mapping[str, bytes] = field(default_factory=dict)

    @property
    def tokenizer_files(self) -> dict[str, bytes]:
        """The tokenizer's files by their own names; empty when the model has none."""
        cut = len(TOKENIZER_PREFIX)
        return {n[cut:]: data for n, data in sorted(self.extra_files.items()) if n.startswith(TOKENIZER_PREFIX)}


def load_exported(path: str | Path, batch: int | None = None, seq: int | None = None) -> Loaded:
    """Load a ``.pt2`` or a TorchScript ``.pt``; what is inside decides, not the name.

    ``batch`` and ``seq`` matter to TorchScript only, which has no shapes of its own: it is converted for
    int64 [batch, seq] (batch 1 when not given; M0107 without ``seq``). An exported program is given as it is;
    :func:`meshc.frontend.extents.symbol_values` says what extents it allows.

    Raises the diagnostics of :func:`meshc.frontend.archive.identify`, M0105 for an archive that torch cannot
    read, M0106 for TorchScript that cannot be converted.
    """
    path = Path(path)
    kind = identify(path)
    if kind is Kind.TORCHSCRIPT:
        exported, extra = convert_torchscript(path, batch, seq), {}
    else:
        extra = _extra_files(path)
        exported = _read_exported(path)
    fixed_batch, fixed_seq = static_extents(exported)
    return Loaded(exported, kind, fixed_batch, fixed_seq, extra)


def _read_exported(path: Path) -> ExportedProgram:
    _refuse_pickled_constants(path)
    with _torch_warnings() as warned:
        try:
            try:
                return _load_without_pickle(path)
            except RuntimeError:
                # A forward that returns transformers' own class can be read once that class is known.
                if not _needs_transformers(path) or find_spec("transformers") is None:
                    raise
                importlib.import_module("transformers.modeling_outputs")
                return _load_without_pickle(path)
        except pickle.UnpicklingError as failure:
            raise _pickled(path) from failure
        except _READ_FAILURES as failure:
            lines = [line.strip() for text in (*warned, str(failure)) for line in text.splitlines() if line.strip()]
            helps = ["export the model again with this version of torch"]
            if _needs_transformers(path):
                helps.append("its forward returns a class of transformers: return the logits alone, or use meshc trace")
            raise MeshError(
                "M0105",
                f"{path.name} is a torch.export archive that torch {torch.__version__.partition('+')[0]} cannot read",
                place=Place(str(path)),
                notes=[lines[0][:300] if lines else type(failure).__name__],
                helps=helps,
            ) from failure


def _load_without_pickle(path: Path) -> ExportedProgram:
    """``torch.export.load`` without its fallback to unpickling whatever the archive holds."""
    before = {name: os.environ.pop(name, None) for name in _UNPICKLING_SWITCHES}
    os.environ[_UNPICKLING_SWITCHES[0]] = "1"
    try:
        return torch.export.load(path)
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


def _refuse_pickled_constants(path: Path) -> None:
    """Refuse an archive with the two kinds of constant that torch reads with plain pickle."""
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            folder, _, member = name.rpartition("/")
            if folder.endswith("data/constants") and member.startswith(_PICKLED_CONSTANTS):
                raise _pickled(path)


def _pickled(path: Path) -> MeshError:
    return MeshError(
        "M0104",
        f"{path.name} holds pickled Python objects, which are never loaded: reading a pickle runs code from it",
        place=Place(str(path)),
        helps=["export a module whose inputs, weights and constants are plain tensors"],
    )


def _needs_transformers(path: Path) -> bool:
    """Whether what forward takes or returns is of a class of transformers."""
    with zipfile.ZipFile(path) as archive:
        programs = [name for name in archive.namelist() if "/models/" in name and name.endswith(".json")]
        return any(b"transformers.modeling_outputs." in archive.read(name) for name in programs)


@contextmanager
def _torch_warnings() -> Iterator[list[str]]:
    """Collect what torch.export would log: its reader logs the cause of a failure and then raises another."""
    collected: list[str] = []

    class Collector(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            cause = record.exc_info[1] if record.exc_info else None
            if cause is not None:
                collected.append(f"{type(cause).__name__}: {cause}")

    log = logging.getLogger("torch.export")
    handler, propagate, handlers = Collector(), log.propagate, list(log.handlers)
    log.propagate, log.handlers = False, [handler]
    try:
        yield collected
    finally:
        log.propagate, log.handlers = propagate, handlers


def _extra_files(path: Path) -> dict[str, bytes]:
    """The archive's extra files as bytes (torch's own reader would decode them as text)."""
    found: dict[str, bytes] = {}
    with zipfile.ZipFile(path) as archive:
        for name in sorted(archive.namelist()):
            _, marker, rest = name.partition("/extra/")
            if marker and rest:
                found[rest] = archive.read(name)
    return found
