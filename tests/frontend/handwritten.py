"""Small language models as people write them, each with other spellings of the same ingredients."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

VOCAB, WIDTH, HEADS, LAYERS, LONGEST = 40, 24, 4, 3, 32


class PlainRms(nn.Module):
    """x * rsqrt(mean(x^2) + eps) * w."""

    def __init__(self, width: int, eps: float = 1e-5):
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.eps) * self.weight


class QuotientRms(PlainRms):
    """(w * x) would be another thing: x / sqrt(sum(x * x) / n + eps), then w."""

    def forward(self, x: Tensor) -> Tensor:
        return self.weight * (x / torch.sqrt((x * x).sum(dim=-1, keepdim=True) / x.shape[-1] + self.eps))


class OffsetRms(PlainRms):
    """Gemma's: the weight is stored less one."""

    def forward(self, x: Tensor) -> Tensor:
        return F.rms_norm(x, (x.shape[-1],), eps=self.eps) * (1.0 + self.weight)


class VarLayerNorm(nn.Module):
    """(x - mean) / sqrt(var + eps), the variance by torch.var without Bessel's correction."""

    def __init__(self, width: int):
        super().__init__()
        self.gain = nn.Parameter(torch.ones(width))
        self.shift = nn.Parameter(torch.zeros(width))

    def forward(self, x: Tensor) -> Tensor:
        mean = x.mean(-1, keepdim=True)
        variance = x.var(-1, keepdim=True, unbiased=False)
        return (x - mean) / (variance + 1e-5).sqrt() * self.gain + self.shift


class MeanLayerNorm(VarLayerNorm):
    """The variance as the mean of squares of the centred value; commuted factors."""

    def forward(self, x: Tensor) -> Tensor:
        centred = x - x.mean(dim=-1, keepdim=True)
        return self.shift + self.gain * (centred * torch.pow(torch.mean(centred**2, -1, True) + 1e-5, -0.5))


def complex_rope(x: Tensor, table: Tensor) -> Tensor:
    """[B, S, H, D], neighbours as complex numbers."""
    pairs = torch.view_as_complex(x.float().reshape(*x.shape[:-1], -1, 2))
    return torch.view_as_real(pairs * table[None, :, None, :]).flatten(3).type_as(x)


class MetaLlama(nn.Module):
    """As Meta publishes it: complex rotary embedding, grouped heads by expansion, a triangular -inf mask."""

    def __init__(self, kv_heads: int = 2):
        super().__init__()
        self.kv_heads, self.size = kv_heads, WIDTH // HEADS
        self.tok_embeddings = nn.Embedding(VOCAB, WIDTH)
        self.layers = nn.ModuleList()
        for _ in range(LAYERS):
            layer = nn.Module()
            layer.attention_norm, layer.ffn_norm = PlainRms(WIDTH), QuotientRms(WIDTH)
            layer.wq = nn.Linear(WIDTH, WIDTH, bias=False)
            layer.wk = nn.Linear(WIDTH, kv_heads * self.size, bias=False)
            layer.wv = nn.Linear(WIDTH, kv_heads * self.size, bias=False)
            layer.wo = nn.Linear(WIDTH, WIDTH, bias=False)
            layer.w1, layer.w3 = nn.Linear(WIDTH, 40, bias=False), nn.Linear(WIDTH, 40, bias=False)
            layer.w2 = nn.Linear(40, WIDTH, bias=False)
            self.layers.append(layer)
        self.norm = PlainRms(WIDTH)
        self.output = nn.Linear(WIDTH, VOCAB, bias=False)
        speeds = 1.0 / (10000 ** (torch.arange(0, self.size, 2).float() / self.size))
        angles = torch.outer(torch.arange(LONGEST).float(), speeds)
        self.register_buffer("freqs_cis", torch.polar(torch.ones_like(angles), angles), persistent=False)

    def forward(self, tokens: Tensor) -> Tensor:
        batch, seq = tokens.shape
        h = self.tok_embeddings(tokens)
        table = self.freqs_cis[:seq]
        mask = torch.triu(torch.full((seq, seq), float("-inf")), diagonal=1)
        for layer in self.layers:
            x = layer.attention_norm(h)
            q = complex_rope(layer.wq(x).view(batch, seq, HEADS, self.size), table)
            k = complex_rope(layer.wk(x).view(batch, seq, self.kv_heads, self.size), table)
            v = layer.wv(x).view(batch, seq, self.kv_heads, self.size)
            k, v = (self._repeat(t).transpose(1, 2) for t in (k, v))
            scores = torch.matmul(q.transpose(1, 2), k.transpose(2, 3)) / math.sqrt(self.size) + mask
            out = torch.matmul(F.softmax(scores.float(), dim=-1).type_as(q), v)
            h = h + layer.wo(out.transpose(1, 2).contiguous().view(batch, seq, -1))
            x = layer.ffn_norm(h)
            h = h + layer.w2(F.silu(layer.w1(x)) * layer.w3(x))
        return self.output(self.norm(h)).float()

    def _repeat(self, x: Tensor) -> Tensor:
        batch, seq, heads, size = x.shape
        group = HEADS // heads
        return x[:, :, :, None, :].expand(batch, seq, heads, group, size).reshape(batch, seq, HEADS, size)


