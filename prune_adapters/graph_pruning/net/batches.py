"""Batches without end that can be taken up again where a run was interrupted."""

from collections.abc import Iterable, Iterator
from itertools import count, islice

import numpy as np
import torch

__all__ = ["Batches", "Pair", "endless_batches"]

Pair = tuple[torch.Tensor, torch.Tensor]
Batches = Iterable[Pair]


def endless_batches(data: Pair | Batches, *, batch_size: int, seed: int, done: int = 0) -> Iterator[Pair]:
    """Return batches epoch after epoch, shuffled anew in each.

    Parameters
    ----------
    data : pair of Tensor, or iterable of pairs
        All inputs and targets, of which what is left over at the end of an epoch is left out; or batches of them.
    batch_size : int
        For a pair of tensors.
    seed : int
        The batches of a pair depend on nothing else. For an iterable torch's random numbers are set at each epoch.
    done : int
        So many batches are skipped: those that a run had before it was interrupted.

    Raises
    ------
    ValueError
        There is no batch, or inputs and targets differ in length.

    Examples
    --------
    >>> x = torch.arange(4)
    >>> batches = endless_batches((x, x), batch_size=2, seed=0)
    >>> inputs = [next(batches)[0] for _ in range(4)]
    >>> sorted(torch.cat(inputs[:2]).tolist()), sorted(torch.cat(inputs[2:]).tolist())
    ([0, 1, 2, 3], [0, 1, 2, 3])
    """
    if not (isinstance(data, tuple) and len(data) == 2 and isinstance(data[0], torch.Tensor)):
        batches = _epochs(data, seed)
        for _ in range(done):
            next(batches)
        return batches
    x, y = data
    if len(x) != len(y) or len(x) == 0:
        raise ValueError(f"data: expected as many targets as inputs and at least one, got {len(x)} and {len(y)}")
    return ((x[chosen], y[chosen]) for chosen in islice(_choices(len(x), batch_size, seed), done, None))


def _choices(n_inputs: int, batch_size: int, seed: int) -> Iterator[torch.Tensor]:
    for epoch in count():
        drawing = torch.Generator().manual_seed(_epoch_number(seed, epoch))
        order = torch.randperm(n_inputs, generator=drawing)
        yield from order.split(batch_size)[: max(n_inputs // batch_size, 1)]


def _epochs(data: Batches, seed: int) -> Iterator[Pair]:
    for epoch in count():
        torch.manual_seed(_epoch_number(seed, epoch))
        own = getattr(data, "generator", None)
        if isinstance(own, torch.Generator):
            own.manual_seed(_epoch_number(seed, epoch))
        empty = True
        for batch in data:
            empty = False
            yield batch
        if empty:
            raise ValueError(f"data: expected at least one batch in epoch {epoch + 1}, got none")


def _epoch_number(seed: int, epoch: int) -> int:
    return int(np.random.SeedSequence([seed, epoch]).generate_state(1)[0])
