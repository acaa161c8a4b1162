"""What a model file is, decided by its content and never by its name.

Nothing is unpickled here or anywhere in the front end: a pickle runs code of its author's choosing when it
is read, so a pickled module is recognised by its first bytes or by its archive members and refused.
"""

from __future__ import annotations

import zipfile
from enum import Enum
from pathlib import Path

from meshrt.diagnostics import MeshError, Place


class Kind(Enum):
    """The two kinds of model file that can be compiled."""

    EXPORTED = "exported program"
    TORCHSCRIPT = "TorchScript archive"


#: First bytes of files that are taken for models, what they are, and what to do about it.
_OTHER_FORMATS: tuple[tuple[bytes, str, str], ...] = (
    (b"GGUF", "a GGUF file", "meshc trace {name} -o model.pt2"),
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file", "build the PyTorch model, then meshc trace file.py:function"),
    (b"\x7fELF", "a compiled library", "compile the export that it was built from"),
    (b"\x1f\x8b", "a gzip file", "unpack it first"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z file", "unpack it first"),
)

_EXPORT_HELPS = (
    "export it where the model's code is: torch.export.save(torch.export.export(model, (input_ids,)), 'model.pt2')",
    "or write a function that builds the model and loads these weights, and: meshc trace file.py:function -o model.pt2",
)


def identify(path: Path) -> Kind:
    """The kind of a model file.

    Raises M0101 (missing, a directory, unreadable), M0102 (empty, truncated or damaged), M0103 (another
    format), M0104 (a pickled module or a bare state dict).
    """
    head = _first_bytes(path)
    place = Place(str(path))
    if not head:
        raise MeshError(
            "M0102", f"{path.name} is empty", place=place, helps=["copy or export the model again: this holds nothing"]
        )
    if head.startswith(b"PK"):
        return _identify_zip(path, place)
    if head[0] == 0x80 or head.startswith(b"\x00\x00\x00\x00ustar") or _is_tar(path):
        raise _pickled(path, place, "a pickle (a module or a state dict saved with torch.save)")
    for magic, what, advice in _OTHER_FORMATS:
        if head.startswith(magic):
            raise _other_format(path, place, what, advice.format(name=path.name))
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") < 1 << 32:
        advice = "give meshc trace the folder that holds it with config.json: meshc trace FOLDER -o model.pt2"
        raise _other_format(path, place, "a safetensors file: weights without a model", advice)
    raise MeshError(
        "M0103",
        f"{path.name} is neither a torch.export archive (.pt2) nor a TorchScript archive",
        place=place,
        notes=[f"it begins with {_printable(head[:16])}"],
        helps=["make a .pt2 with meshc trace, or with torch.export.save"],
    )


def _first_bytes(path: Path) -> bytes:
    place = Place(str(path))
    if path.is_dir():
        helps = ["meshc compile takes a file: a .pt2 or a TorchScript archive"]
        if (path / "config.json").exists():
            helps = [f"this looks like a Hugging Face model: meshc trace {path.name} -o model.pt2"]
        raise MeshError("M0101", f"{path.name or path} is a directory, not a model file", place=place, helps=helps)
    try:
        with path.open("rb") as file:
            return file.read(64)
    except FileNotFoundError:
        raise MeshError("M0101", f"there is no model file {path.name}", place=place, helps=_similar(path)) from None
    except OSError as failure:
        raise MeshError("M0101", f"{path.name} cannot be read: {failure.strerror or failure}", place=place) from failure


def _similar(path: Path) -> list[str]:
    """Model files beside the missing one, so that a slip of the name is seen at once."""
    if not path.parent.is_dir():
        return [f"the directory {path.parent.name} does not exist either"]
    beside = sorted(p.name for p in path.parent.iterdir() if p.suffix in (".pt2", ".pt", ".pth") and p.is_file())
    return [f"model files in that directory: {', '.join(beside[:8])}"] if beside else ["check the path"]


def _identify_zip(path: Path, place: Place) -> Kind:
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.namelist()
    except (zipfile.BadZipFile, OSError, EOFError):
        raise MeshError(
            "M0102",
            f"{path.name} is cut off or damaged: its archive has no valid directory at its end",
            place=place,
            helps=["copy or export the model again, and compare the sizes"],
        ) from None
    inner = {name.partition("/")[2] for name in members}
    if "archive_format" in inner or any(n.startswith("models/") and n.endswith(".json") for n in inner):
        return Kind.EXPORTED
    if "serialized_exported_program.json" in members or "serialized_exported_program.json" in inner:
        return Kind.EXPORTED
    if any(n.startswith("code/") for n in inner) and "data.pkl" in inner:
        return Kind.TORCHSCRIPT
    if "data.pkl" in inner:
        raise _pickled(path, place, "a pickled module or state dict (an archive with data.pkl and no code)")
    raise MeshError(
        "M0103",
        f"{path.name} is a zip archive, but not one of a model",
        place=place,
        notes=[f"it holds {', '.join(sorted(members)[:4]) or 'nothing'}"],
        helps=["make a .pt2 with meshc trace, or with torch.export.save"],
    )


def _is_tar(path: Path) -> bool:
    """Old torch.save (before 0.1.10) wrote tar archives of pickles."""
    with path.open("rb") as file:
        file.seek(257)
        return file.read(5) == b"ustar"


def _pickled(path: Path, place: Place, what: str) -> MeshError:
    return MeshError(
        "M0104",
        f"{path.name} is {what}, which is never loaded: reading a pickle runs code from it",
        place=place,
        helps=_EXPORT_HELPS,
    )


def _other_format(path: Path, place: Place, what: str, advice: str) -> MeshError:
    return MeshError("M0103", f"{path.name} is {what}, not an exported program", place=place, helps=[advice])


def _printable(data: bytes) -> str:
    return repr(data)[1:]