class NanoGpt(nn.Module):
    """One projection for q, k and v, split; torch's attention; learned positions; a tied head; dropout."""

    def __init__(self, flash: bool = True):
        super().__init__()
        self.flash = flash
        self.wte, self.wpe = nn.Embedding(VOCAB, WIDTH), nn.Embedding(LONGEST, WIDTH)
        self.drop = nn.Dropout(0.1)
        self.h = nn.ModuleList()
        for _ in range(LAYERS):
            block = nn.Module()
            block.ln_1, block.ln_2 = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH, bias=False)
            block.c_attn, block.c_proj = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)
            block.c_fc, block.c_out = nn.Linear(WIDTH, 4 * WIDTH), nn.Linear(4 * WIDTH, WIDTH)
            self.h.append(block)
        self.ln_f = nn.LayerNorm(WIDTH)
        self.lm_head = nn.Linear(WIDTH, VOCAB, bias=False)
        self.lm_head.weight = self.wte.weight
        self.register_buffer("bias", torch.tril(torch.ones(LONGEST, LONGEST)).view(1, 1, LONGEST, LONGEST))

    def forward(self, idx: Tensor) -> Tensor:
        b, t = idx.size()
        x = self.drop(self.wte(idx) + self.wpe(torch.arange(0, t, dtype=torch.long, device=idx.device)))
        for block in self.h:
            q, k, v = block.c_attn(block.ln_1(x)).split(WIDTH, dim=2)
            k, q, v = (u.view(b, t, HEADS, WIDTH // HEADS).transpose(1, 2) for u in (k, q, v))
            if self.flash:
                y = F.scaled_dot_product_attention(q, k, v, dropout_p=0.0, is_causal=True)
            else:
                att = (q @ k.transpose(-2, -1)) * (1.0 / math.sqrt(k.size(-1)))
                att = att.masked_fill(self.bias[:, :, :t, :t] == 0, float("-inf"))
                y = self.drop(F.softmax(att, dim=-1)) @ v
            x = x + self.drop(block.c_proj(y.transpose(1, 2).contiguous().view(b, t, WIDTH)))
            x = x + block.c_out(self._gelu(block.c_fc(block.ln_2(x))))
        return self.lm_head(self.ln_f(x))

    def _gelu(self, x: Tensor) -> Tensor:
        if self.flash:
            return F.gelu(x)
        return 0.5 * x * (1.0 + torch.tanh(math.sqrt(2.0 / math.pi) * (x + 0.044715 * torch.pow(x, 3.0))))


class EinsumModel(nn.Module):
    """Products by einsum and with transposed parameters, interleaved rotary by stacking, torch.where for the mask."""

    def __init__(self):
        super().__init__()
        self.table = nn.Parameter(torch.randn(VOCAB, WIDTH))
        self.size = WIDTH // HEADS
        self.norms = nn.ModuleList(OffsetRms(WIDTH) for _ in range(2 * LAYERS + 1))
        for name, out, inner in (
            ("wq", WIDTH, WIDTH),
            ("wk", WIDTH, WIDTH),
            ("wv", WIDTH, WIDTH),
            ("wo", WIDTH, WIDTH),
        ):
            setattr(self, name, nn.ParameterList(nn.Parameter(torch.randn(inner, out)) for _ in range(LAYERS)))
        self.up = nn.ParameterList(nn.Parameter(torch.randn(60, WIDTH)) for _ in range(LAYERS))
        self.down = nn.ParameterList(nn.Parameter(torch.randn(WIDTH, 30)) for _ in range(LAYERS))

    def rotate(self, x: Tensor) -> Tensor:
        """[B, S, H, D]; angles made in forward."""
        speeds = torch.exp(torch.arange(0, self.size, 2) * (-math.log(500.0) / self.size))
        angles = torch.arange(x.shape[1])[:, None] * speeds[None, :]
        cos, sin = angles.cos()[None, :, None, :], angles.sin()[None, :, None, :]
        even, odd = x[..., ::2], x[..., 1::2]
        return torch.stack((even * cos - odd * sin, odd * cos + even * sin), dim=-1).flatten(-2)

    def forward(self, tokens: Tensor) -> Tensor:
        b, s = tokens.shape
        x = F.embedding(tokens, self.table) * math.sqrt(WIDTH)
        place = torch.arange(s)
        allowed = place[:, None] >= place[None, :]
        for i in range(LAYERS):
            y = self.norms[2 * i](x)
            q, k, v = (
                torch.einsum("bsi,io->bso", y, w[i]).reshape(b, s, HEADS, self.size)
                for w in (self.wq, self.wk, self.wv)
            )
            scores = torch.einsum("bqhd,bkhd->bhqk", self.rotate(q), self.rotate(k)) * self.size**-0.5
            weights = torch.softmax(torch.where(allowed, scores, torch.tensor(-1e9)), -1)
            mixed = torch.einsum("bhqk,bkhd->bqhd", weights, v).reshape(b, s, WIDTH)
            x = x + mixed @ self.wo[i]
            gate, value = (self.norms[2 * i + 1](x) @ self.up[i].T).chunk(2, dim=-1)
            x = x + torch.matmul(value * (gate * torch.sigmoid(1.702 * gate)), self.down[i].t())
        return self.norms[-1](x) @ self.table.T


class FlatModel(nn.Module):
    """Everything flattened: [B*S, F] activations, [B*H, S, D] heads, bmm, addmm, softmax written out, a window."""

    def __init__(self, window: int = 5):
        super().__init__()
        self.window, self.size = window, WIDTH // HEADS
        self.embed = nn.Embedding(VOCAB, WIDTH)
        self.place = nn.Parameter(torch.randn(1, LONGEST, WIDTH))
        self.blocks = nn.ModuleList()
        for _ in range(LAYERS):
            block = nn.Module()
            block.first, block.second = VarLayerNorm(WIDTH), MeanLayerNorm(WIDTH)
            block.qkv = nn.ParameterList([nn.Parameter(torch.randn(WIDTH, WIDTH)) for _ in range(3)])
            block.qkv_bias = nn.ParameterList([nn.Parameter(torch.randn(WIDTH)) for _ in range(3)])
            block.out = nn.Linear(WIDTH, WIDTH)
            block.wide, block.narrow = nn.Linear(WIDTH, 48), nn.Linear(48, WIDTH)
            self.blocks.append(block)
        self.head = nn.Linear(WIDTH, VOCAB)

    def forward(self, tokens: Tensor) -> Tensor:
        b, s = tokens.shape
        x = self.embed(tokens) + self.place[:, :s]
        row, column = torch.arange(s)[:, None], torch.arange(s)[None, :]
        hidden = (column > row) | (column <= row - self.window)
        bias = torch.zeros(s, s).masked_fill(hidden, -10000.0)
        x = x.view(b * s, WIDTH)
        for block in self.blocks:
            y = block.first(x)
            q, k, v = (
                torch.addmm(bias_, y, w)
                .view(b, s, HEADS, self.size)
                .permute(0, 2, 1, 3)
                .reshape(b * HEADS, s, self.size)
                for w, bias_ in zip(block.qkv, block.qkv_bias, strict=True)
            )
            scores = torch.bmm(q * self.size**-0.5, k.transpose(1, 2)).view(b, HEADS, s, s) + bias
            powers = torch.exp(scores - scores.amax(dim=-1, keepdim=True))
            weights = (powers / powers.sum(-1, keepdim=True)).view(b * HEADS, s, s)
            mixed = torch.bmm(weights, v).view(b, HEADS, s, self.size).transpose(1, 2).reshape(b * s, WIDTH)
            x = x + block.out(mixed)
            h = block.wide(block.second(x))
            x = x + block.narrow(h * 0.5 * (1.0 + torch.erf(h / math.sqrt(2.0))))
        return self.head(x).view(b, s, VOCAB)


class ParallelModel(nn.Module):
    """Attention and MLP side by side; rotary on half of each head, written with chunk; all heads share k and v."""

    def __init__(self):
        super().__init__()
        self.size = WIDTH // HEADS * 2
        self.embed = nn.Embedding(VOCAB, WIDTH)
        self.ln = nn.ModuleList(nn.LayerNorm(WIDTH) for _ in range(LAYERS))
        self.fused = nn.ModuleList(nn.Linear(WIDTH, HEADS * self.size + 2 * self.size + 48) for _ in range(LAYERS))
        self.out = nn.ModuleList(nn.Linear(HEADS * self.size, WIDTH) for _ in range(LAYERS))
        self.down = nn.ModuleList(nn.Linear(48, WIDTH) for _ in range(LAYERS))
        self.head = nn.Linear(WIDTH, VOCAB)
        turning = self.size // 2
        speeds = 10000.0 ** (-torch.arange(0, turning, 2).float() / turning)
        angles = torch.arange(LONGEST).float()[:, None] * speeds
        self.register_buffer("cos", angles.cos())
        self.register_buffer("sin", angles.sin())

    def rotate(self, x: Tensor) -> Tensor:
        """[B, H, S, D]."""
        s, turning = x.shape[-2], self.size // 2
        a, b = x[..., :turning].chunk(2, dim=-1)
        cos, sin = self.cos[:s], self.sin[:s]
        return torch.cat([a * cos - b * sin, b * cos + a * sin, x[..., turning:]], dim=-1)

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.embed(tokens)
        for ln, fused, out, down in zip(self.ln, self.fused, self.out, self.down, strict=True):
            q, k, v, h = fused(ln(x)).split([HEADS * self.size, self.size, self.size, 48], dim=-1)
            q = q.unflatten(-1, (HEADS, self.size)).movedim(2, 1)
            mixed = F.scaled_dot_product_attention(
                self.rotate(q), self.rotate(k.unsqueeze(1)), v.unsqueeze(1), is_causal=True, enable_gqa=True
            )
            x = x + out(mixed.transpose(1, 2).flatten(2)) + down(F.relu(h) ** 2)
        return self.head(x)


class TorchEncoder(nn.Module):
    """torch's own encoder layers (post-norm, fused projections), sinusoidal positions in a buffer."""

    def __init__(self, norm_first: bool = False):
        super().__init__()
        self.embed = nn.Embedding(VOCAB, WIDTH)
        place = torch.arange(LONGEST).float()[:, None]
        speeds = torch.exp(torch.arange(0, WIDTH, 2).float() * (-math.log(10000.0) / WIDTH))
        table = torch.zeros(LONGEST, WIDTH)
        table[:, 0::2], table[:, 1::2] = torch.sin(place * speeds), torch.cos(place * speeds)
        self.register_buffer("pe", table.unsqueeze(0))
        layer = nn.TransformerEncoderLayer(
            WIDTH, HEADS, 48, dropout=0.1, batch_first=True, norm_first=norm_first, activation="gelu"
        )
        self.encoder = nn.TransformerEncoder(layer, LAYERS, enable_nested_tensor=False)
        self.head = nn.Linear(WIDTH, VOCAB)

    def forward(self, tokens: Tensor) -> Tensor:
        s = tokens.shape[1]
        x = self.embed(tokens) * math.sqrt(WIDTH) + self.pe[:, :s]
        mask = nn.Transformer.generate_square_subsequent_mask(s)
        return self.head(self.encoder(x, mask=mask, is_causal=True))


class SoftCapped(nn.Module):
    """Soft-capped scores and logits, norms of queries and keys, q, k and v interleaved by head, norms after blocks."""

    def __init__(self):
        super().__init__()
        self.size = WIDTH // HEADS
        self.embed = nn.Embedding(VOCAB, WIDTH)
        self.qkv = nn.ModuleList(nn.Linear(WIDTH, 3 * WIDTH) for _ in range(LAYERS))
        self.out = nn.ModuleList(nn.Linear(WIDTH, WIDTH) for _ in range(LAYERS))
        self.after = nn.ModuleList(PlainRms(WIDTH, 1e-6) for _ in range(LAYERS))
        self.head = nn.Linear(WIDTH, VOCAB, bias=False)

    def forward(self, tokens: Tensor) -> Tensor:
        b, s = tokens.shape
        x = self.embed(tokens)
        blocked = torch.ones(s, s, dtype=torch.bool).triu(1)
        for qkv, out, after in zip(self.qkv, self.out, self.after, strict=True):
            q, k, v = qkv(x).view(b, s, HEADS, 3 * self.size).transpose(1, 2).chunk(3, dim=-1)
            scores = torch.einsum("bhqd,bhkd->bhqk", q, k) / math.sqrt(self.size)
            scores = 30.0 * torch.tanh(scores / 30.0)
            weights = scores.masked_fill(blocked, torch.finfo(scores.dtype).min).softmax(dim=-1)
            mixed = (weights @ v).permute(0, 2, 1, 3).contiguous().view(b, s, -1)
            x = x + after(out(mixed))
        return torch.tanh(self.head(x) / 10.0) * 10.0


#: Every model by name.
MODELS: dict[str, Callable[[], nn.Module]] = {
    "meta_llama": MetaLlama,
    "meta_llama_mqa": lambda: MetaLlama(kv_heads=1),
    "nano_gpt": NanoGpt,
    "nano_gpt_written_out": lambda: NanoGpt(flash=False),
    "einsum": EinsumModel,
    "flat": FlatModel,
    "parallel": ParallelModel,
    "torch_encoder": TorchEncoder,
    "torch_encoder_norm_first": lambda: TorchEncoder(norm_first=True),
    "soft_capped": SoftCapped,
}


def handwritten(name: str, seed: int = 0) -> nn.Module:
    """The model with reproducible random parameters, in evaluation mode."""
    model = MODELS[name]().eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            parameter.copy_(noise * 0.2 if parameter.dim() > 1 else 1 + noise * 0.2)
    return model
