"""The linear operators in plain torch."""

from collections.abc import Sequence

import torch

__all__ = ["csr_linear", "csr_linear_backward", "sddmm"]

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
    for part in parts(len(rows), x.shape[0]):
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
        for part in parts(len(rows), x.shape[0]):
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
    for part in parts(len(rows), x.shape[0]):
        found[part] = (grad[:, rows[part]] * x[:, columns[part]]).sum(0)
    return found


def elements(ptr: torch.Tensor, idx: torch.Tensor, panel: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the row and the column of each value."""
    n_rows = max(1, ptr.shape[1] - 1)
    counts = ptr.diff(dim=1).reshape(-1).long()
    own = torch.repeat_interleave(counts, output_size=idx.numel())
    return own % n_rows, own // n_rows * panel + idx


def parts(count: int, batch: int) -> list[slice]:
    """Return ranges of elements whose products with a batch fit into memory."""
    step = max(1, PRODUCTS // max(1, batch))
    return [slice(first, first + step) for first in range(0, count, step)]
