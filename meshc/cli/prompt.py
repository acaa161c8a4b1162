"""Text in and out of a run: a build's tokenizer turns a prompt into ids and logits into likely next tokens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from meshrt.build import TOKENIZER_DIRECTORY, read_build
from meshrt.diagnostics import MeshError
from meshrt.manifest import Manifest


class Tokenizer:
    """The tokenizer in a build's ``tokenizer/`` folder and what the build calls its inputs."""

    def __init__(self, tokenizer: Any, manifest: Manifest):
        self._tokenizer = tokenizer
        self._manifest = manifest

    @classmethod
    def of_build(cls, build: Path) -> Tokenizer:
        """Load it. Raises what reading a build raises, M0552 when the build has none, M0553 when it is of no use."""
        folder = build / TOKENIZER_DIRECTORY
        manifest = read_build(build).manifest
        if not folder.is_dir():
            raise MeshError(
                "M0552",
                f"{str(build)!r} has no tokenizer, so --prompt has no token ids",
                helps=["give the ids with --inputs", "trace the model from a folder or file that has a tokenizer"],
            )
        try:
            import transformers
        except ImportError:
            raise MeshError(
                "M0553",
                "--prompt needs transformers, which is not installed",
                helps=["pip install 'meshc[hf]'", "give the ids with --inputs"],
            ) from None
        try:
            loaded = transformers.AutoTokenizer.from_pretrained(str(folder), local_files_only=True)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise MeshError("M0553", f"the tokenizer in {str(folder)!r} cannot be used", notes=[str(error)]) from None
        return cls(loaded, manifest)

    def inputs(self, prompt: str, raw: bool = False) -> dict[str, np.ndarray]:
        """The prompt as the model's first input, int64 [1, tokens], wrapped in the chat template unless ``raw``."""
        if raw or not self._tokenizer.chat_template:
            ids = self._tokenizer(prompt)["input_ids"]
        else:
            messages = [{"role": "user", "content": prompt}]
            text = self._tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
            # The template writes the special tokens itself.
            ids = self._tokenizer(text, add_special_tokens=False)["input_ids"]
        if not ids:
            raise MeshError("M0551", "the prompt has no tokens", helps=["write some text"])
        return {self._manifest.inputs[0].name: np.array([ids], dtype=np.int64)}

    def prompt_ids(self, prompt: str, raw: bool = False) -> tuple[int, ...]:
        """The ids of a prompt, wrapped in the chat template unless ``raw``."""
        (ids,) = self.inputs(prompt, raw).values()
        return tuple(ids[0].tolist())

    @property
    def manifest(self) -> Manifest:
        """The manifest of the build."""
        return self._manifest

    @property
    def stop_ids(self) -> tuple[int, ...]:
        """Ids with which a text of the model ends."""
        ends = self._tokenizer.eos_token_id
        return tuple(ends) if isinstance(ends, list) else () if ends is None else (ends,)

    def decode(self, ids: Sequence[int]) -> str:
        """The text of ids, without special tokens."""
        return self._tokenizer.decode(list(ids), skip_special_tokens=True)

    def text(self, token: int) -> str:
        """The text of one token."""
        return self._tokenizer.decode([token])

    def next_tokens(self, outputs: Mapping[str, np.ndarray], count: int) -> list[tuple[str, float]]:
        """The likeliest tokens after the last position: (text, probability), best first.

        ``outputs`` holds logits [1, positions, vocabulary] or [1, vocabulary] under the
        name of the build's first output.
        """
        logits = outputs[self._manifest.outputs[0].name].astype(np.float64)
        last = logits.reshape(-1, logits.shape[-1])[-1]
        weights = np.exp(last - last.max())
        best = np.argsort(-last, kind="stable")[:count]
        return [(self.text(int(i)), float(weights[i] / weights.sum())) for i in best]
