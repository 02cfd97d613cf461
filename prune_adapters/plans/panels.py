"""Panels of a sparse matrix: how many columns they have, the tables of their elements, and the checks of these."""

from collections.abc import Sequence

import torch

from prune_adapters.errors import PlanError
from prune_adapters.ops.reference.linear import elements
from prune_adapters.plans.tables import check_table, pointers

__all__ = ["WIDEST", "check_elements", "check_panels", "panel_for", "panel_tables"]

WIDEST = 32768
"""Columns within a panel are int16."""


def panel_for(density: float, columns: int) -> int:
    """Return how many columns a panel should have: many values in each row of it, and x in the fastest cache.

    Parameters
    ----------
    density : float
        In [0, 1].
    columns : int
        Of the matrix.

    Returns
    -------
    int
    """
    for least, panel in ((0.25, 128), (0.03, 256)):
        if density >= least:
            return max(1, min(panel, columns))
    return max(1, min(WIDEST, columns))


def panel_tables(
    rows: torch.Tensor, columns: torch.Tensor, shape: Sequence[int], panel: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return ptr and idx of elements that are sorted by panel, then row, then column.

    Parameters
    ----------
    rows, columns : Tensor of int64
        Of each element.
    shape : (int, int)
        Of the matrix.
    panel : int
        Columns in a panel.

    Returns
    -------
    tuple of Tensor of int32, shape (number of panels, rows + 1), and Tensor of int16, shape (n_values,)
    """
    n_panels = -(-shape[1] // panel)
    flat = pointers(columns // panel * shape[0] + rows, n_panels * shape[0])
    first = torch.arange(n_panels, device=flat.device)[:, None] * shape[0]
    return flat[first + torch.arange(shape[0] + 1, device=flat.device)], (columns % panel).short()


def check_panels(where: str, *panels: int) -> None:
    """Raise unless panels have from 1 to `WIDEST` columns.

    Parameters
    ----------
    where : str
        The function, for the error.
    *panels : int

    Raises
    ------
    PlanError
    """
    for panel in panels:
        if not 1 <= panel <= WIDEST:
            raise PlanError(f"{where}: expected a panel of 1 to {WIDEST} columns, got {panel}")


def check_elements(where: str, ptr: torch.Tensor, idx: torch.Tensor, shape: tuple[int, int], panel: int) -> None:
    """Raise unless ptr and idx are what the elements of some matrix of this shape lead to.

    Parameters
    ----------
    where : str
        The function, for the error.
    ptr, idx : Tensor
    shape : (int, int)
        Of the matrix.
    panel : int
        Columns in a panel.

    Raises
    ------
    PlanError
    """
    n_panels = -(-shape[1] // panel)
    check_table(where, "ptr", ptr, torch.int32, (n_panels, shape[0] + 1))
    check_table(where, "idx", idx, torch.int16, (None,))
    if ptr.device != idx.device:
        raise PlanError(f"{where}: expected all tables on {ptr.device}, got idx on {idx.device}")
    starts, ends = ptr[:, 0].tolist(), ptr[:, -1].tolist()
    if starts != [0, *ends][:n_panels] or [0, *ends][n_panels] != len(idx) or bool((ptr[:, 1:] < ptr[:, :-1]).any()):
        raise PlanError(f"{where}: expected ptr to go up from 0 to {len(idx)}, from panel to panel")
    rows, columns = elements(ptr, idx, panel)
    outside = (idx < 0) | (idx >= panel) | (columns >= shape[1])
    if bool(outside.any()):
        raise PlanError(
            f"{where}: expected columns from 0 to {panel - 1} within {shape[1]}, got {int(idx[outside][0])}"
        )
    flat = (columns // panel * shape[0] + rows) * panel + idx
    if bool((flat.diff() <= 0).any()):
        raise PlanError(f"{where}: expected the columns of a row to go up, each once")
