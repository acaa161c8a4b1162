"""A module with a cache that is not used as transformers uses one."""

from __future__ import annotations

import torch


class Misused(torch.nn.Module):
    """Embeds a token, writes it into a cache at a place that its position gives, and attends to the cache."""

    def __init__(self, merge: bool) -> None:
        super().__init__()
        self.embed = torch.nn.Embedding(10, 4)
        self.register_buffer("cache", torch.zeros(1, 1, 8, 4))
        self.merge = merge

    def forward(self, input_ids: torch.Tensor, cache_position: torch.Tensor) -> torch.Tensor:
        x = self.embed(input_ids)
        if self.merge:
            x = x.view(4, 1, 1).reshape(1, 1, 4) + x.reshape(4).view(1, 1, 4)
        place = cache_position if self.merge else cache_position // 2
        self.cache.index_copy_(2, place, x[:, None])
        scores = x[:, None] @ self.cache.transpose(2, 3)
        return (scores.softmax(-1) @ self.cache)[:, 0]
