"""Several processes that train one model: the same masks on every rank.

Masks are computed on every rank, not sent around. Magnitudes and seeded random scores are the same everywhere as soon
as the weights are: `magnitude_scores` gathers what FSDP2 or tensor parallelism has spread. Scores from the data of one
rank go through `average_scores` first, and `check_ranks_agree` finds what differs all the same.

Both are collectives: all ranks of the group call them. Without ``torch.distributed`` there is one rank.
"""

import zlib
from collections.abc import Iterable, Mapping
from itertools import zip_longest

import torch
import torch.distributed as dist

from prune_adapters.errors import MaskError
from prune_adapters.shards import whole

__all__ = ["average_scores", "check_ranks_agree"]

Tensors = Mapping[str, torch.Tensor]
MOST = 5
"""Names in a message."""


def average_scores(scores: Tensors, *, group: "dist.ProcessGroup | None" = None) -> dict[str, torch.Tensor]:
    """Return the mean of the scores over all ranks, the same to the bit on each, so that the same masks come of them.

    For scores from local data. Average what adds up over data, such as gradients, and take absolute values after it.

    Parameters
    ----------
    scores : mapping of str to Tensor
        The same names in the same order, shapes and dtypes on every rank; not changed.
    group : ProcessGroup, optional
        Default: all ranks.

    Returns
    -------
    dict of str to Tensor
        In the order, dtypes and on the devices given, detached. Tensors that are spread over ranks come out whole.

    Raises
    ------
    ValueError
        Names, their order, shapes or dtypes differ between ranks. Every rank raises it.

    Examples
    --------
    >>> average_scores({"weight": torch.tensor([1.0, 3.0])})  # one process
    {'weight': tensor([1., 3.])}

    SNIP without DistributedDataParallel, which averages gradients by itself:

    >>> layer = torch.nn.Linear(2, 1, bias=False)
    >>> layer(torch.ones(1, 2)).sum().backward()
    >>> gradients = average_scores({"weight": layer.weight.grad})
    >>> scores = {"weight": (gradients["weight"] * layer.weight.detach()).abs()}
    """
    own = {name: whole(score.detach()).clone() for name, score in scores.items()}
    if _has_ranks():
        _check_same_kind(own, group)
        for score in own.values():
            dist.all_reduce(score, group=group)
            score /= dist.get_world_size(group)
    return own


def check_ranks_agree(masks: Tensors, *, group: "dist.ProcessGroup | None" = None) -> None:
    """Raise MaskError, on every rank, unless all ranks hold the same masks.

    Each rank sends one checksum a mask, all in one message. Other tensors do as well:
    ``check_ranks_agree(dict(model.named_parameters()))`` compares the weights of a data parallel model.

    Parameters
    ----------
    masks : mapping of str to Tensor
        Whole, as `masks_from_scores` and `remembered_masks` return them, in any order.
    group : ProcessGroup, optional
        Default: all ranks.

    Raises
    ------
    MaskError
        A mask differs between ranks in shape, dtype or any element, or some do not have it. The message names it and
        the ranks that differ from the first one.

    Examples
    --------
    >>> check_ranks_agree({"weight": torch.tensor([True, False])})  # one process
    """
    if not _has_ranks():
        return
    sums = _gathered({name: _checksum(mask) for name, mask in masks.items()}, group)
    ranks = dist.get_process_group_ranks(group)
    names = dict.fromkeys(name for own in sums for name in own)
    differing = {
        name: [rank for rank, own in zip(ranks, sums, strict=True) if own.get(name) != sums[0].get(name)]
        for name in names
    }
    if found := [f"{name!r} on {_ranks(there)}" for name, there in differing.items() if there]:
        more = f" and {len(found) - MOST} more" if len(found) > MOST else ""
        raise MaskError(
            f"masks differ from those of rank {ranks[0]}: {', '.join(found[:MOST])}{more}; compute them with one seed "
            "from equal weights, and from scores that have been through average_scores"
        )


def _has_ranks() -> bool:
    return dist.is_available() and dist.is_initialized()


def _gathered(own: dict[str, object], group: "dist.ProcessGroup | None") -> list[dict[str, object]]:
    """Return what each rank has given, in the order of the ranks of the group."""
    every: list[dict[str, object]] = [{}] * dist.get_world_size(group)
    dist.all_gather_object(every, own, group=group)
    return every


def _check_same_kind(scores: Tensors, group: "dist.ProcessGroup | None") -> None:
    every = _gathered({name: (tuple(score.shape), str(score.dtype)) for name, score in scores.items()}, group)
    for rank, other in zip(dist.get_process_group_ranks(group), every, strict=True):
        for expected, got in zip_longest(every[0].items(), other.items()):
            if expected != got:
                raise ValueError(f"average_scores: expected {expected} on every rank, got {got} on rank {rank}")


def _checksum(tensor: torch.Tensor) -> tuple[tuple[int, ...], str, int]:
    content = whole(tensor.detach()).cpu().contiguous().reshape(-1).view(torch.uint8)
    return tuple(tensor.shape), str(tensor.dtype), zlib.crc32(content.numpy().data)


def _ranks(numbers: Iterable[int]) -> str:
    listed = list(map(str, numbers))
    return f"rank{'s' if len(listed) > 1 else ''} {', '.join(listed)}"
