"""What the plans of sparse convolutions share: tables of the kept elements by output channel and by input channel."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, TypeVar

import torch

from prune_adapters.errors import PlanError
from prune_adapters.ops.reference.linear import block_rows
from prune_adapters.plans.tables import (
    MOST,
    TABLES,
    PlanTables,
    check_agreement,
    check_rows,
    check_table,
    check_weight,
    require_mask,
    tables_of,
    take_table,
)

__all__ = ["ConvPlan"]

Own = TypeVar("Own", bound="ConvPlan")


@dataclass(frozen=True, eq=False, repr=False)
class ConvPlan(PlanTables):
    """Where the elements of the sparse weight of a convolution are; it never changes.

    An element is what is kept or removed as one: the kernel of a pair of channels in a `PairPlan`, a tap of a kernel in
    a `TapPlan`. Elements lie by output channel, then by input channel, then by place in the kernel. Make a plan with
    `from_mask`, or with `from_state` what was saved; both check, the constructor itself does not.

    Parameters
    ----------
    shape : tuple of int
        That of the weight: output channels, input channels, height and width of the kernels.
    ptr : Tensor of int32, shape (out_channels + 1,)
        Place of the first element of each output channel, and the place after the last.
    idx : Tensor of int32, shape (n_elements,)
        Input channel of each element; where elements are taps, ``(input channel * height + row) * width + column``.
    t_ptr, t_idx : Tensor of int32, shapes (in_channels + 1,) and (n_elements,)
        The same by input channel, then by output channel, then by place in the kernel.
    t_perm : Tensor of int32, shape (n_elements,)
        The place in the values of each element in that order.
    """

    shape: tuple[int, int, int, int]
    ptr: torch.Tensor
    idx: torch.Tensor
    t_ptr: torch.Tensor
    t_idx: torch.Tensor
    t_perm: torch.Tensor

    by_taps: ClassVar[bool]
    """Whether an element is a single tap."""

    @property
    def n_elements(self) -> int:
        """Number of elements that are kept."""
        return self.idx.numel()

    @property
    def n_values(self) -> int:
        """Number of weights that are kept."""
        return self.idx.numel() * torch.Size(self._element(self.shape)).numel()

    @property
    def density(self) -> float:
        """Fraction of weights that are kept, in [0, 1]; 0 for a weight without elements."""
        return self.n_values / max(1, torch.Size(self.shape).numel())

    def places(self) -> torch.Tensor:
        """Return the place of each element in the flat weight, counted in elements.

        Returns
        -------
        Tensor of int64, shape (n_elements,)
        """
        return block_rows(self.ptr, self.idx) * (self.shape[1] * self._taps(self.shape)) + self.idx

    def from_dense(self, weight: torch.Tensor) -> torch.Tensor:
        """Return the values of a dense weight, in the order of the plan; what the mask removes is left out.

        Parameters
        ----------
        weight : Tensor, shape (out_channels, in_channels, height, width)

        Returns
        -------
        Tensor, shape (n_pairs, height, width) or (n_values,)
            A copy; gradients flow through it.

        Raises
        ------
        PlanError
            The weight has another shape or lies on another device.
        """
        check_weight(f"{type(self).__name__}.from_dense", weight, self.shape, self.device)
        return weight.reshape(-1, *self._element(self.shape))[self.places()]

    def to_dense(self, values: torch.Tensor) -> torch.Tensor:
        """Return the dense weight that has these values, and 0 elsewhere; the inverse of `from_dense`.

        Parameters
        ----------
        values : Tensor, shape (n_pairs, height, width) or (n_values,)

        Returns
        -------
        Tensor, shape (out_channels, in_channels, height, width)

        Raises
        ------
        PlanError
            The values have another shape or lie on another device.
        """
        element = self._element(self.shape)
        check_weight(f"{type(self).__name__}.to_dense", values, (self.n_elements, *element), self.device)
        all_elements = self.shape[0] * self.shape[1] * self._taps(self.shape)
        return values.new_zeros(all_elements, *element).index_copy(0, self.places(), values).view(self.shape)

    def mask(self) -> torch.Tensor:
        """Return the mask of which this is the plan.

        Returns
        -------
        Tensor of bool, shape (out_channels, in_channels, height, width)
        """
        kept = torch.ones(self.n_elements, *self._element(self.shape), dtype=torch.bool, device=self.device)
        return self.to_dense(kept)

    def state(self) -> dict[str, torch.Tensor]:
        """Return all that `from_state` needs, as tensors, ready to be saved.

        Returns
        -------
        dict of str to Tensor
        """
        return {"shape": torch.tensor(self.shape)} | {name: getattr(self, name) for name in TABLES}

    @classmethod
    def from_mask(cls: type[Own], mask: torch.Tensor) -> Own:
        """Return the plan of a mask.

        Parameters
        ----------
        mask : Tensor of bool, shape (out_channels, in_channels, height, width)
            True = kept; on any device, where the tables will be, too. Fewer than 2 ** 31 elements.

        Returns
        -------
        PairPlan or TapPlan

        Raises
        ------
        PlanError
            The mask has another dtype or shape or too many elements; for a `PairPlan`: a pair of channels is kept in
            part.
        """
        require_mask(cls.__name__, mask, [4], "(out_channels, in_channels, height, width)")
        shape = _checked_shape(cls.__name__, list(mask.shape))
        return cls._of_places(cls._kept(mask).reshape(-1).nonzero()[:, 0], shape)

    @classmethod
    def from_state(cls: type[Own], state: Mapping[str, torch.Tensor]) -> Own:
        """Return the plan that had this state.

        Every table is checked: the transposed tables are made anew and have to agree.

        Parameters
        ----------
        state : mapping of str to Tensor

        Returns
        -------
        PairPlan or TapPlan

        Raises
        ------
        PlanError
            A table is missing, has another dtype or shape than it should, or holds what no mask leads to.
        """
        where = f"{cls.__name__}.from_state"
        numbers = take_table(where, state, "shape")
        check_table(where, "shape", numbers, torch.int64, (4,))
        shape = _checked_shape(where, numbers.tolist())
        ptr, idx = take_table(where, state, "ptr"), take_table(where, state, "idx")
        _check_elements(where, ptr, idx, shape[0], shape[1] * cls._taps(shape))
        made = cls._of_places(block_rows(ptr, idx) * (shape[1] * cls._taps(shape)) + idx, shape)
        for name in TABLES:
            table, wanted = take_table(where, state, name), getattr(made, name)
            check_table(where, name, table, wanted.dtype, wanted.shape)
            if table.device != wanted.device:
                raise PlanError(f"{where}: expected all tables on {wanted.device}, got {name} on {table.device}")
            check_agreement(where, name, table, wanted)
        return made

    @classmethod
    def _kept(cls, mask: torch.Tensor) -> torch.Tensor:
        """Return which elements are kept, of a mask of the whole weight."""
        return mask

    @classmethod
    def _taps(cls, shape: tuple[int, int, int, int]) -> int:
        """Return how many elements a kernel has."""
        return shape[2] * shape[3] if cls.by_taps else 1

    @classmethod
    def _element(cls, shape: tuple[int, int, int, int]) -> tuple[int, ...]:
        """Return the shape of an element."""
        return () if cls.by_taps else shape[2:]

    @classmethod
    def _of_places(cls: type[Own], places: torch.Tensor, shape: tuple[int, int, int, int]) -> Own:
        """Return the plan of the elements at these places of the flat weight, which go up."""
        outputs, inputs, taps = *shape[:2], cls._taps(shape)
        row, column = places // (inputs * taps), places % (inputs * taps)
        channel, tap = column // taps, column % taps
        return cls(shape, *tables_of(row, column, channel, row * taps + tap, (outputs, inputs)))

    def __repr__(self) -> str:
        size = " x ".join(map(str, self.shape))
        elements = "values" if self.by_taps else "pairs"
        return f"{type(self).__name__}({size}, {self.n_elements} {elements}, density {self.density:.3g})"


def _checked_shape(where: str, shape: list[int]) -> tuple[int, int, int, int]:
    outputs, inputs, height, width = shape
    if min(outputs, inputs) < 0 or min(height, width) < 1:
        raise PlanError(f"{where}: expected kernels of at least 1 x 1, got a weight of shape {tuple(shape)}")
    if max(1, outputs) * max(1, inputs) * height * width >= MOST:
        raise PlanError(f"{where}: expected fewer than 2 ** 31 elements, got a weight of shape {tuple(shape)}")
    return outputs, inputs, height, width


def _check_elements(where: str, ptr: torch.Tensor, idx: torch.Tensor, n_rows: int, n_columns: int) -> None:
    check_table(where, "ptr", ptr, torch.int32, (n_rows + 1,))
    check_table(where, "idx", idx, torch.int32, (None,))
    if ptr.device != idx.device:
        raise PlanError(f"{where}: expected all tables on {ptr.device}, got idx on {idx.device}")
    check_rows(where, ptr, idx, n_columns, columns="idx", elements="the elements of an output channel")
