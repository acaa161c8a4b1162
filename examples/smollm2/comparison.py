"""Whether a text is PyTorch's: f32 arithmetic, the same weights rounded to f16, token by token."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from meshc.frontend.trace_gguf import gguf_model

#: PyTorch's best two that lie closer than this are either right.
NEAR = 0.02


@dataclass(frozen=True)
class Comparison:
    """What PyTorch says of a text: of how many tokens it is not the likeliest but near to it, and what is wrong."""

    tokens: int
    near: int
    wrong: int | None

    def __str__(self) -> str:
        if self.wrong is not None:
            return f"token {self.wrong} is not PyTorch's"
        also = f", {self.near} of them within {NEAR} of its likeliest" if self.near else ""
        return f"all {self.tokens} tokens are PyTorch's{also}"


def pytorch_model(weights: Path) -> Any:
    """The model of a GGUF file with its weights rounded to f16, in f32."""
    model = gguf_model(weights)
    for parameter in model.parameters():
        parameter.data = parameter.data.half().float()
    return model


def compared(model: Any, prompt: Sequence[int], written: Sequence[int]) -> Comparison:
    """Hold the tokens written behind a prompt against PyTorch's.

    Each must be the likeliest behind the prompt and the tokens before it, whichever of two near ones these were, or
    lie within :data:`NEAR` of it. The first that does not is ``wrong``.
    """
    ids = torch.tensor([[*prompt, *written]])
    with torch.no_grad():
        logits = model(ids, use_cache=False).logits[0, len(prompt) - 1 : -1]
    near = 0
    for number, (token, row) in enumerate(zip(written, logits, strict=True)):
        behind = float(row.max() - row[token])
        if behind > NEAR:
            return Comparison(len(written), near, number)
        near += behind > 0
    return Comparison(len(written), near, None)
