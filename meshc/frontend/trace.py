"""``meshc trace``: make a ``.pt2`` of a Hugging Face folder, a GGUF file or a Python function.

Batch and sequence length become dynamic where the model can be exported so. ``--seq`` fixes the whole shape
(with a batch of 1, or ``--batch``): such a program is traced and read in half the time.
"""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.export import Dim, ExportedProgram

from meshc.frontend.bundle import check_writable, write_bundle
from meshc.frontend.export import export_module
from meshc.frontend.extents import static_extents
from meshc.frontend.trace_gguf import gguf_model, gguf_tokenizer, is_gguf
from meshc.frontend.trace_huggingface import huggingface_model, huggingface_tokenizer
from meshc.frontend.trace_python import python_model, split_source
from meshc.frontend.transformers_loading import import_transformers
from meshrt.diagnostics import MeshError, Place
from meshrt.progress import Progress

#: The sequence length of a model that exports with a static one only, when none is asked for.
STATIC_SEQ = 64

_SOURCES = "SOURCE is a Hugging Face model folder, a GGUF file, or file.py:function"


@dataclass(frozen=True)
class Traced:
    """A traced model: the program, its tokenizer's files, and the extents that are fixed (None: dynamic)."""

    exported_program: ExportedProgram
    tokenizer_files: dict[str, str]
    batch: int | None
    seq: int | None


@dataclass(frozen=True)
class Extents:
    """The batch and sequence length asked for, and the longest sequence allowed.

    A dimension that is None becomes dynamic if the model allows it; a batch does so only beside the sequence length.
    """

    batch: int | None = None
    seq: int | None = None
    longest: int | None = None


def trace(
    source: str,
    output: Path,
    *,
    batch: int | None = None,
    seq: int | None = None,
    weights: bool = True,
    progress: Progress | None = None,
) -> Traced:
    """Trace a source and write it to ``output``.

    ``weights=False`` reads a Hugging Face folder's configuration only; the program then has shapes and no
    weights, and compiles to a timing-only build. Raises M0109 and M0115 to M0118.
    """
    check_writable(output)
    progress = progress or Progress()
    traced = trace_source(source, batch=batch, seq=seq, weights=weights, progress=progress)
    progress.stage(f"writing {output.name}")
    write_bundle(traced.exported_program, output, traced.tokenizer_files)
    return traced


def trace_source(
    source: str,
    *,
    batch: int | None = None,
    seq: int | None = None,
    weights: bool = True,
    progress: Progress | None = None,
) -> Traced:
    """Trace a source without writing anything."""
    progress = progress or Progress()
    path = Path(source)
    function = split_source(source)
    if not weights and not path.is_dir():
        raise MeshError(
            "M0115",
            "only a Hugging Face folder can be traced without its weights",
            helps=["for a model of your own, build it under torch.device('meta') in file.py:function"],
        )
    if function is not None:
        progress.stage(f"running {function[0].name}")
        module, examples = python_model(*function)
        progress.stage("exporting")
        return _traced(_export_examples(module, examples, batch, seq), {})
    progress.stage("importing transformers")
    if path.is_dir():
        import_transformers()
        progress.stage("reading the checkpoint")
        model = huggingface_model(path, weights)
        tokenizer = huggingface_tokenizer(path)
    else:
        _check_file(path)
        import_transformers()
        progress.stage("reading the checkpoint")
        model = gguf_model(path)
        tokenizer = gguf_tokenizer(path)
    progress.stage("exporting")
    longest = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    exported = export_language_model(model, Extents(batch, seq, longest))
    return _traced(exported if weights else forget_weights(exported), tokenizer)


def export_language_model(model: torch.nn.Module, extents: Extents) -> ExportedProgram:
    """Export a model of token ids with what extents are asked for, the others dynamic where it can be."""
    _check_longest(extents)
    one = extents.batch or 1
    if extents.seq is not None:
        return _export_tokens(model, one, extents.seq, extents.longest)
    attempts = [(extents.batch, None), (one, None), (one, min(STATIC_SEQ, extents.longest or STATIC_SEQ))]
    for batch, seq in attempts[:-1]:
        try:
            return _export_tokens(model, batch, seq, extents.longest)
        except MeshError:
            continue  # not exportable with that dimension dynamic: the next attempt fixes it
    batch, seq = attempts[-1]
    return _export_tokens(model, batch, seq, extents.longest)


