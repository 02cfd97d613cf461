"""Calls with fixed numbers: whether they still do what they did when channels go."""

import numpy as np
import torch

from prune_adapters.groups.step import Movement

__all__ = ["moves_alike"]


def moves_alike(movement: Movement, gone: np.ndarray) -> bool:
    """Return whether a call with fixed numbers does to the channels that stay what it does to all of them."""
    source, going = movement.source, gone[movement.source.numbers]
    if not going.any():
        return True
    sizes = [-1 if d == source.dim else 1 for d in range(len(source.shape))]
    places = torch.from_numpy(np.flatnonzero(~going)).reshape(sizes)
    shape = [len(places.reshape(-1)) if d == source.dim else size for d, size in enumerate(source.shape)]
    try:
        found = movement.move(places.expand(shape))
    except (RuntimeError, IndexError):
        return False
    return len(found) == len(movement.places) and all(
        _lie_along(ids, dim, along[~going[along]]) for ids, (dim, along) in zip(found, movement.places, strict=True)
    )


def _lie_along(ids: torch.Tensor, dim: int, expected: np.ndarray) -> bool:
    """Return whether `ids` are the expected ones, at least one, along `dim` and the same along all others."""
    if not len(expected) or ids.dim() <= dim or ids.shape[dim] != len(expected):
        return False
    return bool((ids.movedim(dim, -1) == torch.from_numpy(expected)).all())
