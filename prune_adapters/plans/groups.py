"""Groups of rows and of columns, whose pairs are the blocks of a matrix: how many there are, and which are kept."""

import torch

from prune_adapters.errors import PlanError
from prune_adapters.plans.tables import MOST

__all__ = ["cut", "group_counts", "joined", "kept_blocks"]


def group_counts(shape: tuple[int, int], block: tuple[int, int]) -> tuple[int, int]:
    """Return the numbers of block rows and block columns.

    Parameters
    ----------
    shape : (int, int)
        Rows and columns of the matrix.
    block : (int, int)
        Those of a block.

    Returns
    -------
    (int, int)

    Raises
    ------
    PlanError
        Blocks do not fill the shape, are empty, or the matrix has too many elements.
    """
    if len(block) != 2 or min(block) < 1:
        raise PlanError(f"BlockPlan: expected a block of (outputs, inputs), both at least 1, got {block}")
    if shape[0] % block[0] or shape[1] % block[1]:
        raise PlanError(f"BlockPlan: expected a shape that blocks of {block} fill, got {shape}")
    if shape[0] * shape[1] > MOST or max(shape) >= MOST:
        raise PlanError(f"BlockPlan: expected fewer than 2 ** 31 elements, got a matrix of {shape}")
    return shape[0] // block[0], shape[1] // block[1]


def kept_blocks(mask: torch.Tensor, block: tuple[int, int]) -> torch.Tensor:
    """Return which blocks a mask keeps.

    Parameters
    ----------
    mask : Tensor of bool, shape (out, in, ...)
    block : (int, int)
        Outputs and inputs of a block; all kernel positions belong to it.

    Returns
    -------
    Tensor of bool, shape (out groups, in groups)

    Raises
    ------
    PlanError
        A block is kept in part, or as in `group_counts`.
    """
    rows, columns = group_counts((mask.shape[0], mask.shape[1]), block)
    blocks = mask.reshape(rows, block[0], columns, block[1] * mask.shape[2:].numel())
    kept = blocks.any(3).any(1)
    partly = kept != blocks.all(3).all(1)
    if bool(partly.any()):
        row, column = partly.nonzero()[0].tolist()
        raise PlanError(f"BlockPlan: expected whole blocks of {block}, got a part of block ({row}, {column})")
    return kept


def cut(weight: torch.Tensor, groups: tuple[int, int], block: tuple[int, int]) -> torch.Tensor:
    """Return the blocks of a weight: Tensor of shape (out groups, in groups, out_block, in_block, ...)."""
    return weight.reshape(groups[0], block[0], groups[1], block[1], *weight.shape[2:]).transpose(1, 2)


def joined(blocks: torch.Tensor) -> torch.Tensor:
    """Return the weight that has these blocks: the inverse of `cut`."""
    rows, columns, height, width, *rest = blocks.shape
    return blocks.transpose(1, 2).reshape(rows * height, columns * width, *rest)
