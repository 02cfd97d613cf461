"""Attention heads that nothing listens to: found, and taken out of `torch.nn.MultiheadAttention`."""

from collections.abc import Iterator, Mapping

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from prune_adapters.groups.attention import attention_layers, columns_of_heads
from prune_adapters.trace.tape import Tape

__all__ = ["FewerHeads", "dead_heads", "remove_heads"]


class FewerHeads(nn.MultiheadAttention):
    """`torch.nn.MultiheadAttention` without some of its heads.

    Parameters
    ----------
    kept_heads : tuple of int
        Heads that are left, as they were numbered.
    original_heads : int
        How many there were, as a mask with one page for each head has it.
    """

    kept_heads: tuple[int, ...]
    original_heads: int

    def forward(
        self,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        key_padding_mask: torch.Tensor | None = None,
        need_weights: bool = True,
        attn_mask: torch.Tensor | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Return what `torch.nn.MultiheadAttention` returns; weights are those of the heads that are left."""
        batched, sides = query.dim() == 3, [query, key, value]
        if not batched:
            sides = [side.unsqueeze(0) for side in sides]
        elif not self.batch_first:
            sides = [side.transpose(0, 1) for side in sides]
        queries, keys, values = self._projected(*sides)
        mask = self._mask(attn_mask, key_padding_mask, queries)
        weights = None
        dropout = self.dropout if self.training else 0.0
        if need_weights:
            scores = queries @ keys.transpose(-2, -1) / self.head_dim**0.5
            weights = functional.dropout((scores if mask is None else scores + mask).softmax(dim=-1), dropout)
            mixed = weights @ values
            weights = weights.mean(dim=1) if average_attn_weights else weights
        else:
            mixed = functional.scaled_dot_product_attention(queries, keys, values, mask, dropout)
        out = functional.linear(mixed.transpose(1, 2).flatten(2), self.out_proj.weight, self.out_proj.bias)
        if not batched:
            return out.squeeze(0), None if weights is None else weights.squeeze(0)
        return (out if self.batch_first else out.transpose(0, 1)), weights

    def _projected(self, *sides: torch.Tensor) -> Iterator[torch.Tensor]:
        """Yield queries, keys and values, each of shape (batch, heads, tokens, head_dim)."""
        biases = [None] * 3 if self.in_proj_bias is None else self.in_proj_bias.chunk(3)
        for side, weight, bias in zip(sides, self.in_proj_weight.chunk(3), biases, strict=True):
            yield functional.linear(side, weight, bias).unflatten(-1, (self.num_heads, -1)).transpose(1, 2)

    def _mask(
        self, attn_mask: torch.Tensor | None, key_padding_mask: torch.Tensor | None, like: torch.Tensor
    ) -> torch.Tensor | None:
        """Return both masks as one that is added to the scores."""
        masks = []
        if attn_mask is not None:
            pages = attn_mask if attn_mask.dim() == 2 else attn_mask.unflatten(0, (-1, self.original_heads))
            masks.append(_added(pages if attn_mask.dim() == 2 else pages[:, list(self.kept_heads)], like))
        if key_padding_mask is not None:
            masks.append(_added(key_padding_mask, like).reshape(-1, 1, 1, key_padding_mask.shape[-1]))
        return sum(masks[1:], masks[0]) if masks else None


def _added(mask: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """Return a mask as what is added to the scores: True means that a position is not seen."""
    if mask.dtype != torch.bool:
        return mask if mask.dtype == like.dtype else mask.to(like.dtype)
    return torch.zeros_like(mask, dtype=like.dtype).masked_fill(mask, float("-inf"))


def dead_heads(tape: Tape, model: nn.Module, masks: Mapping[str, torch.Tensor]) -> dict[str, tuple[np.ndarray, int]]:
    """Return which heads have no kept weight in the output projection, and the width of all, by module path.

    Parameters
    ----------
    tape : Tape
    model : Module
        That was captured.
    masks : mapping of str to Tensor of bool
        Without the weights out of zero units.
    """
    found = {}
    for path, attention in attention_layers(tape, model).items():
        mask = masks.get(f"{path}.out_proj.weight".lstrip("."))
        if mask is not None:
            dead = ~mask.any(dim=0).reshape(attention.num_heads, -1).any(dim=1)
            dead[0] &= not bool(dead.all())  # one must be left
            if dead.any():
                found[path] = dead.cpu().numpy(), attention.embed_dim
    return found


def remove_heads(attention: nn.MultiheadAttention, keep: torch.Tensor) -> None:
    """Take heads out of an attention layer in place, but for the columns of its output projection.

    Parameters
    ----------
    attention : MultiheadAttention
        With one joint projection for queries, keys and values.
    keep : Tensor of bool, shape (n_heads,)
    """
    kept = [int(head) for head in keep.nonzero().flatten()]
    rows = torch.cat([columns_of_heads(attention, kept) + part * attention.embed_dim for part in range(3)])
    for name in ("in_proj_weight", "in_proj_bias"):
        parameter = attention._parameters.get(name)
        if parameter is not None:
            smaller = parameter.detach().index_select(0, rows.to(parameter.device))
            setattr(attention, name, nn.Parameter(smaller, parameter.requires_grad))
    attention.__class__ = FewerHeads
    attention.original_heads, attention.kept_heads = attention.num_heads, tuple(kept)  # type: ignore[assignment]
    attention.num_heads = len(kept)
    # Encoder layers of torch have a fused path, for attention as it was; this turns it off.
    attention._qkv_same_embed_dim = False
