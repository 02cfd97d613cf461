"""What residual branches give at drawn positions of drawn inputs."""

from collections.abc import Sequence
from math import prod

import numpy as np
import torch
from torch import nn

from prune_adapters.graph_pruning.redundancy.residual import Branches

__all__ = ["chosen_batches", "grid_of", "sampled"]

Grid = tuple[int, ...]
"""Sizes along which a branch has positions."""


def chosen_batches(data: torch.Tensor, n: int, batch_size: int, rng: np.random.Generator) -> list[torch.Tensor]:
    """Return batches of one size of inputs in random order: an even number, as every other one is held out.

    Parameters
    ----------
    data : Tensor, shape (inputs, ...)
    n : int
        Inputs that are wanted; a last batch is filled up.
    batch_size : int
    rng : numpy Generator

    Returns
    -------
    list of Tensor

    Raises
    ------
    ValueError
        There are fewer inputs than two batches have.
    """
    if len(data) < 2 * batch_size:
        raise ValueError(f"data: expected at least two batches of {batch_size} inputs, got {len(data)}; set batch_size")
    batches = min(2 * -(-n // (2 * batch_size)), len(data) // batch_size // 2 * 2)
    order = torch.from_numpy(rng.permutation(len(data))[: batches * batch_size])
    return list(data[order].split(batch_size))


def sampled(
    model: nn.Module, branches: Branches, batches: Sequence[torch.Tensor], places: np.ndarray
) -> dict[tuple[int, Grid], np.ndarray]:
    """Return what each branch gives at the drawn positions of each size of branch from its own on.

    Parameters
    ----------
    model : Module
    branches : Branches
    batches : sequence of Tensor
    places : ndarray of float64, shape (batches, positions, 2)
        As shares of height and width.

    Returns
    -------
    dict of (int, Grid) to ndarray of float64, shape (samples, channels)
    """
    device = next((p.device for p in model.parameters()), torch.device("cpu"))
    grids = [grid_of(shape) for shape in branches.shapes]
    parts: dict[tuple[int, Grid], list[torch.Tensor]] = {}
    for batch, own in zip(batches, places, strict=True):
        for number, value in enumerate(branches.values(model, batch.to(device))):
            flat = (
                value.flatten(2).transpose(1, 2) if value.dim() == 4 else value.reshape(len(value), -1, value.shape[-1])
            )
            for grid in dict.fromkeys(grids[number:]):
                chosen = torch.from_numpy(_positions(own, grid, grids[number])).to(device)
                parts.setdefault((number, grid), []).append(flat[:, chosen].flatten(0, 1).cpu())
    return {key: torch.cat(held).double().numpy() for key, held in parts.items()}


def grid_of(shape: Sequence[int]) -> Grid:
    """Return the sizes along which a branch has positions: all but inputs and channels."""
    return tuple(shape[2:] if len(shape) == 4 else shape[1:-1])


def _positions(shares: np.ndarray, drawn_on: Grid, grid: Grid) -> np.ndarray:
    """Return the flat positions in one grid that lie where those that are drawn on another begin."""
    if not drawn_on or not grid:
        return np.zeros(len(shares), dtype=np.int64)
    places = [(shares[:, d] * size).astype(np.int64) for d, size in enumerate(drawn_on)]
    if len(drawn_on) != len(grid):
        return np.ravel_multi_index(places, drawn_on) * prod(grid) // prod(drawn_on)
    moved = [place * size // own for place, size, own in zip(places, grid, drawn_on, strict=True)]
    return np.ravel_multi_index(moved, grid)
