"""What plans share: tables of a sparse matrix from a mask, checks in words, and the state that is saved."""

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from typing import Any, TypeVar, cast

import torch

from prune_adapters.errors import PlanError
from prune_adapters.ops.reference.linear import block_rows

__all__ = [
    "MOST",
    "TABLES",
    "PlanTables",
    "check_agreement",
    "check_rows",
    "check_table",
    "check_weight",
    "pointers",
    "require_mask",
    "same_tables",
    "tables_of",
    "take_table",
]

MOST = 2**31 - 1
"""Places are int32."""
TABLES = ("ptr", "idx", "t_ptr", "t_idx", "t_perm")
"""The fields of every plan that are tables, in the order in which the operators take them."""
Own = TypeVar("Own", bound="PlanTables")


class PlanTables:
    """The five tables that every plan has; base class of the plans, which are frozen dataclasses with these fields."""

    ptr: torch.Tensor
    idx: torch.Tensor
    t_ptr: torch.Tensor
    t_idx: torch.Tensor
    t_perm: torch.Tensor

    @property
    def device(self) -> torch.device:
        """Where the tables are."""
        return self.idx.device

    @property
    def tables(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        """The tables in the order in which the operator takes them."""
        return self.ptr, self.idx, self.t_ptr, self.t_idx, self.t_perm

    def to(self: Own, device: torch.device | str) -> Own:
        """Return the plan with its tables on a device.

        Parameters
        ----------
        device : torch.device or str

        Returns
        -------
        PlanTables
            A plan of the same kind.
        """
        moved = {name: getattr(self, name).to(device) for name in TABLES}
        return cast(Own, replace(cast(Any, self), **moved))

    def __eq__(self, other: object) -> bool:
        """Whether all fields are the same, on whatever devices the tables are."""
        if not isinstance(other, PlanTables) or type(self) is not type(other):
            return NotImplemented
        return self._numbers() == other._numbers() and same_tables(self.tables, other.tables)

    __hash__ = None  # type: ignore[assignment]

    def _numbers(self) -> list[object]:
        return [getattr(self, field.name) for field in fields(cast(Any, self)) if field.name not in TABLES]


def require_mask(where: str, mask: torch.Tensor, dimensions: Sequence[int], form: str) -> None:
    """Raise unless the mask is of bool and has one of these numbers of dimensions.

    Parameters
    ----------
    where : str
        The function, for the error.
    mask : Tensor
    dimensions : sequence of int
    form : str
        Such as ``"(out, in)"``.

    Raises
    ------
    PlanError
    """
    if mask.dtype != torch.bool:
        raise PlanError(f"{where}: expected a mask of dtype torch.bool, got {mask.dtype}; use weight != 0")
    if mask.dim() not in dimensions:
        raise PlanError(f"{where}: expected a mask of shape {form}, got {tuple(mask.shape)}")


def check_weight(where: str, tensor: torch.Tensor, shape: Sequence[int], device: torch.device) -> None:
    """Raise unless the tensor has this shape, lies on this device and holds floats.

    Parameters
    ----------
    where : str
        The function and the argument, for the error.
    tensor : Tensor
    shape : sequence of int
    device : torch.device
        That of the plan.

    Raises
    ------
    PlanError
    """
    if tensor.shape != torch.Size(shape):
        raise PlanError(f"{where}: expected shape {tuple(shape)}, got {tuple(tensor.shape)}")
    if tensor.device != device:
        raise PlanError(f"{where}: expected a tensor on {device}, got {tensor.device}; move the plan with plan.to(...)")


def pointers(rows: torch.Tensor, n_rows: int) -> torch.Tensor:
    """Return where the elements of each row begin, if they are sorted by row.

    Parameters
    ----------
    rows : Tensor of int64
        The row of each element.
    n_rows : int

    Returns
    -------
    Tensor of int32, shape (n_rows + 1,)
        The first is 0 and the last the number of elements.
    """
    counts = torch.bincount(rows, minlength=n_rows)
    return torch.nn.functional.pad(counts.cumsum(0), (1, 0)).int()


def tables_of(
    rows: torch.Tensor, idx: torch.Tensor, columns: torch.Tensor, t_idx: torch.Tensor, sizes: tuple[int, int]
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return the tables of elements that are sorted by row, then by place in the row.

    Parameters
    ----------
    rows, columns : Tensor of int64
        Of each element.
    idx, t_idx : Tensor of int64
        What the tables tell of each element of a row, and of a column.
    sizes : (int, int)
        Numbers of rows and columns.

    Returns
    -------
    tuple of Tensor of int32
        In the order of `TABLES`.
    """
    across = torch.sort(columns, stable=True).indices
    t_ptr = pointers(columns[across], sizes[1])
    return pointers(rows, sizes[0]), idx.int(), t_ptr, t_idx[across].int(), across.int()


def take_table(where: str, state: Mapping[str, torch.Tensor], name: str) -> torch.Tensor:
    """Return an entry of a state.

    Parameters
    ----------
    where : str
        The function, for the error.
    state : mapping of str to Tensor
    name : str

    Returns
    -------
    Tensor

    Raises
    ------
    PlanError
        There is none, or it is no tensor.
    """
    table = state.get(name)
    if not isinstance(table, torch.Tensor):
        raise PlanError(f"{where}: expected a tensor {name!r} in the state, got {type(table).__name__}")
    return table


def check_table(where: str, name: str, table: torch.Tensor, dtype: torch.dtype, shape: Sequence[int | None]) -> None:
    """Raise unless a table has this dtype and this shape; None stands for any size.

    Parameters
    ----------
    where, name : str
        The function and the table, for the error.
    table : Tensor
    dtype : torch.dtype
    shape : sequence of int or None

    Raises
    ------
    PlanError
    """
    if table.dtype != dtype:
        raise PlanError(f"{where}: expected {name} of dtype {dtype}, got {table.dtype}")
    if table.dim() != len(shape) or any(n not in (None, m) for n, m in zip(shape, table.shape, strict=True)):
        wanted = str(tuple(shape)).replace("None", "any")
        raise PlanError(f"{where}: expected {name} of shape {wanted}, got {tuple(table.shape)}")


def check_rows(
    where: str, ptr: torch.Tensor, idx: torch.Tensor, n_columns: int, *, columns: str, elements: str
) -> None:
    """Raise unless ptr goes up over all of idx, and idx within each row, each column once.

    Parameters
    ----------
    where : str
        The function, for the error.
    ptr, idx : Tensor of int32, one dimension
    n_columns : int
    columns, elements : str
        How errors name what idx holds, and the elements of a row.

    Raises
    ------
    PlanError
    """
    if not len(ptr) or int(ptr[0]) != 0 or int(ptr[-1]) != len(idx) or bool((ptr[1:] < ptr[:-1]).any()):
        raise PlanError(f"{where}: expected ptr to go up from 0 to {len(idx)}")
    outside = (idx < 0) | (idx >= n_columns)
    if bool(outside.any()):
        raise PlanError(f"{where}: expected {columns} from 0 to {n_columns - 1}, got {int(idx[outside][0])}")
    if bool(((block_rows(ptr, idx) * n_columns + idx).diff() <= 0).any()):
        raise PlanError(f"{where}: expected {elements} to go up, each once")


def check_agreement(where: str, name: str, table: torch.Tensor, wanted: torch.Tensor) -> None:
    """Raise unless a table is what the first two lead to.

    Parameters
    ----------
    where, name : str
        The function and the table, for the error.
    table, wanted : Tensor

    Raises
    ------
    PlanError
    """
    if not torch.equal(table, wanted):
        raise PlanError(f"{where}: {name} does not agree with ptr and idx; make the plan anew with from_mask")


def same_tables(one: Sequence[torch.Tensor], other: Sequence[torch.Tensor]) -> bool:
    """Tell whether tables are equal, whatever their devices.

    Parameters
    ----------
    one, other : sequence of Tensor

    Returns
    -------
    bool
    """
    return len(one) == len(other) and all(torch.equal(a.cpu(), b.cpu()) for a, b in zip(one, other, strict=True))
