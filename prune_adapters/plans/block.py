"""The plan of a matrix of dense blocks, for `block_linear` and `block_conv2d`."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch

from prune_adapters import ops
from prune_adapters.errors import PlanError
from prune_adapters.ops.arguments import Pair
from prune_adapters.ops.reference.linear import block_rows
from prune_adapters.plans.groups import cut, group_counts, joined, kept_blocks
from prune_adapters.plans.tables import (
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

__all__ = ["BlockPlan"]


@dataclass(frozen=True, eq=False, repr=False)
class BlockPlan(PlanTables):
    """Which blocks of a matrix are kept, and the same for the transposed matrix; it never changes.

    The values of a layer have shape (n_blocks, out_block, in_block), block row by block row, in a block row column by
    column; those of a convolution have its kernel as further dimensions. Make a plan with `from_mask` or `from_blocks`,
    or with `from_state` what was saved; these check, the constructor itself does not.

    Parameters
    ----------
    block : tuple of int
        Outputs and inputs of a block.
    ptr : Tensor of int32, shape (out_groups + 1,)
        The first block of each block row, and the number of blocks. Evenly spaced for a regular graph.
    idx : Tensor of int32, shape (n_blocks,)
        Block column of each block.
    t_ptr, t_idx : Tensor
        The same for the transposed matrix.
    t_perm : Tensor of int32, shape (n_blocks,)
        The place in the values of each block of the transposed matrix.

    Examples
    --------
    >>> plan = BlockPlan.from_blocks(torch.tensor([[True, False], [False, True]]), block=(1, 2))
    >>> plan
    BlockPlan(2 x 4, 2 blocks of 1 x 2, density 0.5)
    >>> values = plan.from_dense(torch.tensor([[1.0, 2.0, 3.0, 4.0], [5.0, 6.0, 7.0, 8.0]]))
    >>> values
    tensor([[[1., 2.]],
    <BLANKLINE>
            [[7., 8.]]])
    >>> plan.linear(torch.ones(1, 4), values)
    tensor([[ 3., 15.]])
    """

    block: tuple[int, int]
    ptr: torch.Tensor
    idx: torch.Tensor
    t_ptr: torch.Tensor
    t_idx: torch.Tensor
    t_perm: torch.Tensor

    @classmethod
    def from_mask(cls, mask: torch.Tensor, *, block: tuple[int, int]) -> "BlockPlan":
        """Return the plan of a mask that keeps or removes whole blocks.

        Parameters
        ----------
        mask : Tensor of bool, shape (out, in, ...)
            True = kept; on any device, where the tables will be, too.
        block : tuple of int
            Outputs and inputs of a block; all kernel positions belong to it.

        Returns
        -------
        BlockPlan

        Raises
        ------
        PlanError
            The mask has another dtype, a size that is no multiple of the block's, too many elements, or a block that is
            kept in part.
        """
        require_mask("BlockPlan", mask, range(2, 6), "(out, in, ...)")
        return cls.from_blocks(kept_blocks(mask, block), block=block)

    @classmethod
    def from_blocks(cls, blocks: torch.Tensor, *, block: tuple[int, int]) -> "BlockPlan":
        """Return the plan of a mask of blocks: the biadjacency matrix of a graph between groups.

        Parameters
        ----------
        blocks : Tensor of bool, shape (out / out_block, in / in_block)
            True = kept.
        block : tuple of int
            Outputs and inputs of a block.

        Returns
        -------
        BlockPlan

        Raises
        ------
        PlanError
            The mask has another dtype or shape, or the matrix too many elements.
        """
        require_mask("BlockPlan.from_blocks", blocks, [2], "(out groups, in groups)")
        sizes = group_counts((blocks.shape[0] * block[0], blocks.shape[1] * block[1]), block)
        rows, columns = blocks.nonzero(as_tuple=True)
        return cls((block[0], block[1]), *tables_of(rows, columns, columns, rows, sizes))

    @property
    def groups(self) -> tuple[int, int]:
        """Numbers of block rows and block columns."""
        return self.ptr.numel() - 1, self.t_ptr.numel() - 1

    @property
    def shape(self) -> tuple[int, int]:
        """Rows (outputs) and columns (inputs)."""
        return self.groups[0] * self.block[0], self.groups[1] * self.block[1]

    @property
    def n_blocks(self) -> int:
        """Number of blocks that are kept."""
        return self.idx.numel()

    @property
    def n_values(self) -> int:
        """Number of elements that are kept; for a convolution, at each kernel position."""
        return self.n_blocks * self.block[0] * self.block[1]

    @property
    def density(self) -> float:
        """Fraction of blocks that are kept, in [0, 1]; 0 for a matrix without blocks."""
        return self.n_blocks / max(1, self.groups[0] * self.groups[1])

    def linear(self, x: torch.Tensor, values: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
        """Return x times the transposed matrix, plus bias; see `prune_adapters.ops.block_linear`.

        Parameters
        ----------
        x : Tensor, shape (..., in)
        values : Tensor, shape (n_blocks, out_block, in_block)
        bias : Tensor, shape (out,), optional

        Returns
        -------
        Tensor, shape (..., out)
        """
        return ops.block_linear(x, values, bias, *self.tables)

    def conv2d(
        self,
        x: torch.Tensor,
        values: torch.Tensor,
        bias: torch.Tensor | None = None,
        *,
        stride: Pair = 1,
        padding: Pair = 0,
        dilation: Pair = 1,
    ) -> torch.Tensor:
        """Return the convolution of x; see `prune_adapters.ops.block_conv2d`.

        Parameters
        ----------
        x : Tensor, shape (batch, in_channels, in_height, in_width)
        values : Tensor, shape (n_blocks, out_block, in_block, height, width)
        bias : Tensor, shape (out_channels,), optional
        stride, padding, dilation : int or (int, int), optional
            As in `torch.nn.functional.conv2d`.

        Returns
        -------
        Tensor, shape (batch, out_channels, out_height, out_width)
        """
        return ops.block_conv2d(x, values, bias, *self.tables, stride, padding, dilation)

    def from_dense(self, weight: torch.Tensor) -> torch.Tensor:
        """Return the blocks of a dense weight that are kept.

        Parameters
        ----------
        weight : Tensor, shape (out, in, ...)

        Returns
        -------
        Tensor, shape (n_blocks, out_block, in_block, ...)
            A copy; gradients flow through it.

        Raises
        ------
        PlanError
            The weight has another shape or lies on another device.
        """
        check_weight("BlockPlan.from_dense", weight, (*self.shape, *weight.shape[2:]), self.device)
        return cut(weight, self.groups, self.block)[block_rows(self.ptr, self.idx), self.idx.long()]

    def to_dense(self, values: torch.Tensor) -> torch.Tensor:
        """Return the dense weight that has these blocks, and 0 elsewhere; the inverse of `from_dense`.

        Parameters
        ----------
        values : Tensor, shape (n_blocks, out_block, in_block, ...)

        Returns
        -------
        Tensor, shape (out, in, ...)

        Raises
        ------
        PlanError
            The values have another shape or lie on another device.
        """
        rest = values.shape[3:]
        check_weight("BlockPlan.to_dense", values, (self.n_blocks, *self.block, *rest), self.device)
        blocks = values.new_zeros(*self.groups, *self.block, *rest)
        places = block_rows(self.ptr, self.idx), self.idx.long()
        return joined(blocks.index_put(places, values))

    def mask(self) -> torch.Tensor:
        """Return the mask of which this is the plan.

        Returns
        -------
        Tensor of bool, shape (out, in)
        """
        return self.to_dense(torch.ones(self.n_blocks, *self.block, dtype=torch.bool, device=self.device))

    def state(self) -> dict[str, torch.Tensor]:
        """Return all that `from_state` needs, as tensors, ready to be saved.

        Returns
        -------
        dict of str to Tensor
        """
        return {"block": torch.tensor(self.block)} | {name: getattr(self, name) for name in TABLES}

    @classmethod
    def from_state(cls, state: Mapping[str, torch.Tensor]) -> "BlockPlan":
        """Return the plan that had this state.

        Every table is checked: the transposed tables are made anew and have to agree.

        Parameters
        ----------
        state : mapping of str to Tensor

        Returns
        -------
        BlockPlan

        Raises
        ------
        PlanError
            A table is missing, has another dtype or shape than it should, or holds what no mask leads to.
        """
        where = "BlockPlan.from_state"
        tables = {name: take_table(where, state, name) for name in ("block", *TABLES)}
        check_table(where, "block", tables["block"], torch.int64, (2,))
        for name in TABLES:
            check_table(where, name, tables[name], torch.int32, (None,))
            if tables[name].device != tables["idx"].device:
                raise PlanError(f"{where}: expected all tables on {tables['idx'].device}, got {name} elsewhere")
        out_block, in_block = tables["block"].tolist()
        groups = max(0, tables["ptr"].numel() - 1), max(0, tables["t_ptr"].numel() - 1)
        group_counts((groups[0] * out_block, groups[1] * in_block), (out_block, in_block))
        ptr, idx = tables["ptr"], tables["idx"]
        check_rows(where, ptr, idx, groups[1], columns="block columns", elements="the block columns of a row")
        rows, columns = block_rows(ptr, idx), idx.long()
        made = cls((out_block, in_block), *tables_of(rows, columns, columns, rows, groups))
        for name in TABLES:
            check_agreement(where, name, tables[name], getattr(made, name))
        return made

    def __repr__(self) -> str:
        blocks = f"{self.n_blocks} blocks of {self.block[0]} x {self.block[1]}"
        return f"BlockPlan({self.shape[0]} x {self.shape[1]}, {blocks}, density {self.density:.3g})"
