"""A plain training loop for the examples: seeded, resumable, with a progress bar.

It is short on purpose. Neither masks nor methods need a loop of ours: `keep_masks` and `Method` work in any.
"""

import os
import pickle
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from prune_adapters.apply import apply_masks, remembered_masks
from prune_adapters.errors import CheckpointError
from prune_adapters.keep import keep_masks
from prune_adapters.methods import Method

__all__ = ["accuracy", "train"]

Pair = tuple[torch.Tensor, torch.Tensor]
Batches = Iterable[Pair]
Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
BAR = (TextColumn("epoch"), MofNCompleteColumn(), BarColumn(), TimeRemainingColumn(), TextColumn("{task.description}"))


def train(
    model: nn.Module,
    data: Pair | Batches,
    *,
    epochs: int,
    optimizer: Optimizer | None = None,
    scheduler: LRScheduler | None = None,
    method: Method | None = None,
    loss: Loss = nn.functional.cross_entropy,
    batch_size: int = 128,
    seed: int | np.random.Generator | None = 0,
    checkpoint: str | os.PathLike[str] | None = None,
    progress: bool = True,
) -> list[float]:
    """Return the mean loss of each epoch; `model` is trained in place, and masks that it remembers are kept.

    Parameters
    ----------
    model : Module
        Batches go to the device of its first parameter. Its training mode is as before afterwards.
    data : pair of Tensor, or iterable of pairs
        All inputs and targets, shuffled anew in each epoch; or batches of them, such as a DataLoader.
    epochs : int
        Number of epochs in all, those of a resumed run included.
    optimizer : Optimizer, optional
        Default: AdamW with learning rate 0.001.
    scheduler : LRScheduler, optional
        Steps once an epoch.
    method : Method, optional
        Prunes while the model trains; made with this model and optimizer. Call its ``finish`` afterwards.
    loss : callable
        Takes outputs and targets, returns the mean loss of the batch.
    batch_size : int
        For a pair of tensors.
    seed : int, numpy Generator or None
        Sets torch's random numbers anew for each epoch, also those of a DataLoader; the caller's are left alone.
    checkpoint : path, optional
        Written after each epoch, whole or not at all. If it exists the run goes on from there, and ends with the
        same bits as one that was never interrupted (same machine, versions and threads; randomness from torch only).
    progress : bool
        Show a bar on standard error.

    Returns
    -------
    list of float
        One number an epoch, in nats for the default loss.

    Raises
    ------
    CheckpointError
        The file is no checkpoint, or one of another model, optimizer, seed, batch size or set of masks.
    FloatingPointError
        The mean loss of an epoch is not finite; the checkpoint of the epoch before is still there.
    ValueError
        `data` holds no batch, or inputs and targets differ in length.

    Examples
    --------
    >>> _ = torch.manual_seed(0)
    >>> x = torch.tensor([[0.0], [1.0]] * 8)
    >>> model = nn.Linear(1, 2)
    >>> optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    >>> losses = train(model, (x, x[:, 0].long()), epochs=20, optimizer=optimizer, progress=False)
    >>> losses[-1] < losses[0], accuracy(model, x, x[:, 0].long())
    (True, 1.0)
    """
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3) if optimizer is None else optimizer
    run = _Run(model, optimizer, scheduler, method, _number(seed), batch_size)
    if checkpoint is not None and Path(checkpoint).exists():
        run.load(Path(checkpoint), same_seed=seed is not None)
    device = next(model.parameters()).device
    was_training = model.training
    with _random_numbers_of(device), _masks_kept(model, optimizer), _bar(progress) as bar:
        task = bar.add_task("", total=epochs, completed=len(run.losses))
        for epoch in range(len(run.losses), epochs):
            _seed_epoch(run.seed, epoch, data)
            run.losses.append(_epoch(model.train(), _batches(data, batch_size), optimizer, method, loss, device))
            _check_finite(run.losses)
            if scheduler is not None:
                scheduler.step()
            if checkpoint is not None:
                run.save(Path(checkpoint))
            bar.update(task, completed=epoch + 1, description=f"loss {run.losses[-1]:.4f}")
    model.train(was_training)
    return run.losses


def accuracy(model: nn.Module, x: torch.Tensor, y: torch.Tensor, *, batch_size: int = 1024) -> float:
    """Return the fraction of inputs whose highest output is the target.

    Parameters
    ----------
    model : Module
        Evaluated in eval mode; its mode is as before afterwards.
    x : Tensor, shape (n, ...)
    y : Tensor of int, shape (n,)
    batch_size : int
        Inputs evaluated at a time.

    Returns
    -------
    float
        In [0, 1].

    Raises
    ------
    ValueError
        There are no inputs, or inputs and targets differ in length.

    Examples
    --------
    >>> accuracy(nn.Identity(), torch.eye(3), torch.tensor([0, 1, 1]))
    0.6666666666666666
    """
    _check_lengths(x, y)
    device = next((p.device for p in model.parameters()), x.device)
    was_training = model.training
    model.eval()
    with torch.no_grad():
        pairs = zip(x.split(batch_size), y.split(batch_size), strict=True)
        right = sum(int((model(inputs.to(device)).argmax(1) == t.to(device)).sum()) for inputs, t in pairs)
    model.train(was_training)
    return right / len(y)


