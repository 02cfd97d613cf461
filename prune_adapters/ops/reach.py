"""One step of a sweep along a weight that stays where it is: which units its edges join to flagged ones.

An element is an edge iff it is not 0 (-0.0 is 0, NaN is not). A row is a target unit, a column a source unit; with
``groups`` groups, the rows of group g see columns of their own. The operators are ``torch.ops.prune_adapters.*``; none
of them makes the host wait for the device.
"""

from collections.abc import Sequence
from math import prod

import torch

from prune_adapters.ops import reference
from prune_adapters.ops.batched import loop_over_batch
from prune_adapters.ops.define import define

__all__ = ["count_consistent", "reach_sources", "reach_targets"]

DTYPES = (torch.float32, torch.float64, torch.bfloat16, torch.float16, torch.bool, torch.uint8)
"""What the operators take; the public functions compare the others with 0 first."""


def reach_targets(
    weight: torch.Tensor, live: torch.Tensor, *, groups: int = 1, size: Sequence[int] | None = None
) -> torch.Tensor:
    """Return which rows have an edge from a live column.

    Parameters
    ----------
    weight : Tensor, shape (rows, columns, ...)
        Of any dtype; an element for each kernel position in the dimensions after the second. Or bits as `pack_mask`
        makes them, together with `size`.
    live : Tensor of bool, shape (groups * columns,)
        Which columns are live, group after group.
    groups : int
        Divides the number of rows.
    size : sequence of int, optional
        Shape of the weight whose bits are given.

    Returns
    -------
    Tensor of bool, shape (rows,)

    Raises
    ------
    ValueError
        A shape, dtype or device does not fit.

    Examples
    --------
    >>> weight = torch.tensor([[1.0, 0.0], [0.0, 2.0], [0.0, 0.0]])
    >>> reach_targets(weight, torch.tensor([True, False]))
    tensor([ True, False, False])
    """
    weight, size = _checked("reach_targets", weight, groups, size)
    shape = tuple(size) or weight.shape
    _check_flags("reach_targets", "live", live, groups * shape[1], weight.device)
    return torch.ops.prune_adapters.reach_targets(weight, size, live.contiguous(), groups)


def reach_sources(
    weight: torch.Tensor, co: torch.Tensor, *, groups: int = 1, size: Sequence[int] | None = None
) -> torch.Tensor:
    """Return which columns have an edge into a co-accessible row.

    Parameters
    ----------
    weight, groups, size
        As `reach_targets` takes them.
    co : Tensor of bool, shape (rows,)
        Which rows are co-accessible.

    Returns
    -------
    Tensor of bool, shape (groups * columns,)

    Raises
    ------
    ValueError
        A shape, dtype or device does not fit.

    Examples
    --------
    >>> weight = torch.tensor([[1.0, 0.0], [0.0, 2.0], [0.0, 0.0]])
    >>> reach_sources(weight, torch.tensor([False, True, True]))
    tensor([False,  True])
    """
    weight, size = _checked("reach_sources", weight, groups, size)
    shape = tuple(size) or weight.shape
    _check_flags("reach_sources", "co", co, shape[0], weight.device)
    return torch.ops.prune_adapters.reach_sources(weight, size, co.contiguous(), groups)


def count_consistent(
    weight: torch.Tensor,
    live: torch.Tensor,
    co: torch.Tensor,
    *,
    groups: int = 1,
    size: Sequence[int] | None = None,
) -> torch.Tensor:
    """Return how many elements are an edge from a live column into a co-accessible row.

    Parameters
    ----------
    weight, live, groups, size
        As `reach_targets` takes them.
    co : Tensor of bool, shape (rows,)

    Returns
    -------
    Tensor of int64, shape ()

    Raises
    ------
    ValueError
        A shape, dtype or device does not fit.

    Examples
    --------
    >>> weight = torch.tensor([[1.0, 3.0], [0.0, 2.0]])
    >>> count_consistent(weight, torch.tensor([False, True]), torch.tensor([True, True]))
    tensor(2)
    """
    weight, size = _checked("count_consistent", weight, groups, size)
    shape = tuple(size) or weight.shape
    _check_flags("count_consistent", "live", live, groups * shape[1], weight.device)
    _check_flags("count_consistent", "co", co, shape[0], weight.device)
    return torch.ops.prune_adapters.count_consistent(weight, size, live.contiguous(), co.contiguous(), groups)


def _checked(
    where: str, weight: torch.Tensor, groups: int, size: Sequence[int] | None
) -> tuple[torch.Tensor, Sequence[int]]:
    """Return the weight, contiguous, and the size of packed bits: empty for a plain weight."""
    shape = tuple(weight.shape) if size is None else tuple(size)
    if size is not None:
        n_bytes = (prod(shape) + 7) // 8
        if weight.dtype != torch.uint8 or weight.shape != (n_bytes,):
            raise ValueError(
                f"{where}: expected bits of dtype torch.uint8 and shape ({n_bytes},) for {shape}, "
                f"got {weight.dtype} and {tuple(weight.shape)}; use pack_mask(mask)"
            )
    if len(shape) < 2:
        raise ValueError(f"{where}: expected a weight of shape (rows, columns, ...), got {shape}")
    if groups < 1 or shape[0] % groups:
        raise ValueError(f"{where}: expected groups that divide {shape[0]} rows, got {groups}")
    if weight.dtype not in DTYPES:
        weight = weight != 0
    return weight.detach().contiguous(), () if size is None else shape


def _check_flags(where: str, name: str, flags: torch.Tensor, count: int, device: torch.device) -> None:
    if flags.dtype != torch.bool or flags.shape != (count,) or flags.device != device:
        raise ValueError(
            f"{where}: {name}: expected bool of shape ({count},) on {device}, "
            f"got {flags.dtype} of shape {tuple(flags.shape)} on {flags.device}"
        )


def _n_rows(weight: torch.Tensor, size: Sequence[int]) -> int:
    return size[0] if len(size) else weight.shape[0]


def _n_columns(weight: torch.Tensor, size: Sequence[int]) -> int:
    return size[1] if len(size) else weight.shape[1]


define(
    "reach_targets(Tensor weight, SymInt[] size, Tensor live, SymInt groups) -> Tensor",
    reference.reach_targets,
    fake=lambda weight, size, live, groups: live.new_empty(_n_rows(weight, size)),
)
define(
    "reach_sources(Tensor weight, SymInt[] size, Tensor co, SymInt groups) -> Tensor",
    reference.reach_sources,
    fake=lambda weight, size, co, groups: co.new_empty(groups * _n_columns(weight, size)),
)
define(
    "count_consistent(Tensor weight, SymInt[] size, Tensor live, Tensor co, SymInt groups) -> Tensor",
    reference.count_consistent,
    fake=lambda weight, size, live, co, groups: live.new_empty((), dtype=torch.int64),
)
for _name in ("reach_targets", "reach_sources", "count_consistent"):
    loop_over_batch(_name)
