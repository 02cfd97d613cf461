"""Arithmetic on tensors of unit ids: shrink, reduce to sets, align.

An id tensor has the rank of the activation that it describes and size 1 on every dimension along which the unit does
not change; `compress` brings it there. Keeping them small is what makes tracing fast.
"""

from collections.abc import Sequence

import numpy as np
import torch

__all__ = ["compress", "sets_over", "unique_rows"]


def compress(ids: torch.Tensor) -> torch.Tensor:
    """Return the ids with every dimension narrowed to size 1 along which they do not change.

    Examples
    --------
    >>> compress(torch.arange(3).reshape(3, 1).expand(3, 4)).shape
    torch.Size([3, 1])
    """
    for dim in range(ids.dim()):
        if ids.shape[dim] > 1 and ids.stride(dim) == 0:
            ids = ids.narrow(dim, 0, 1)
    for dim in range(ids.dim()):
        if ids.shape[dim] > 1:
            first = ids.narrow(dim, 0, 1)
            # The last slice nearly always differs when any does: a cheap refusal before the full comparison.
            if torch.equal(first, ids.narrow(dim, -1, 1)) and bool((ids == first).all()):
                ids = first
    return ids


def sets_over(ids: torch.Tensor, dims: Sequence[int]) -> tuple[torch.Tensor, list[int]]:
    """Return the ids met along `dims`, one row for each position of the other dimensions.

    Returns
    -------
    rows : Tensor of int64, shape (n_rows, n_ids)
    kept_shape : list of int
        Sizes of the other dimensions; their product is ``n_rows``.
    """
    dims = sorted(d % ids.dim() for d in dims)
    kept = [d for d in range(ids.dim()) if d not in dims]
    kept_shape = [ids.shape[d] for d in kept]
    n_rows, n_ids = torch.Size(kept_shape).numel(), torch.Size(ids.shape[d] for d in dims).numel()
    return ids.permute(*kept, *dims).reshape(n_rows, n_ids), kept_shape


def unique_rows(rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the distinct rows in order of first appearance, and for each row which one it is.

    First appearance keeps units in the order of their channels, so that wiring stays a simple pattern.
    """
    if rows.shape[0] <= 1 or (rows.shape[1] == 1 and bool((rows[1:] > rows[:-1]).all())):
        return rows, torch.arange(rows.shape[0])
    _, first, inverse = np.unique(_row_keys(rows.numpy()), return_index=True, return_inverse=True)
    order = np.argsort(first)
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    return rows[torch.from_numpy(first[order])], torch.from_numpy(rank[inverse.reshape(-1)])


def _row_keys(rows: np.ndarray) -> np.ndarray:
    """Return one number for each row, equal only for equal rows."""
    keys = rows[:, 0]
    for column in rows.T[1:]:
        keys = np.unique(keys, return_inverse=True)[1].reshape(-1)
        low = int(column.min())
        keys = keys * (int(column.max()) - low + 1) + (column - low)
    return keys
