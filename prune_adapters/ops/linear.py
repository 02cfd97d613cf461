"""Sparse linear layers: x times a transposed sparse matrix, whose elements are all that there is to learn.

The tables that say where the elements are come from a plan (`prune_adapters.SparsePlan`, `prune_adapters.BlockPlan`),
which also calls these functions. The operators are ``torch.ops.prune_adapters.*``; on a CPU they have kernels for
float32 and float64, that of blocks for bfloat16, too: it is summed in float32 and rounded once.
"""

import torch

from prune_adapters.ops import reference
from prune_adapters.ops.arguments import call_wide, check_floats, check_panels, check_size, check_table, check_tables
from prune_adapters.ops.autograd import TABLES, Call, fake_gradients, refuse_gradients, register_layer
from prune_adapters.ops.define import define, wide_on_cpu

__all__ = ["block_linear", "csr_linear", "sddmm"]


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
    """Return ``x @ W.T + bias`` for a sparse matrix W.

    On a CPU the result has the same bits whatever the number of threads. The time grows with the number of values, and
    with the size of x and of the result.

    Parameters
    ----------
    x : Tensor, shape (..., in)
    values : Tensor, shape (n_values,)
        The elements of W: panel by panel, in a panel row by row, in a row column by column.
    bias : Tensor, shape (out,), or None
    ptr : Tensor of int32, shape (number of panels, out + 1)
        Place of the first value of each row in each panel, and the place after the last row.
    idx : Tensor of int16, shape (n_values,)
        Column of each value within its panel.
    t_ptr, t_idx : Tensor
        The same for the transposed matrix; needed for the gradient of x.
    t_perm : Tensor of int32, shape (n_values,)
        The place in `values` of each element of the transposed matrix.
    in_features : int
        Columns of W.
    panel, t_panel : int
        Columns in a panel, and rows of W in a panel of the transposed matrix; from 1 to 32768.

    Returns
    -------
    Tensor, shape (..., out)
        Gradients of x, values and bias are there, once; second derivatives are not.

    Raises
    ------
    ValueError
        Shapes, dtypes or devices do not fit.
    RuntimeError
        A table points outside the matrix.

    Examples
    --------
    >>> ptr, idx = torch.tensor([[0, 1, 3]], dtype=torch.int32), torch.tensor([1, 0, 1], dtype=torch.int16)
    >>> t_ptr, t_idx = torch.tensor([[0, 1, 3]], dtype=torch.int32), torch.tensor([1, 0, 1], dtype=torch.int16)
    >>> t_perm = torch.tensor([1, 0, 2], dtype=torch.int32)
    >>> values = torch.tensor([5.0, 6.0, 7.0])
    >>> csr_linear(torch.tensor([[1.0, 2.0]]), values, None, ptr, idx, t_ptr, t_idx, t_perm, 2, 2, 2)
    tensor([[10., 20.]])
    """
    where = "csr_linear"
    check_panels(where, ptr, idx, in_features, panel)
    out_features = ptr.shape[1] - 1
    check_panels(f"{where}: transposed", t_ptr, t_idx, out_features, t_panel)
    check_size(f"{where}: t_idx", t_idx, (idx.shape[0],))
    check_size(f"{where}: t_ptr", t_ptr, (t_ptr.shape[0], in_features + 1))
    check_table(f"{where}: t_perm", t_perm, torch.int32, 1)
    check_size(f"{where}: t_perm", t_perm, (idx.shape[0],))
    check_floats(where, x, in_features, {"values": (values, idx.shape), "bias": (bias, (out_features,))})
    check_tables(where, x, {"ptr": ptr, "idx": idx, "t_ptr": t_ptr, "t_idx": t_idx, "t_perm": t_perm})
    tables = ptr.contiguous(), idx.contiguous(), t_ptr.contiguous(), t_idx.contiguous(), t_perm.contiguous()
    return _run(_csr_linear, (x, values, bias), *tables, in_features, panel, t_panel)


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
    """Return ``x @ W.T + bias`` for a matrix W of dense blocks, the others 0.

    Blocks whose sides are multiples of 8 (inputs: 16) are fast on a CPU. The result has the same bits whatever the
    number of threads.

    Parameters
    ----------
    x : Tensor, shape (..., in)
    values : Tensor, shape (n_blocks, out_block, in_block)
        Block row by block row; all blocks have one size.
    bias : Tensor, shape (out,), or None
    ptr : Tensor of int32, shape (out / out_block + 1,)
        The first block of each block row, and the number of blocks. Evenly spaced for a regular graph.
    idx : Tensor of int32, shape (n_blocks,)
        Block column of each block.
    t_ptr : Tensor of int32, shape (in / in_block + 1,)
    t_idx : Tensor of int32, shape (n_blocks,)
        The same for the transposed matrix; t_ptr says how many block columns there are, the rest is needed for the
        gradient of x.
    t_perm : Tensor of int32, shape (n_blocks,)
        The place in `values` of each block of the transposed matrix.

    Returns
    -------
    Tensor, shape (..., out)
        Gradients of x, values and bias are there, once; second derivatives are not.

    Raises
    ------
    ValueError
        Shapes, dtypes or devices do not fit.
    RuntimeError
        A table points outside the matrix.

    Examples
    --------
    >>> ptr, idx = torch.tensor([0, 1], dtype=torch.int32), torch.tensor([1], dtype=torch.int32)
    >>> t_ptr, zero = torch.tensor([0, 0, 1], dtype=torch.int32), torch.tensor([0], dtype=torch.int32)
    >>> values = torch.tensor([[[1.0, 10.0]]])
    >>> block_linear(torch.tensor([[1.0, 2.0, 3.0, 4.0]]), values, None, ptr, idx, t_ptr, zero, zero)
    tensor([[43.]])
    """
    where = "block_linear"
    tables = {"ptr": ptr, "idx": idx, "t_ptr": t_ptr, "t_idx": t_idx, "t_perm": t_perm}
    for name, table in tables.items():
        check_table(f"{where}: {name}", table, torch.int32, 1)
    if values.dim() != 3:
        raise ValueError(
            f"{where}: expected values of shape (n_blocks, out_block, in_block), got {tuple(values.shape)}"
        )
    n_blocks, out_block, in_block = values.shape
    for name in ("idx", "t_idx", "t_perm"):
        check_size(f"{where}: {name}", tables[name], (n_blocks,))
    for name in ("ptr", "t_ptr"):
        if tables[name].shape[0] < 1:
            raise ValueError(f"{where}: expected {name} of one element or more, got none")
    in_features, out_features = (t_ptr.shape[0] - 1) * in_block, (ptr.shape[0] - 1) * out_block
    check_floats(where, x, in_features, {"values": (values, values.shape), "bias": (bias, (out_features,))})
    check_tables(where, x, tables)
    return _run(_block_linear, (x, values, bias), *[table.contiguous() for table in tables.values()], bfloat16=False)


