"""Masks with a pattern: N of every M weights, and blocks of weights that are kept or removed as a whole.

Like all selection here they are exact: the number of kept weights or blocks is the one asked for, and of equal scores
the earlier is kept.
"""

from collections.abc import Mapping

import numpy as np
import torch

from prune_adapters.prefixes import flat_scores
from prune_adapters.select import Selection, masks_from_scores

__all__ = ["BLOCKS", "block_masks", "n_of_m_masks"]

Block = tuple[int | None, int | None]
BLOCKS: Mapping[str, Block] = {"kernel": (1, 1), "channel": (1, None), "input": (None, 1)}
"""Named blocks, as rows and columns; None is the whole dimension."""


def n_of_m_masks(scores: Mapping[str, torch.Tensor], *, n: int = 2, m: int = 4, dim: int = 1) -> Selection:
    """Return masks that keep the `n` highest scores of every `m` weights in a row.

    Parameters
    ----------
    scores : mapping of str to Tensor
        Any float dtype and device; higher = keep, of equal ones the earlier.
    n, m : int
        At least 0 and 1, n at most m. 2 of 4 is what sparse tensor cores can read.
    dim : int
        Dimension along which the groups lie. Default: the inputs of linear (out, in) and convolution weights.

    Returns
    -------
    Selection
        Bool tensors on the devices of the scores. If the dimension is no multiple of `m`, the last group is shorter and
        keeps `n` as well, or all it has.

    Raises
    ------
    ValueError
        A score is NaN or no float, a tensor has no dimension `dim`, or `n` and `m` are out of range.

    Examples
    --------
    >>> scores = {"w": torch.tensor([[1.0, 4.0, 3.0, 2.0, 0.5, 0.5, 0.5, 0.5]])}
    >>> n_of_m_masks(scores)["w"].int()
    tensor([[0, 1, 1, 0, 1, 1, 0, 0]], dtype=torch.int32)
    """
    if not 0 <= n <= m or m < 1:
        raise ValueError(f"n of m: expected 0 <= n <= m and m >= 1, got n={n} and m={m}")
    flat_scores(scores)
    _check_dimensions(scores, dim + 1 if dim >= 0 else -dim)
    masks = {name: _n_of_m(score.detach(), n, m, dim) for name, score in scores.items()}
    return Selection(masks, target="direct", requested=sum(int(mask.sum()) for mask in masks.values()))


def block_masks(
    scores: Mapping[str, torch.Tensor], *, sparsity: float, block: Block | str, scope: str = "global"
) -> Selection:
    """Return masks that keep the blocks with the highest mean scores and remove the others whole.

    Parameters
    ----------
    scores : mapping of str to Tensor
        Of two or more dimensions; higher = keep, of equal blocks the earlier. With magnitudes the mean ranks blocks by
        their 1-norm for each weight, with squares by their 2-norm.
    sparsity : float
        Fraction of blocks to remove, in [0, 1]: ``round(sparsity * n)`` of n. With blocks of one size it is the
        fraction of weights as well; a row of a wide layer holds more weights than one of a narrow layer.
    block : tuple of int, or {"kernel", "channel", "input"}
        Rows (outputs) and columns (inputs) of a block, all kernel positions included; None for the whole dimension.
        "kernel" is (1, 1), "channel" (1, None), "input" (None, 1). Blocks at the border are smaller where the
        dimension is no multiple.
    scope : {"global", "layer", "erk", "igq"}
        Who competes with whom, as in `masks_from_scores`, with blocks in place of weights.

    Returns
    -------
    Selection
        Bool tensors on the devices of the scores, with the number of kept weights as `requested` and `achieved`.

    Raises
    ------
    ValueError
        A score is NaN or no float or has fewer than two dimensions, a size of the block is less than 1, or a word is
        unknown.

    Examples
    --------
    >>> scores = {"w": torch.tensor([[3.0, 3.0, 1.0, 9.0], [3.0, 3.0, 0.0, 0.0]])}
    >>> block_masks(scores, sparsity=0.5, block=(2, 2))["w"].int()
    tensor([[1, 1, 0, 0],
            [1, 1, 0, 0]], dtype=torch.int32)
    >>> block_masks(scores, sparsity=0.5, block="channel")["w"].int()
    tensor([[1, 1, 1, 1],
            [0, 0, 0, 0]], dtype=torch.int32)
    """
    rows, columns = _checked_block(block)
    flat_scores(scores)
    _check_dimensions(scores, 2)
    grids = {name: torch.from_numpy(_means(score, rows, columns)) for name, score in scores.items()}
    blocks = masks_from_scores(grids, sparsity=sparsity, scope=scope)
    masks = {name: _spread(blocks[name].numpy(), score, rows, columns) for name, score in scores.items()}
    return Selection(masks, target="direct", requested=sum(int(mask.sum()) for mask in masks.values()))


def _n_of_m(score: torch.Tensor, n: int, m: int, dim: int) -> torch.Tensor:
    last = score.movedim(dim, -1)
    short = -last.shape[-1] % m
    padded = torch.nn.functional.pad(last, (0, short), value=-torch.inf).unflatten(-1, (-1, m))
    # A stable sort keeps equal scores in their order, and the padding behind scores of minus infinity.
    best = padded.sort(dim=-1, descending=True, stable=True).indices[..., :n]
    kept = torch.zeros_like(padded, dtype=torch.bool).scatter_(-1, best, True).flatten(-2)
    return kept[..., : last.shape[-1]].movedim(-1, dim).contiguous()


def _means(score: torch.Tensor, rows: int | None, columns: int | None) -> np.ndarray:
    """Return the mean score of each block: ndarray of float64, one row for each row of blocks."""
    array = score.detach().to("cpu", torch.float64).numpy()
    sums = _sums(_sums(array.sum(axis=tuple(range(2, array.ndim))), rows, 0), columns, 1)
    lengths = [_sums(np.ones(size), step, 0) for size, step in zip(array.shape, (rows, columns), strict=False)]
    taps = int(np.prod(array.shape[2:], dtype=np.int64))
    return sums / np.maximum(lengths[0][:, None] * lengths[1] * taps, 1)


def _sums(array: np.ndarray, step: int | None, axis: int) -> np.ndarray:
    size = array.shape[axis]
    return np.add.reduceat(array, np.arange(0, size, step or size), axis=axis) if size else array


def _spread(kept: np.ndarray, score: torch.Tensor, rows: int | None, columns: int | None) -> torch.Tensor:
    """Return the mask of the weights from that of the blocks."""
    height, width = score.shape[:2]
    whole = kept.repeat(rows or height, axis=0)[:height].repeat(columns or width, axis=1)[:, :width]
    mask = torch.from_numpy(whole).reshape(height, width, *[1] * (score.dim() - 2))
    return mask.expand(score.shape).contiguous().to(score.device)


def _checked_block(block: Block | str) -> Block:
    if isinstance(block, str):
        if block not in BLOCKS:
            raise ValueError(f"block: expected a pair of sizes or one of {', '.join(map(repr, BLOCKS))}, got {block!r}")
        return BLOCKS[block]
    if len(block) != 2 or any(size is not None and size < 1 for size in block):
        raise ValueError(f"block: expected two sizes of at least 1 (rows, columns), or None, got {block}")
    return block


def _check_dimensions(scores: Mapping[str, torch.Tensor], least: int) -> None:
    for name, score in scores.items():
        if score.dim() < least:
            raise ValueError(
                f"scores for {name!r}: expected at least {least} dimensions, got shape {tuple(score.shape)}"
            )
