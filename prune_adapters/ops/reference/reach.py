"""One step of a sweep along a weight, in plain torch."""

from collections.abc import Sequence

import torch

from prune_adapters.ops.reference.masks import unpack_mask

__all__ = ["count_consistent", "reach_sources", "reach_targets"]


def reach_targets(weight: torch.Tensor, size: Sequence[int], live: torch.Tensor, groups: int) -> torch.Tensor:
    """Return which rows have an edge from a live column; see `prune_adapters.ops.reach_targets`."""
    edges = _edges(weight, size, groups)
    return (edges.any(3) & live.view(groups, 1, -1)).any(2).view(-1)


def reach_sources(weight: torch.Tensor, size: Sequence[int], co: torch.Tensor, groups: int) -> torch.Tensor:
    """Return which columns have an edge into a co-accessible row; see `prune_adapters.ops.reach_sources`."""
    edges = _edges(weight, size, groups)
    return (edges.any(3) & co.view(groups, -1, 1)).any(1).view(-1)


def count_consistent(
    weight: torch.Tensor, size: Sequence[int], live: torch.Tensor, co: torch.Tensor, groups: int
) -> torch.Tensor:
    """Return how many elements join a live column to a co-accessible row; see `prune_adapters.ops.count_consistent`."""
    pairs = _edges(weight, size, groups).sum(3)
    return (pairs * live.view(groups, 1, -1) * co.view(groups, -1, 1)).sum()


def _edges(weight: torch.Tensor, size: Sequence[int], groups: int) -> torch.Tensor:
    """Return which elements are not 0: bool, shape (groups, rows of a group, columns, taps)."""
    kept = unpack_mask(weight, size) if size else weight != 0
    rows, columns = kept.shape[:2]
    return kept.reshape(groups, rows // groups, columns, kept.shape[2:].numel())
