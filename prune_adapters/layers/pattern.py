"""What masks of single layers look like: whether they are kept in whole blocks, and what they leave to each output."""

import math
from collections.abc import Sequence

import torch
from torch import nn

from netgraph import NodeGraph
from prune_adapters.errors import MaskError
from prune_adapters.kept import remembered, weight_and_bits
from prune_adapters.ops import unpack_mask
from prune_adapters.shards import is_spread

__all__ = ["block_size", "check_mask", "graph_block", "kept_of", "start_bias", "start_values"]


ROWS = 256


def kept_of(layer: nn.Module, mask: torch.Tensor | None) -> torch.Tensor:
    """Return the mask of a layer's weight: the one given, or the one it remembers, or what is not 0.

    Raises
    ------
    MaskError
        The mask has another shape or dtype than the weight asks for, or the weight is spread over ranks.
    """
    weight = layer.get_parameter("weight")
    if is_spread(weight):
        raise MaskError(f"{type(layer).__name__}: the weight is spread over ranks (DTensor), which stays dense")
    if mask is not None:
        check_mask(type(layer).__name__, mask, weight.shape)
        return mask.to(weight.device)
    if any(key == "weight" for _, key in remembered(layer)):
        return unpack_mask(weight_and_bits(layer, "weight")[1], weight.shape)
    return weight.detach() != 0


def check_mask(name: str, mask: torch.Tensor, shape: Sequence[int]) -> None:
    """Raise MaskError if a mask is not one of that shape."""
    if mask.dtype != torch.bool:
        raise MaskError(f"{name}: mask: expected dtype torch.bool, got {mask.dtype}; use mask != 0")
    if mask.shape != torch.Size(shape):
        raise MaskError(f"{name}: mask: expected shape {tuple(shape)}, got {tuple(mask.shape)}")


def block_size(mask: torch.Tensor) -> tuple[int, int]:
    """Return the largest blocks of rows and columns that a mask keeps or removes as wholes.

    Parameters
    ----------
    mask : Tensor of bool, shape (rows, columns, ...)
        The last dimensions count too: they may differ from block to block, not inside one.

    Returns
    -------
    tuple of int
        Rows and columns of a block; they divide those of the mask.

    Examples
    --------
    >>> block_size(torch.tensor([[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 1], [0, 0, 1, 1]]).bool())
    (2, 2)
    """
    return _period(mask.flatten(1)), _period(mask.transpose(0, 1).flatten(1))


def _period(rows: torch.Tensor) -> int:
    """Return the largest divisor of the number of rows such that all rows of a part of that size are equal."""
    changes = (rows[1:] != rows[:-1]).any(dim=1).nonzero().flatten() + 1
    return math.gcd(len(rows), *changes.tolist())


def graph_block(name: str, graph: NodeGraph, rows: int, columns: int, share_neighbours: int) -> tuple[int, int]:
    """Return the blocks in which a graph joins the channels of a layer.

    Raises
    ------
    ValueError
        The nodes do not all own equally many channels.
    """
    parts = graph.n_nodes * share_neighbours
    if rows % graph.n_nodes or columns % parts:
        raise ValueError(
            f"{name}: expected outputs that are a multiple of {graph.n_nodes} and inputs that are one of {parts}, got "
            f"{rows} and {columns}; take another number of nodes, or the sparse layer with the mask of regular_masks"
        )
    return rows // graph.n_nodes, columns // parts


def start_values(mask: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """Return a weight as torch initialises it, by the fan-in that the mask leaves to each output.

    Parameters
    ----------
    mask : Tensor of bool
        True = kept.
    like : Tensor
        Of the device and dtype that the weight is to have.
    """
    drawn = torch.empty(mask.shape, device=like.device, dtype=like.dtype).uniform_(-1, 1)
    return drawn.mul_(_bound(mask, like).reshape(-1, *[1] * (mask.dim() - 1)))


def start_bias(mask: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """Return a bias as torch initialises it, by the fan-in that the mask leaves to each output; see `start_values`."""
    return torch.empty(len(mask), device=like.device, dtype=like.dtype).uniform_(-1, 1) * _bound(mask, like)


def _bound(mask: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    parts = mask.flatten(1).split(ROWS)  # torch sums bool in a copy of int64, here of some rows only
    kept = torch.cat([part.sum(dim=1) for part in parts]).clamp_min(1)
    return (1 / kept.to(like.device, like.dtype)).sqrt()
