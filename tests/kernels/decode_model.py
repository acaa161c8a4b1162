"""A small transformer, once as the body of a decode step on the mesh and once in torch, whole sequences at a time."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.nn.functional import layer_norm, rms_norm, silu

from meshc.dialects.shard import over_x
from meshc.ir.core import Value
from tests.kernels.decode_harness import Steps


@dataclass(frozen=True)
class Model:
    """Sizes and variants; ``learned`` positions instead of rotations, ``biases`` on all projections."""

    features: int = 10
    kv_heads: int = 1
    per_kv: int = 2
    head_dim: int = 4
    inner: int = 14
    layers: int = 2
    mask: str = "causal"
    window: int = 0
    softcap: float = 0.0
    learned: bool = False
    biases: bool = False
    head_norms: bool = False
    kv: str = "shift"

    @property
    def heads(self) -> int:
        return self.kv_heads * self.per_kv

    def rotary(self) -> int:
        return 0 if self.learned else self.head_dim

    # ---- on the mesh --------------------------------------------------------------------

    def build(self, steps: Steps) -> None:
        """Append the body of a step; results ``logits`` and, of the last layer, nothing else."""
        s = steps
        table = s.weight("table", s.vocabulary, self.features)
        x = s.op("embedding", [table, s.ids], s.y(self.features), sequence=1)
        phases = None
        if self.learned:
            positions = s.weight("positions", s.context, self.features)
            p = s.op("position_embedding", [positions], s.y(self.features), sequence=1)
            x = s.op("binary", [x, p], s.y(self.features), function="add")
        else:
            layout = s.heads(self.kv_heads, 1, self.head_dim, self.head_dim)
            phases = s.op("phases", [s.weight("frequencies", self.head_dim // 2)], s.x(layout), sequence=1)
        x = s.repeat(self.layers, x, lambda x: self._layer(s, x, phases))
        x = self._norm(s, x, "last", 0)
        s.results["logits"] = s.gemv(x, [(table, None)], [s.x(s.vocabulary)])[0]

    def _norm(self, s: Steps, x: Value, name: str, layers: int) -> Value:
        type = s.y(self.features, s.operand)
        operands = [x, s.weight(f"{name}.norm", self.features, layers=layers)]
        if not self.learned:
            return s.op("rms_norm", operands, type, eps=1e-5)
        operands.append(s.weight(f"{name}.norm_bias", self.features, layers=layers))
        return s.op("layer_norm", operands, type, eps=1e-5)

    def _layer(self, s: Steps, x: Value, phases: Value | None) -> Value:
        features, dim = self.features, self.head_dim
        queries = s.heads(self.kv_heads, self.per_kv, dim, self.rotary())
        keys = s.heads(self.kv_heads, 1, dim, self.rotary())

        def part(name: str, outputs: int, inputs: int) -> tuple[Value, Value | None]:
            bias = s.weight(f"{name}.bias", outputs, layers=self.layers) if self.biases else None
            return s.weight(name, outputs, inputs, layers=self.layers), bias

        n = self._norm(s, x, "attention", self.layers)
        sizes = {"q": queries, "k": keys, "v": keys}
        moved = s.other if phases is not None or self.head_norms else s.operand
        types = [over_x(moved if name != "v" else s.operand, s.batch, lay, s.height) for name, lay in sizes.items()]
        q, k, v = s.gemv(n, [part(name, lay.extent, features) for name, lay in sizes.items()], types)
        if self.head_norms:
            q, k = (
                s.op("rms_norm", [each, s.weight(f"{name}.head_norm", dim, layers=self.layers)], s.x(sizes[name]),
                     eps=1e-5, heads=sizes[name].kv_heads * sizes[name].per_kv)
                for name, each in (("q", q), ("k", k))
            )  # fmt: skip
        if phases is not None:
            q, k = (s.op("rope", [each, phases], s.x(lay, s.operand)) for each, lay in ((q, queries), (k, keys)))
        attributes: dict[str, object] = {
            "heads": self.heads, "kv_heads": self.kv_heads, "head_dim": dim, "scale": dim**-0.5, "mask": self.mask,
            "context": s.context, "cache": "cache.{l}", "kv": self.kv,
        }  # fmt: skip
        if self.window:
            attributes["window"] = self.window
        if self.softcap:
            attributes["softcap"] = self.softcap
        attended = s.op("cached_attention", [q, k, v], s.x(queries, s.operand), **attributes)
        (o,) = s.gemv(attended, [part("o", features, self.heads * dim)], [s.y(features)])
        x = s.op("binary", [x, o], s.y(features), function="add")
        n = self._norm(s, x, "mlp", self.layers)
        up, gate = s.gemv(n, [part(name, self.inner, features) for name in ("up", "gate")], [s.x(self.inner)] * 2)
        gated = s.op("glu", [gate, up], s.x(self.inner, s.operand), activation="silu")
        (down,) = s.gemv(gated, [part("down", features, self.inner)], [s.y(features)])
        return s.op("binary", [x, down], s.y(features), function="add")

    # ---- in torch -----------------------------------------------------------------------

    def reference(self, w: dict[str, torch.Tensor], ids: torch.Tensor) -> tuple[torch.Tensor, list[list[torch.Tensor]]]:
        """Logits [batch, sequence, vocabulary] and, layer by layer, keys and values [batch, heads, sequence, dim]."""
        batch, sequence = ids.shape
        x = w["table"][ids]
        if self.learned:
            x = x + w["positions"][:sequence]
        caches = []

        def linear(x: torch.Tensor, name: str, layer: int) -> torch.Tensor:
            y = x @ w[f"{name}.{layer}"].T
            return y + w[f"{name}.bias.{layer}"] if self.biases else y

        def norm(x: torch.Tensor, name: str, suffix: str) -> torch.Tensor:
            weight = w[f"{name}.norm{suffix}"]
            if not self.learned:
                return rms_norm(x, (self.features,), weight, 1e-5)
            return layer_norm(x, (self.features,), weight, w[f"{name}.norm_bias{suffix}"], 1e-5)

        for layer in range(self.layers):
            n = norm(x, "attention", f".{layer}")
            heads = {}
            for name in "qkv":
                each = linear(n, name, layer).view(batch, sequence, -1, self.head_dim).transpose(1, 2)
                if self.head_norms and name != "v":
                    each = rms_norm(each, (self.head_dim,), w[f"{name}.head_norm.{layer}"], 1e-5)
                if not self.learned and name != "v":
                    each = rotated(each, w["frequencies"])
                heads[name] = each
            caches.append([heads["k"], heads["v"]])
            k, v = (heads[name].repeat_interleave(self.per_kv, 1) for name in "kv")
            scores = heads["q"] @ k.transpose(2, 3) * self.head_dim**-0.5
            if self.softcap:
                scores = torch.tanh(scores / self.softcap) * self.softcap
            distance = torch.arange(sequence)[:, None] - torch.arange(sequence)
            hidden = distance < 0 if not self.window else (distance < 0) | (distance >= self.window)
            weights = torch.softmax(scores.masked_fill(hidden, -torch.inf), -1)
            attended = (weights @ v).transpose(1, 2).reshape(batch, sequence, -1)
            x = x + linear(attended, "o", layer)
            n = norm(x, "mlp", f".{layer}")
            x = x + linear(linear(n, "up", layer) * silu(linear(n, "gate", layer)), "down", layer)
        return norm(x, "last", "") @ w["table"].T, caches


def rotated(x: torch.Tensor, frequencies: torch.Tensor) -> torch.Tensor:
    """Pairs (i, i + d/2) of the last dimension turned by position times frequency; positions lie in the one before."""
    angle = torch.arange(x.shape[-2])[:, None] * frequencies
    a, b = x.chunk(2, -1)
    return torch.cat([a * angle.cos() - b * angle.sin(), b * angle.cos() + a * angle.sin()], -1)