class _Run:
    """What a run is resumed from."""

    def __init__(
        self,
        model: nn.Module,
        optimizer: Optimizer,
        scheduler: LRScheduler | None,
        method: Method | None,
        seed: int,
        batch_size: int,
    ) -> None:
        parts: dict[str, Any] = {"method": method, "model": model, "optimizer": optimizer, "scheduler": scheduler}
        self.parts = {name: part for name, part in parts.items() if part is not None}
        self.model = model
        self.seed = seed
        self.batch_size = batch_size
        self.losses: list[float] = []

    def save(self, path: Path) -> None:
        """Write the file under another name first, so that a good one is there at any moment."""
        content: dict[str, object] = {name: part.state_dict() for name, part in self.parts.items()}
        masks = {} if "method" in self.parts else remembered_masks(self.model)  # a method has them in its state
        content |= {"masks": masks, "losses": self.losses}
        content |= {"seed": self.seed, "batch_size": self.batch_size}
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.name)
        try:
            with os.fdopen(handle, "wb") as file:
                torch.save(content, file)
            os.replace(temporary, path)
        except BaseException:
            os.unlink(temporary)
            raise

    def load(self, path: Path, *, same_seed: bool) -> None:
        """Set model, masks, optimizer and scheduler to what the file holds."""
        content = _read(path, {*self.parts, "masks", "losses", "seed", "batch_size"})
        for label, own in (("batch_size", self.batch_size), *([("seed", self.seed)] if same_seed else [])):
            if content[label] != own:
                raise CheckpointError(f"{path}: begun with {label} {content[label]}, got {own}")
        own_masks = {} if "method" in self.parts else remembered_masks(self.model)
        if own_masks and not _equal(own_masks, content["masks"]):
            raise CheckpointError(f"{path}: begun with other masks than the model has; use a new file for a new run")
        try:
            for name, part in self.parts.items():
                part.load_state_dict(content[name])
            apply_masks(self.model, content["masks"])
        except (KeyError, RuntimeError, ValueError) as error:
            raise CheckpointError(f"{path}: does not fit: {error}") from error
        self.seed, self.losses = content["seed"], content["losses"]


def _read(path: Path, expected: set[str]) -> dict:
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError) as error:
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise CheckpointError(f"{path}: not a checkpoint: {reason}") from error
    if not isinstance(content, dict) or set(content) != expected:
        found = sorted(content) if isinstance(content, dict) else type(content).__name__
        raise CheckpointError(f"{path}: expected {sorted(expected)}, got {found}")
    return content


def _equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(mask.cpu(), other[name]) for name, mask in one.items())


def _number(seed: int | np.random.Generator | None) -> int:
    return seed if isinstance(seed, int) else int(np.random.default_rng(seed).integers(2**31))


def _seed_epoch(seed: int, epoch: int, data: object) -> None:
    """Make the random numbers of an epoch depend on nothing but the seed and the epoch."""
    number = int(np.random.SeedSequence([seed, epoch]).generate_state(1)[0])
    torch.manual_seed(number)
    own = getattr(data, "generator", None)
    if isinstance(own, torch.Generator):
        own.manual_seed(number)


def _batches(data: Pair | Batches, batch_size: int) -> Iterator[Pair]:
    if not (isinstance(data, tuple) and len(data) == 2 and isinstance(data[0], torch.Tensor)):
        yield from data
        return
    x, y = data
    _check_lengths(x, y)
    for chosen in torch.randperm(len(x)).split(batch_size):
        yield x[chosen], y[chosen]


def _epoch(
    model: nn.Module,
    batches: Batches,
    optimizer: Optimizer,
    method: Method | None,
    loss: Loss,
    device: torch.device,
) -> float:
    """Return the mean loss; it is read from the device at the end, so that no batch waits for the one before."""
    sums, count = [], 0
    for x, y in batches:
        optimizer.zero_grad()
        mean = loss(model(x.to(device)), y.to(device))
        (mean if method is None else mean + method.penalty()).backward()
        if method is not None:
            method.after_backward()
        optimizer.step()
        if method is not None:
            method.after_step()
        sums.append(mean.detach() * len(y))
        count += len(y)
    if count == 0:
        raise ValueError("data: expected at least one batch, got none")
    return torch.stack(sums).cpu().double().sum().item() / count


def _check_finite(losses: list[float]) -> None:
    if not np.isfinite(losses[-1]):
        raise FloatingPointError(f"epoch {len(losses)}: the mean loss is {losses[-1]}; try a lower learning rate")


def _check_lengths(x: torch.Tensor, y: torch.Tensor) -> None:
    if len(x) != len(y) or len(x) == 0:
        raise ValueError(f"data: expected as many targets as inputs and at least one, got {len(x)} and {len(y)}")


def _random_numbers_of(device: torch.device) -> AbstractContextManager[None]:
    return torch.random.fork_rng(devices=[device] if device.type == "cuda" else [])


def _masks_kept(model: nn.Module, optimizer: Optimizer) -> AbstractContextManager[object]:
    return keep_masks(model, optimizer) if remembered_masks(model) else nullcontext()


def _bar(shown: bool) -> Progress:
    return Progress(*BAR, console=Console(stderr=True), disable=not shown)
