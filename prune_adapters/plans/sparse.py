"""The plan of a sparse matrix: where its elements are, in the order in which the kernels of `csr_linear` want them."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch

from prune_adapters import ops
from prune_adapters.errors import PlanError
from prune_adapters.ops.reference.linear import elements
from prune_adapters.plans.panels import check_elements, check_panels, panel_for, panel_tables
from prune_adapters.plans.tables import (
    MOST,
    TABLES,
    PlanTables,
    check_agreement,
    check_table,
    check_weight,
    require_mask,
    take_table,
)

__all__ = ["SparsePlan"]


@dataclass(frozen=True, eq=False, repr=False)
class SparsePlan(PlanTables):
    """Where the elements of a sparse matrix are, and the same for the transposed matrix; it never changes.

    The columns are cut into panels of `panel` columns. The values of a layer, a tensor of one dimension, lie panel by
    panel, in a panel row by row, in a row column by column. Make one with `from_mask`, or with `from_state` what was
    saved; both check, the constructor itself does not.

    Parameters
    ----------
    shape : tuple of int
        Rows (outputs) and columns (inputs).
    panel, t_panel : int
        Columns in a panel, and rows in a panel of the transposed matrix; at most 32768.
    ptr : Tensor of int32, shape (number of panels, rows + 1)
        Place of the first value of each row in each panel, and the place after the last row.
    idx : Tensor of int16, shape (n_values,)
        Column of each value within its panel.
    t_ptr, t_idx : Tensor
        The same for the transposed matrix.
    t_perm : Tensor of int32, shape (n_values,)
        The place in the values of each element of the transposed matrix.

    Examples
    --------
    >>> plan = SparsePlan.from_mask(torch.tensor([[True, False, True], [False, False, True]]))
    >>> plan
    SparsePlan(2 x 3, 3 values, density 0.5, panels of 3 and 2)
    >>> values = plan.from_dense(torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]))
    >>> values
    tensor([1., 3., 6.])
    >>> plan.linear(torch.tensor([[1.0, 1.0, 1.0]]), values)
    tensor([[4., 6.]])
    """

    shape: tuple[int, int]
    panel: int
    t_panel: int
    ptr: torch.Tensor
    idx: torch.Tensor
    t_ptr: torch.Tensor
    t_idx: torch.Tensor
    t_perm: torch.Tensor

    @classmethod
    def from_mask(cls, mask: torch.Tensor, *, panel: int | None = None, t_panel: int | None = None) -> "SparsePlan":
        """Return the plan of a mask.

        Parameters
        ----------
        mask : Tensor of bool, shape (out, in)
            True = kept; on any device, where the tables will be, too. Fewer than 2 ** 31 elements.
        panel, t_panel : int, optional
            Default: by the density; the denser a matrix, the narrower the panels that stay in the fastest cache.

        Returns
        -------
        SparsePlan

        Raises
        ------
        PlanError
            The mask has another dtype or shape or too many elements, or a panel is no number from 1 to 32768.
        """
        require_mask("SparsePlan", mask, [2], "(out, in)")
        if mask.numel() > MOST or max(mask.shape) >= MOST:
            raise PlanError(f"SparsePlan: expected fewer than 2 ** 31 elements, got a mask of {tuple(mask.shape)}")
        rows, columns = mask.nonzero(as_tuple=True)
        return _plan(rows, columns, (mask.shape[0], mask.shape[1]), panel, t_panel)

    @property
    def n_values(self) -> int:
        """Number of elements that are kept."""
        return self.idx.numel()

    @property
    def density(self) -> float:
        """Fraction of elements that are kept, in [0, 1]; 0 for a matrix without elements."""
        return self.n_values / max(1, self.shape[0] * self.shape[1])

    def linear(self, x: torch.Tensor, values: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
        """Return x times the transposed matrix, plus bias; see `prune_adapters.ops.csr_linear`.

        Parameters
        ----------
        x : Tensor, shape (..., in)
        values : Tensor, shape (n_values,)
        bias : Tensor, shape (out,), optional

        Returns
        -------
        Tensor, shape (..., out)
        """
        return ops.csr_linear(x, values, bias, *self.tables, self.shape[1], self.panel, self.t_panel)

    def sddmm(self, grad: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """Return the gradient of the values only, from that of the result; see `prune_adapters.ops.sddmm`.

        Parameters
        ----------
        grad : Tensor, shape (..., out)
        x : Tensor, shape (..., in)

        Returns
        -------
        Tensor, shape (n_values,)
        """
        return ops.sddmm(grad, x, self.ptr, self.idx, self.panel)

    def places(self) -> torch.Tensor:
        """Return where each value lies in the flat matrix: row * columns + column.

        Returns
        -------
        Tensor of int64, shape (n_values,)
        """
        rows, columns = elements(self.ptr, self.idx, self.panel)
        return rows * self.shape[1] + columns

    def from_dense(self, weight: torch.Tensor) -> torch.Tensor:
        """Return the values of a dense matrix, in the order of the plan; what the mask removes is left out.

        Parameters
        ----------
        weight : Tensor, shape (out, in)

        Returns
        -------
        Tensor, shape (n_values,)
            A copy; gradients flow through it.

        Raises
        ------
        PlanError
            The weight has another shape or lies on another device.
        """
        check_weight("SparsePlan.from_dense", weight, self.shape, self.device)
        return weight.reshape(-1)[self.places()]

    def to_dense(self, values: torch.Tensor) -> torch.Tensor:
        """Return the dense matrix that has these values, and 0 elsewhere; the inverse of `from_dense`.

        Parameters
        ----------
        values : Tensor, shape (n_values,)

        Returns
        -------
        Tensor, shape (out, in)

        Raises
        ------
        PlanError
            The values have another shape or lie on another device.
        """
        check_weight("SparsePlan.to_dense", values, (self.n_values,), self.device)
        flat = values.new_zeros(self.shape[0] * self.shape[1])
        return flat.scatter(0, self.places(), values).view(self.shape)

    def mask(self) -> torch.Tensor:
        """Return the mask of which this is the plan.

        Returns
        -------
        Tensor of bool, shape (out, in)
        """
        return self.to_dense(torch.ones(self.n_values, dtype=torch.bool, device=self.device))

    def state(self) -> dict[str, torch.Tensor]:
        """Return all that `from_state` needs, as tensors, ready to be saved.

        Returns
        -------
        dict of str to Tensor
        """
        numbers = torch.tensor([*self.shape, self.panel, self.t_panel])
        return {"numbers": numbers} | {name: getattr(self, name) for name in TABLES}

    @classmethod
    def from_state(cls, state: Mapping[str, torch.Tensor]) -> "SparsePlan":
        """Return the plan that had this state.

        Every table is checked: the transposed tables are made anew and have to agree.

        Parameters
        ----------
        state : mapping of str to Tensor

        Returns
        -------
        SparsePlan

        Raises
        ------
        PlanError
            A table is missing, has another dtype or shape than it should, or holds what no mask leads to.
        """
        where = "SparsePlan.from_state"
        numbers = take_table(where, state, "numbers")
        check_table(where, "numbers", numbers, torch.int64, (4,))
        n_rows, n_columns, panel, t_panel = numbers.tolist()
        if min(n_rows, n_columns) < 0 or n_rows * n_columns > MOST or max(n_rows, n_columns) >= MOST:
            raise PlanError(f"{where}: expected a shape with fewer than 2 ** 31 elements, got {(n_rows, n_columns)}")
        ptr, idx = take_table(where, state, "ptr"), take_table(where, state, "idx")
        check_panels(where, panel, t_panel)
        check_elements(where, ptr, idx, (n_rows, n_columns), panel)
        rows, columns = elements(ptr, idx, panel)
        order = torch.argsort(rows * n_columns + columns)
        made = _plan(rows[order], columns[order], (n_rows, n_columns), panel, t_panel)
        for name in TABLES:
            table, wanted = take_table(where, state, name), getattr(made, name)
            check_table(where, name, table, wanted.dtype, wanted.shape)
            check_agreement(where, name, table, wanted)
        return made

    def __repr__(self) -> str:
        size = f"{self.shape[0]} x {self.shape[1]}, {self.n_values} values, density {self.density:.3g}"
        return f"SparsePlan({size}, panels of {self.panel} and {self.t_panel})"


def _plan(
    rows: torch.Tensor, columns: torch.Tensor, shape: tuple[int, int], panel: int | None, t_panel: int | None
) -> SparsePlan:
    """Return the plan of elements that are sorted by row, then by column."""
    density = len(rows) / max(1, shape[0] * shape[1])
    panel = panel_for(density, shape[1]) if panel is None else panel
    t_panel = panel_for(density, shape[0]) if t_panel is None else t_panel
    check_panels("SparsePlan", panel, t_panel)
    order = torch.sort(columns // panel, stable=True).indices
    place = torch.empty_like(order)
    place[order] = torch.arange(len(order), device=order.device)
    across = torch.sort((rows // t_panel) * shape[1] + columns, stable=True).indices
    ptr, idx = panel_tables(rows[order], columns[order], shape, panel)
    t_ptr, t_idx = panel_tables(columns[across], rows[across], shape[::-1], t_panel)
    return SparsePlan(shape, panel, t_panel, ptr, idx, t_ptr, t_idx, place[across].int())
