"""The linear operators in plain torch."""

from collections.abc import Sequence

import torch

__all__ = [
    "block_linear",
    "block_linear_backward",
    "block_rows",
    "csr_linear",
    "csr_linear_backward",
    "elements",
    "sddmm",
]

PRODUCTS = 1 << 22
"""So many products of a batch and the elements of a matrix are held at once."""


def csr_linear(
    x: torch.Tensor,
    values: torch.Tensor,
    bias: torch.Tensor | None,
    ptr: torch.Tensor,
    idx: torch.Tensor,
    t_ptr: torch.Tensor,
    t_idx: torch.Tensor,
    t_perm: torch.Tensor,
    in_features: int,
    panel: int,
    t_panel: int,
) -> torch.Tensor:
    """Return x times a transposed sparse matrix, plus bias; see `prune_adapters.ops.csr_linear`."""
    rows, columns = elements(ptr, idx, panel)
    y = x.new_zeros(x.shape[0], ptr.shape[1] - 1)
    for part in _parts(len(rows), x.shape[0]):
        y.index_add_(1, rows[part], x[:, columns[part]] * values[part])
    return y if bias is None else y.add_(bias)


def csr_linear_backward(
    grad: torch.Tensor,
    x: torch.Tensor,
    values: torch.Tensor,
    ptr: torch.Tensor,
    idx: torch.Tensor,
    t_ptr: torch.Tensor,
    t_idx: torch.Tensor,
    t_perm: torch.Tensor,
    panel: int,
    t_panel: int,
    needs: Sequence[bool],
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return the gradients of x, values and bias; those that nobody needs have no elements."""
    rows, columns = elements(ptr, idx, panel)
    of_x, of_values, of_bias = x.new_empty(0), x.new_empty(0), x.new_empty(0)
    if needs[0]:
        of_x = torch.zeros_like(x)
        for part in _parts(len(rows), x.shape[0]):
            of_x.index_add_(1, columns[part], grad[:, rows[part]] * values[part])
    if needs[1]:
        of_values = sddmm(grad, x, ptr, idx, panel)
    if needs[2]:
        of_bias = grad.sum(0)
    return of_x, of_values, of_bias


def sddmm(grad: torch.Tensor, x: torch.Tensor, ptr: torch.Tensor, idx: torch.Tensor, panel: int) -> torch.Tensor:
    """Return the elements of grad' x at the places of a sparse matrix; see `prune_adapters.ops.sddmm`."""
    rows, columns = elements(ptr, idx, panel)
    found = x.new_empty(len(rows))
    for part in _parts(len(rows), x.shape[0]):
        found[part] = (grad[:, rows[part]] * x[:, columns[part]]).sum(0)
    return found


def block_linear(
    x: torch.Tensor,
    values: torch.Tensor,
    bias: torch.Tensor | None,
    ptr: torch.Tensor,
    idx: torch.Tensor,
    t_ptr: torch.Tensor,
    t_idx: torch.Tensor,
    t_perm: torch.Tensor,
) -> torch.Tensor:
    """Return x times a transposed matrix of blocks, plus bias; see `prune_adapters.ops.block_linear`."""
    groups = x.unflatten(1, (t_ptr.shape[0] - 1, values.shape[2]))
    y = _blocks_times_groups(values, groups, block_rows(ptr, idx), idx, ptr.shape[0] - 1)
    return y if bias is None else y.add_(bias)


def block_linear_backward(
    grad: torch.Tensor,
    x: torch.Tensor,
    values: torch.Tensor,
    ptr: torch.Tensor,
    idx: torch.Tensor,
    t_ptr: torch.Tensor,
    t_idx: torch.Tensor,
    t_perm: torch.Tensor,
    needs: Sequence[bool],
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return the gradients of x, values and bias; those that nobody needs have no elements."""
    of_x, of_values, of_bias = x.new_empty(0), x.new_empty(0), x.new_empty(0)
    rows = block_rows(ptr, idx)
    g_groups = grad.unflatten(1, (ptr.shape[0] - 1, values.shape[1]))
    x_groups = x.unflatten(1, (t_ptr.shape[0] - 1, values.shape[2]))
    if needs[0]:
        of_x = _blocks_times_groups(values.mT, g_groups, idx, rows, t_ptr.shape[0] - 1)
    if needs[1]:
        of_values = torch.empty_like(values)
        for part in _parts(len(rows), x.shape[0] * max(values.shape[1:])):
            of_values[part] = torch.einsum("bkr,bkc->krc", g_groups[:, rows[part]], x_groups[:, idx[part]])
    if needs[2]:
        of_bias = grad.sum(0)
    return of_x, of_values, of_bias


def _blocks_times_groups(
    values: torch.Tensor, groups: torch.Tensor, rows: torch.Tensor, columns: torch.Tensor, n_rows: int
) -> torch.Tensor:
    """Return the sums of block times group, each at its block row, as (batch, n_rows * block height)."""
    y = groups.new_zeros(groups.shape[0], n_rows, values.shape[1])
    for part in _parts(len(rows), groups.shape[0] * max(values.shape[1:])):
        y.index_add_(1, rows[part], torch.einsum("bkc,krc->bkr", groups[:, columns[part]], values[part]))
    return y.flatten(1)


def block_rows(ptr: torch.Tensor, idx: torch.Tensor) -> torch.Tensor:
    """Return the block row of each block.

    Parameters
    ----------
    ptr, idx : Tensor
        See `prune_adapters.ops.block_linear`.

    Returns
    -------
    Tensor of int64, shape (n_blocks,)
    """
    return _owners(ptr.diff().long(), idx.numel())


def elements(ptr: torch.Tensor, idx: torch.Tensor, panel: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the row and the column of each value.

    Parameters
    ----------
    ptr, idx : Tensor
        See `prune_adapters.ops.csr_linear`.
    panel : int

    Returns
    -------
    tuple of Tensor of int64, shape (n_values,)
    """
    n_rows = max(1, ptr.shape[1] - 1)
    counts = ptr.diff(dim=1).reshape(-1).long()
    own = _owners(counts, idx.numel())
    return own % n_rows, own // n_rows * panel + idx


def _owners(counts: torch.Tensor, total: int) -> torch.Tensor:
    """Return the row of each entry. Told a size that is not that of the counts, torch (2.13) writes past the end."""
    if counts.device.type == "cpu" and (int(counts.sum()) != total or bool((counts < 0).any())):
        raise RuntimeError(
            f"plan: ptr: expected rows of {total} entries in all, got other lengths; the plan is damaged"
        )
    return torch.repeat_interleave(counts, output_size=total)


def _parts(count: int, batch: int) -> list[slice]:
    """Return ranges of elements whose products with a batch fit into memory."""
    step = max(1, PRODUCTS // max(1, batch))
    return [slice(first, first + step) for first in range(0, count, step)]
