"""Vision transformers: with attention of our own, and with torch's encoder layer."""

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["TorchViT", "ViT"]


class Attention(nn.Module):
    """Multi-head self-attention with one joint projection for query, key and value."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(dim, 3 * dim)
        self.out = nn.Linear(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        batch, tokens, dim = x.shape
        qkv = self.qkv(x).reshape(batch, tokens, 3, self.heads, dim // self.heads)
        query, key, value = qkv.permute(2, 0, 3, 1, 4)
        mixed = functional.scaled_dot_product_attention(query, key, value)
        return self.out(mixed.transpose(1, 2).reshape(batch, tokens, dim))


class Block(nn.Module):
    """Pre-norm encoder block: attention, then a two-layer perceptron, each beside a skip."""

    def __init__(self, dim: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.norm1, self.attention = nn.LayerNorm(dim), Attention(dim, heads)
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = nn.Sequential(nn.Linear(dim, hidden), nn.GELU(), nn.Linear(hidden, dim))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class ViT(nn.Module):
    """Vision transformer, reads out the class token or the mean; the defaults are ViT-B/16, 86,567,656 parameters."""

    def __init__(
        self,
        *,
        image: int = 224,
        patch: int = 16,
        dim: int = 768,
        depth: int = 12,
        heads: int = 12,
        hidden: int = 3072,
        classes: int = 1000,
        readout: str = "class",
    ) -> None:
        super().__init__()
        tokens = (image // patch) ** 2 + (readout == "class")
        self.patches = nn.Conv2d(3, dim, patch, patch)
        self.class_token = nn.Parameter(torch.zeros(1, 1, dim)) if readout == "class" else None
        self.pos_embedding = nn.Parameter(torch.randn(1, tokens, dim) * 0.02)
        self.blocks = nn.Sequential(*(Block(dim, heads, hidden) for _ in range(depth)))
        self.norm = nn.LayerNorm(dim)
        self.head = nn.Linear(dim, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patches(x).flatten(2).transpose(1, 2)
        if self.class_token is not None:
            x = torch.cat((self.class_token.expand(x.shape[0], -1, -1), x), dim=1)
        x = self.norm(self.blocks(x + self.pos_embedding))
        return self.head(x.mean(dim=1) if self.class_token is None else x[:, 0])


class TorchViT(nn.Module):
    """Encoder of torch's own layers (nn.MultiheadAttention inside), mean readout."""

    def __init__(self, *, patch: int = 4, dim: int = 16, depth: int = 2, heads: int = 2, classes: int = 5) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, dim, patch, patch)
        layer = {"dim_feedforward": 2 * dim, "activation": "gelu", "batch_first": True}
        self.layers = nn.ModuleList(nn.TransformerEncoderLayer(dim, heads, **layer) for _ in range(depth))
        self.head = nn.Linear(dim, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patches(x).flatten(2).transpose(1, 2)
        for layer in self.layers:
            x = layer(x)
        return self.head(x.mean(dim=1))