def sddmm(grad: torch.Tensor, x: torch.Tensor, ptr: torch.Tensor, idx: torch.Tensor, panel: int) -> torch.Tensor:
    """Return ``grad.T @ x`` at the elements of a sparse matrix only: the gradient of the values of `csr_linear`.

    Methods that look at gradients of removed weights call it with the tables of another mask (RigL, SNIP).

    Parameters
    ----------
    grad : Tensor, shape (..., out)
    x : Tensor, shape (..., in)
    ptr, idx : Tensor
        See `csr_linear`.
    panel : int

    Returns
    -------
    Tensor, shape (n_values,)
        It has no gradient itself.

    Raises
    ------
    ValueError
        Shapes, dtypes or devices do not fit.
    RuntimeError
        A table points outside the matrix.

    Examples
    --------
    >>> ptr, idx = torch.tensor([[0, 1, 3]], dtype=torch.int32), torch.tensor([1, 0, 1], dtype=torch.int16)
    >>> sddmm(torch.tensor([[1.0, 10.0]]), torch.tensor([[2.0, 3.0]]), ptr, idx, 2)
    tensor([ 3., 20., 30.])
    """
    where = "sddmm"
    if x.dim() == 0:
        raise ValueError(f"{where}: expected x of shape (..., in), got ()")
    check_panels(where, ptr, idx, x.shape[-1], panel)
    check_floats(where, x, x.shape[-1], {"grad": (grad, (*x.shape[:-1], ptr.shape[1] - 1))})
    check_tables(where, x, {"ptr": ptr, "idx": idx})
    rows = grad.reshape(-1, grad.shape[-1]).contiguous()
    found = _sddmm(rows, x.reshape(-1, x.shape[-1]).contiguous(), ptr.contiguous(), idx.contiguous(), panel)
    assert isinstance(found, torch.Tensor)
    return found


def _run(
    operator: Call,
    floats: tuple[torch.Tensor, torch.Tensor, torch.Tensor | None],
    *rest: object,
    bfloat16: bool = True,
) -> torch.Tensor:
    """Return the result of a layer for rows of any number of dimensions."""
    x = floats[0]
    if x.dim() == 2:
        return call_wide(operator, floats, rest, bfloat16=bfloat16)
    y = call_wide(operator, (x.reshape(-1, x.shape[-1]), *floats[1:]), rest, bfloat16=bfloat16)
    return y.view(*x.shape[:-1], y.shape[1])


def _fake_csr_linear(x: torch.Tensor, values: torch.Tensor, bias: torch.Tensor | None, *rest: object) -> torch.Tensor:
    ptr = rest[0]
    assert isinstance(ptr, torch.Tensor)
    return x.new_empty(x.shape[0], ptr.shape[1] - 1)


def _fake_block_linear(
    x: torch.Tensor, values: torch.Tensor, bias: torch.Tensor | None, ptr: torch.Tensor, *rest: object
) -> torch.Tensor:
    return x.new_empty(x.shape[0], (ptr.shape[0] - 1) * values.shape[1])


GRADIENTS = "(Tensor, Tensor, Tensor)"

define(
    f"csr_linear(Tensor x, Tensor values, Tensor? bias, {TABLES}, int in_features, int panel, int t_panel) -> Tensor",
    reference.csr_linear,
    fake=_fake_csr_linear,
)
define(
    f"csr_linear_backward(Tensor grad, Tensor x, Tensor values, {TABLES}, int panel, int t_panel, bool[3] needs)"
    f" -> {GRADIENTS}",
    reference.csr_linear_backward,
    fake=fake_gradients,
)
define(
    "sddmm(Tensor grad, Tensor x, Tensor ptr, Tensor idx, int panel) -> Tensor",
    reference.sddmm,
    fake=lambda grad, x, ptr, idx, panel: x.new_empty(idx.shape[0]),
)
define(
    f"block_linear(Tensor x, Tensor values, Tensor? bias, {TABLES}) -> Tensor",
    wide_on_cpu(reference.block_linear),
    fake=_fake_block_linear,
)
define(
    f"block_linear_backward(Tensor grad, Tensor x, Tensor values, {TABLES}, bool[3] needs) -> {GRADIENTS}",
    wide_on_cpu(reference.block_linear_backward),
    fake=fake_gradients,
)
_block_linear = register_layer("block_linear")
_csr_linear = register_layer("csr_linear", for_backward=lambda rest: (*rest[:5], *rest[6:]))
_sddmm = refuse_gradients("sddmm", "its gradients would be dense")
