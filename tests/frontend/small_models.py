"""Models smaller than any language model, for tests of the front end that need no transformers."""

from __future__ import annotations

import torch


class Scorer(torch.nn.Module):
    """Embedding and head: logits [batch, seq, 10] of token ids [batch, seq]."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = torch.nn.Embedding(10, 4)
        self.head = torch.nn.Linear(4, 10)

    def forward(self, input_ids: torch.Tensor) -> torch.Tensor:
        return self.head(torch.nn.functional.gelu(self.embed(input_ids)))


class Branching(torch.nn.Module):
    """A model that looks at a value to decide what to do."""

    def forward(self, input_ids: torch.Tensor) -> torch.Tensor:
        if input_ids.sum() > 3:
            return input_ids * 2.0
        return input_ids * 1.0


class FixedPositions(torch.nn.Module):
    """Adds positions whose number a trace fixes, as Python numbers are fixed by it."""

    def forward(self, input_ids: torch.Tensor) -> torch.Tensor:
        return input_ids * 1.5 + torch.arange(int(input_ids.shape[1]))


class Halves(torch.nn.Module):
    """Swaps the halves of the features, with shape arithmetic as rotary embeddings have it."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = torch.nn.Embedding(10, 6)

    def forward(self, input_ids: torch.Tensor) -> torch.Tensor:
        x = self.embed(input_ids)
        half = x.shape[-1] // 2
        return torch.cat([-x[..., half:], x[..., :half]], dim=-1) / x.shape[1]


class TwoInputs(torch.nn.Module):
    """Adds its inputs."""

    def forward(self, input_ids: torch.Tensor, offsets: torch.Tensor) -> torch.Tensor:
        return input_ids + offsets


class Apart(torch.nn.Module):
    """Scales the tokens by the sum of another input, of a length of its own."""

    def forward(self, input_ids: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        return input_ids * weights.sum()


class Nothing(torch.nn.Module):
    """Gives back a table, whatever it is asked."""

    def __init__(self) -> None:
        super().__init__()
        self.table = torch.nn.Parameter(torch.ones(3))

    def forward(self, count: int) -> torch.Tensor:
        return self.table * count


def tokens(batch: int = 2, seq: int = 8) -> torch.Tensor:
    """Token ids below 10, int64 [batch, seq]."""
    return (torch.arange(batch * seq) % 10).reshape(batch, seq)
