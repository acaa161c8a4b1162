"""Reads and writes a build: the directory that the compiler hands to the runtime.

    BUILD/program.mesh  weights.safetensors  manifest.json  target.toml  [tokenizer/]

A build is written whole or not at all: into a temporary directory beside it, which is
renamed at the end. The same build gives the same bytes in every file.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from meshrt.diagnostics import MeshError
from meshrt.diagnostics.source_text import SourceText
from meshrt.manifest import FileDigest, Manifest, manifest_from_json, manifest_to_json
from meshrt.program.model import Program
from meshrt.program.parser import parse_program
from meshrt.program.printer import print_program
from meshrt.target import Target, parse_target, target_to_toml
from meshrt.weights import StoredTensor, WeightFile, write_weights

PROGRAM_FILE = "program.mesh"
WEIGHTS_FILE = "weights.safetensors"
MANIFEST_FILE = "manifest.json"
TARGET_FILE = "target.toml"
TOKENIZER_DIRECTORY = "tokenizer"
_READ_SIZE = 1 << 20


@dataclass(frozen=True)
class Build:
    """A build in memory. ``source`` is the text that the program was read from, for diagnostics.

    ``weights`` is empty where the manifest says ``timing_only``. ``modified`` names the
    files whose bytes are not those that the compiler wrote (weights are not read for this).
    """

    program: Program
    weights: Mapping[str, StoredTensor]
    manifest: Manifest
    target: Target
    tokenizer: Mapping[str, bytes] = field(default_factory=dict)
    source: SourceText = SourceText("")
    modified: tuple[str, ...] = ()


def write_build(path: Path, build: Build) -> Manifest:
    """Write the directory and return the manifest with its digests.

    An older build or an empty directory at ``path`` is replaced. Raises M0353 where
    something else is there, or where the place cannot be written.
    """
    if path.exists() and not is_replaceable(path):
        raise MeshError(
            "M0353",
            f"{str(path)!r} exists and is not a build",
            helps=["choose another output directory, or remove it first"],
        )
    absolute = Path(os.path.abspath(path))
    partial = absolute.parent / f".{absolute.name}.{secrets.token_hex(4)}.partial"
    try:
        partial.mkdir()
    except OSError as error:
        raise MeshError("M0353", f"cannot write the build {str(path)!r}: {error.strerror}") from error
    try:
        manifest = _write_files(partial, build)
        _move_into_place(partial, absolute)
    except OSError as error:
        raise MeshError("M0353", f"cannot write the build {str(path)!r}: {error.strerror}") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return manifest


def read_build(path: Path, target: Target | None = None) -> Build:
    """Read a build. ``target`` stands in for the build's own, to time the same program on another.

    Raises M0350 where ``path`` is no build, M0351 and M0352 where a file of it is missing
    or damaged, M03xx and M06xx for the text of the program and the target.
    """
    if not path.is_dir():
        reason = "it is a file" if path.exists() else "there is no such directory"
        raise MeshError("M0350", f"{str(path)!r} is not a build: {reason}", helps=["meshc compile makes one"])
    if not (path / MANIFEST_FILE).is_file():
        raise MeshError(
            "M0350",
            f"{str(path)!r} is not a build: it has no {MANIFEST_FILE}",
            helps=["meshc compile makes one"],
        )
    manifest = manifest_from_json(_read_text(path / MANIFEST_FILE))
    program_text = _read_text(path / PROGRAM_FILE)
    target_text = _read_text(path / TARGET_FILE)
    return Build(
        program=parse_program(program_text, PROGRAM_FILE),
        weights={} if manifest.timing_only else WeightFile(path / WEIGHTS_FILE),
        manifest=manifest,
        target=parse_target(target_text, TARGET_FILE) if target is None else target,
        tokenizer=_read_tokenizer(path / TOKENIZER_DIRECTORY),
        source=SourceText(program_text, PROGRAM_FILE),
        modified=tuple(
            name
            for name, text in ((PROGRAM_FILE, program_text), (TARGET_FILE, target_text))
            if name in manifest.files and _digest(text.encode()).sha256 != manifest.files[name].sha256
        ),
    )


def modified_files(path: Path, manifest: Manifest) -> tuple[str, ...]:
    """The files of the build that are missing or whose bytes are not those the compiler wrote; reads all."""
    changed = []
    for name, written in manifest.files.items():
        file = path / name
        if not file.is_file() or _file_digest(file) != written:
            changed.append(name)
    return tuple(changed)


def is_replaceable(path: Path) -> bool:
    """Whether a build may be written over what is at ``path``: an older build, or an empty directory."""
    if not path.is_dir() or path.is_symlink():
        return False
    return (path / MANIFEST_FILE).is_file() or not any(path.iterdir())


def _write_files(directory: Path, build: Build) -> Manifest:
    texts = {PROGRAM_FILE: print_program(build.program), TARGET_FILE: target_to_toml(build.target)}
    files: dict[str, FileDigest] = {}
    for name, text in texts.items():
        content = text.encode()
        (directory / name).write_bytes(content)
        files[name] = _digest(content)
    if not build.manifest.timing_only:
        digest = write_weights(directory / WEIGHTS_FILE, build.weights)
        files[WEIGHTS_FILE] = FileDigest(digest, (directory / WEIGHTS_FILE).stat().st_size)
    for name, content in sorted(build.tokenizer.items()):
        relative = f"{TOKENIZER_DIRECTORY}/{name}"
        if Path(name).name != name:
            raise MeshError("M0353", f"a tokenizer file cannot be named {name!r}")
        (directory / TOKENIZER_DIRECTORY).mkdir(exist_ok=True)
        (directory / relative).write_bytes(content)
        files[relative] = _digest(content)
    manifest = replace(
        build.manifest, target=build.target.name, target_digest=build.target.digest, files=dict(sorted(files.items()))
    )
    (directory / MANIFEST_FILE).write_text(manifest_to_json(manifest), encoding="utf-8", newline="\n")
    return manifest


def _move_into_place(partial: Path, path: Path) -> None:
    """Rename; an older build steps aside first, and comes back where the rename fails."""
    if not path.exists():
        partial.rename(path)
        return
    aside = partial.with_suffix(".old")
    path.rename(aside)
    try:
        partial.rename(path)
    except OSError:
        aside.rename(path)
        raise
    shutil.rmtree(aside, ignore_errors=True)


def _read_text(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8")
    except FileNotFoundError as error:
        raise MeshError("M0351", f"the build has no {path.name}", helps=["compile the model again"]) from error
    except UnicodeDecodeError as error:
        raise MeshError("M0351", f"{path.name} is not UTF-8 text") from error
    except OSError as error:
        raise MeshError("M0351", f"cannot read {path.name}: {error.strerror}") from error


def _read_tokenizer(directory: Path) -> dict[str, bytes]:
    if not directory.is_dir():
        return {}
    return {file.name: file.read_bytes() for file in sorted(directory.iterdir()) if file.is_file()}


def _digest(content: bytes) -> FileDigest:
    return FileDigest(hashlib.sha256(content).hexdigest(), len(content))


def _file_digest(path: Path) -> FileDigest:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_READ_SIZE):
            digest.update(chunk)
    return FileDigest(digest.hexdigest(), path.stat().st_size)
