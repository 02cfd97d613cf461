"""A Llama in plain torch, with the shapes and parameter names of the published checkpoints.

RMS norm before each half of a block, rotary positions, grouped queries, a gated feed-forward part, no biases.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["SIZES", "Llama", "Size", "llama_7b"]


@dataclass(frozen=True)
class Size:
    """The shape of a Llama.

    Parameters
    ----------
    width, hidden, depth, vocabulary : int
        Width of the residual stream and of the feed-forward part, number of blocks and of tokens.
    heads, key_heads : int
        Query heads, and key and value heads; each of these serves ``heads / key_heads`` query heads.
    """

    width: int
    hidden: int
    depth: int
    vocabulary: int
    heads: int
    key_heads: int


SIZES = {
    "7B": Size(width=4096, hidden=11008, depth=32, vocabulary=32000, heads=32, key_heads=32),
    "1B": Size(width=2048, hidden=8192, depth=16, vocabulary=128256, heads=32, key_heads=8),
    "tiny": Size(width=64, hidden=160, depth=2, vocabulary=96, heads=4, key_heads=2),
}


def rotated(x: Tensor) -> Tensor:
    """Return heads turned by angles that grow with the position: shape (batch, heads, tokens, channels)."""
    tokens, half = x.shape[-2], x.shape[-1] // 2
    speed = 10000 ** -(torch.arange(half, device=x.device) / half)
    angle = torch.arange(tokens, device=x.device)[:, None] * torch.cat([speed, speed])
    turned = torch.cat([-x[..., half:], x[..., :half]], dim=-1)
    return x * angle.cos().to(x.dtype) + turned * angle.sin().to(x.dtype)


class Attention(nn.Module):
    """Causal self-attention with rotary positions; key and value heads are shared by groups of query heads."""

    def __init__(self, size: Size) -> None:
        super().__init__()
        self.head_width = size.width // size.heads
        self.q_proj = nn.Linear(size.width, size.width, bias=False)
        self.k_proj = nn.Linear(size.width, size.key_heads * self.head_width, bias=False)
        self.v_proj = nn.Linear(size.width, size.key_heads * self.head_width, bias=False)
        self.o_proj = nn.Linear(size.width, size.width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        projected = (self.q_proj(x), self.k_proj(x), self.v_proj(x))
        query, key, value = (part.unflatten(-1, (-1, self.head_width)).transpose(1, 2) for part in projected)
        mixed = F.scaled_dot_product_attention(rotated(query), rotated(key), value, is_causal=True, enable_gqa=True)
        return self.o_proj(mixed.transpose(1, 2).flatten(2))


class FeedForward(nn.Module):
    """Two projections, one of which gates the other, and one back."""

    def __init__(self, size: Size) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(size.width, size.hidden, bias=False)
        self.up_proj = nn.Linear(size.width, size.hidden, bias=False)
        self.down_proj = nn.Linear(size.hidden, size.width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


class Block(nn.Module):
    """Attention and feed-forward part, each normalised first and beside a skip."""

    def __init__(self, size: Size) -> None:
        super().__init__()
        self.input_layernorm, self.post_attention_layernorm = nn.RMSNorm(size.width), nn.RMSNorm(size.width)
        self.self_attn, self.mlp = Attention(size), FeedForward(size)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.self_attn(self.input_layernorm(x))
        return x + self.mlp(self.post_attention_layernorm(x))


class Decoder(nn.Module):
    """Token embedding, blocks and a last norm."""

    def __init__(self, size: Size) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(size.vocabulary, size.width)
        self.layers = nn.ModuleList(Block(size) for _ in range(size.depth))
        self.norm = nn.RMSNorm(size.width)

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.embed_tokens(tokens)
        for layer in self.layers:
            x = layer(x)
        return self.norm(x)


class Llama(nn.Module):
    """A language model: tokens of shape (batch, tokens) to logits of shape (batch, tokens, vocabulary).

    Parameters
    ----------
    size : Size
    tied : bool
        Let the output projection be the embedding table.
    """

    def __init__(self, size: Size, *, tied: bool = False) -> None:
        super().__init__()
        self.model = Decoder(size)
        self.lm_head = nn.Linear(size.width, size.vocabulary, bias=False)
        if tied:
            self.lm_head.weight = self.model.embed_tokens.weight

    def forward(self, tokens: Tensor) -> Tensor:
        return self.lm_head(self.model(tokens))


def llama_7b() -> Llama:
    """Return the shape of Llama 2 with 6.7e9 parameters; 27 GB in float32 unless it is built on the meta device."""
    return Llama(SIZES["7B"])