def forget_weights(exported: ExportedProgram) -> ExportedProgram:
    """The same program with its parameters on the meta device: shapes and dtypes, no data."""
    for name, held in exported.state_dict.items():
        if isinstance(held, torch.nn.Parameter):
            meta = torch.empty(held.shape, dtype=held.dtype, device="meta")
            exported.state_dict[name] = torch.nn.Parameter(meta, requires_grad=False)
    return exported


def _export_tokens(model: torch.nn.Module, batch: int | None, seq: int | None, longest: int | None) -> ExportedProgram:
    # Example extents of 1 would be taken for constants, and equal ones for the same dimension.
    tokens = torch.zeros((2 if batch is None else batch, 8 if seq is None else seq), dtype=torch.int64)
    dims: dict[int, Dim] = {}
    if batch is None:
        dims[0] = Dim("batch", min=1)
    if seq is None:
        dims[1] = Dim("seq", min=2, max=longest)
    return export_module(model, (tokens,), dynamic_shapes=(dims,) if dims else None)


def _export_examples(module: torch.nn.Module, examples: Any, batch: int | None, seq: int | None) -> ExportedProgram:
    """Export the user's module: as a model of token ids when it takes only those, else as the examples say."""
    tokens = _only_tokens(examples)
    if tokens is None or any(p.is_meta for p in module.parameters()):
        return _export_as_given(module, examples, batch, seq)
    static = (batch or int(tokens.shape[0]), seq or int(tokens.shape[1]))
    if seq is not None:
        return _export_tokens(module, *static, None)
    try:
        return _export_tokens(module, batch, None, None)
    except MeshError:
        return _export_tokens(module, *static, None)


def _export_as_given(module: torch.nn.Module, examples: Any, batch: int | None, seq: int | None) -> ExportedProgram:
    exported = export_module(module, examples)
    fixed_batch, fixed_seq = static_extents(exported)
    for option, wanted, fixed in (("--batch", batch, fixed_batch), ("--seq", seq, fixed_seq)):
        if wanted is not None and wanted != fixed:
            raise MeshError(
                "M0108",
                f"the example inputs fix {option} to {fixed}, not {wanted}",
                helps=["return example inputs of the extents you want"],
            )
    return exported


def _only_tokens(examples: Any) -> torch.Tensor | None:
    """The token ids when they are the only input."""
    only = examples[0] if isinstance(examples, (tuple, list)) and len(examples) == 1 else examples
    if not isinstance(only, torch.Tensor) or only.dim() != 2 or only.dtype != torch.int64:
        return None
    return only


def _check_longest(extents: Extents) -> None:
    if extents.seq is not None and extents.longest is not None and extents.seq > extents.longest:
        raise MeshError(
            "M0108",
            f"--seq {extents.seq} is more than the {extents.longest} positions that the model has",
            helps=[f"use --seq {extents.longest} or less"],
        )


def _traced(exported: ExportedProgram, tokenizer_files: dict[str, str]) -> Traced:
    return Traced(exported, tokenizer_files, *static_extents(exported))


def _check_file(path: Path) -> None:
    """Raise M0115 for a source that is no GGUF file, saying what it is if that can be told."""
    place = Place(str(path))
    if not path.exists():
        raise MeshError("M0115", f"there is no {path}", place=place, helps=[_SOURCES])
    if is_gguf(path):
        return
    if path.suffix == ".py":
        raise MeshError(
            "M0115", f"{path.name} is a Python file: say which function", place=place, helps=[f"{path.name}:function"]
        )
    if zipfile.is_zipfile(path):
        raise MeshError(
            "M0115",
            f"{path.name} is an archive, not a source to trace",
            place=place,
            helps=[f"if it is an exported or traced model, it is compiled as it is: meshc compile {path.name}"],
        )
    raise MeshError("M0115", f"{path.name} is not a source that can be traced", place=place, helps=[_SOURCES])
