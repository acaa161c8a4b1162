"""Write an exported program and a model's tokenizer files as one ``.pt2``."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

import torch
from torch.export import ExportedProgram

from meshrt.diagnostics import MeshError, Place

#: Files stored beside the program by ``meshc trace`` are under this prefix in the archive's extra files.
TOKENIZER_PREFIX = "tokenizer/"

#: A tokenizer's files: its vocabulary and merges, its settings, and the chat template. All are text.
TOKENIZER_NAMES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "chat_template.jinja",
    "chat_template.json",
    "generation_config.json",
)


def check_writable(path: Path) -> None:
    """Raise M0118 now rather than after minutes of tracing when the output cannot be written."""
    place = Place(str(path))
    if path.is_dir():
        raise MeshError(
            "M0118",
            f"{path.name or path} is a directory, not a file to write",
            place=place,
            helps=[f"-o {path / 'model.pt2'}"],
        )
    if not path.parent.is_dir():
        raise MeshError("M0118", f"there is no directory {path.parent} to write {path.name} in", place=place)
    if not os.access(path.parent, os.W_OK):
        raise MeshError("M0118", f"the directory {path.parent} may not be written", place=place)


def write_bundle(exported: ExportedProgram, path: Path, tokenizer_files: Mapping[str, str]) -> None:
    """Write the archive; the file appears whole or not at all.

    Raises M0118 when it cannot be written.
    """
    check_writable(path)
    extra = {f"{TOKENIZER_PREFIX}{name}": text for name, text in sorted(tokenizer_files.items())}
    try:
        # The archive's inner folder is named after the file, so the unfinished one has the same name elsewhere.
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.stem}-") as directory:
            unfinished = Path(directory) / f"{path.stem}.pt2"
            torch.export.save(exported, unfinished, extra_files=extra)
            unfinished.replace(path)
    except (OSError, RuntimeError) as failure:
        text = failure.strerror if isinstance(failure, OSError) else str(failure).splitlines()[0]
        raise MeshError("M0118", f"{path.name} cannot be written: {text}", place=Place(str(path))) from failure


def read_tokenizer_files(directory: Path) -> dict[str, str]:
    """The tokenizer's files of a model folder, by name; empty where there are none."""
    return {
        name: (directory / name).read_text(encoding="utf-8") for name in TOKENIZER_NAMES if (directory / name).is_file()
    }
