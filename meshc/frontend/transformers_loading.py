"""What reading a checkpoint with transformers needs: the package itself, silence, and its failures as diagnostics."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any

from meshrt.diagnostics import MeshError, Place


def import_transformers() -> ModuleType:
    """The transformers package. Raises M0116 when it is not installed."""
    try:
        import transformers
    except ImportError as failure:
        raise MeshError(
            "M0116",
            "tracing a Hugging Face folder or a GGUF file needs transformers, which is not installed",
            helps=["pip install 'meshc[hf]'"],
        ) from failure
    return transformers


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """Without transformers' progress bars and advice on standard error; both are put back afterwards."""
    transformers = import_transformers()
    log = transformers.utils.logging
    verbosity, bars = log.get_verbosity(), log.is_progress_bar_enabled()
    log.set_verbosity_error()
    log.disable_progress_bar()
    try:
        yield
    finally:
        log.set_verbosity(verbosity)
        if bars:
            log.enable_progress_bar()


class CheckpointDiagnostics:
    """Turns what transformers, safetensors and tokenizers raise on a bad checkpoint into M0117."""

    def __init__(self, path: Path):
        self.path = path

    def __enter__(self) -> CheckpointDiagnostics:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, failure: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Raise the diagnostic; anything that is no failure of reading passes."""
        # tokenizers raises plain Exception, and nothing more special, for a vocabulary that does not fit together.
        if kind is None or not (issubclass(kind, _reading_failures()) or kind is Exception):
            return
        lines = [line.strip() for line in str(failure).splitlines() if line.strip()]
        raise MeshError(
            "M0117",
            f"transformers cannot build a causal language model of {self.path.name or self.path}",
            place=Place(str(self.path)),
            notes=[f"{kind.__name__}: {lines[0][:400]}" if lines else kind.__name__],
            helps=["check that the files are whole and that the architecture is one that transformers knows"],
        ) from failure


def _reading_failures() -> tuple[type[BaseException], ...]:
    from safetensors import SafetensorError

    return (
        OSError,
        ValueError,
        RuntimeError,
        LookupError,
        TypeError,
        AttributeError,
        ImportError,
        AssertionError,
        SafetensorError,
        pickle.UnpicklingError,
    )


def attention_for(config: Any) -> str:
    """The attention implementation whose graph says exactly what the model computes.

    ``sdpa`` is one operator and reads best, but it leaves out the soft cap on the scores that some
    configurations ask for; ``eager`` has it.
    """
    text = config.get_text_config()
    return "eager" if getattr(text, "attn_logit_softcapping", None) else "sdpa"
