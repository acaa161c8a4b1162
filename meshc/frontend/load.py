"""Load a model file into an exported program: torch.export archives and TorchScript archives."""

from __future__ import annotations

import struct
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from meshrt.diagnostics import MeshError, Place
from torch.export import ExportedProgram

from meshc.frontend.archive import Kind, identify
from meshc.frontend.specialise import static_extents
from meshc.frontend.torchscript import convert_torchscript

#: Files stored beside the program by ``meshc trace`` are under this prefix in the archive's extra files.
TOKENIZER_PREFIX = "tokenizer/"

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
    :func:`meshc.frontend.specialise.specialise` fixes its extents.

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
    try:
        return torch.export.load(path)
    except _READ_FAILURES as failure:
        text = str(failure)
        lines = [line.strip() for line in text.splitlines() if line.strip()] or [type(failure).__name__]
        raise MeshError(
            "M0105",
            f"{path.name} is a torch.export archive that torch {torch.__version__.partition('+')[0]} cannot read",
            place=Place(str(path)),
            notes=[lines[0][:300]],
            helps=[
                "export the model again with this version of torch",
                "a forward that returns a class of another package needs a plain tensor as its result",
            ],
        ) from failure


def _extra_files(path: Path) -> dict[str, bytes]:
    """The archive's extra files as bytes (torch's own reader would decode them as text)."""
    found: dict[str, bytes] = {}
    with zipfile.ZipFile(path) as archive:
        for name in sorted(archive.namelist()):
            _, marker, rest = name.partition("/extra/")
            if marker and rest:
                found[rest] = archive.read(name)
    return found
