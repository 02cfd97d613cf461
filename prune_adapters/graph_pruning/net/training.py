"""A `PruningNet` trained from scratch: each step on several sub-networks, seeded, resumable, with a progress bar."""

import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import nn
from torch.optim import SGD, Optimizer
from torch.optim.lr_scheduler import LRScheduler, OneCycleLR

from prune_adapters.graph_pruning.net.batches import Batches, Pair, endless_batches
from prune_adapters.graph_pruning.net.pruning_net import PruningNet
from prune_adapters.graph_pruning.net.training_run import Setting, TrainingRun
from prune_adapters.graph_pruning.net.training_step import drawn_candidates, step_gradients

__all__ = ["train_pruning_net"]

BAR = (TextColumn("step"), MofNCompleteColumn(), BarColumn(), TimeRemainingColumn(), TextColumn("{task.description}"))


def train_pruning_net(
    net: PruningNet,
    data: Pair | Batches,
    *,
    steps: int,
    optimizer: Optimizer | None = None,
    scheduler: LRScheduler | None = None,
    learning_rate: float = 0.1,
    lowest: float = 0.2,
    sandwich: bool = True,
    distill: bool = True,
    draws: int = 2,
    label_smoothing: float = 0.1,
    clip: float = 5.0,
    augment: Callable[[torch.Tensor], torch.Tensor] | None = None,
    batch_size: int = 64,
    seed: int | np.random.Generator | None = 0,
    checkpoint: str | os.PathLike[str] | None = None,
    every: int = 200,
    progress: bool = True,
) -> list[float]:
    """Return the loss of each step; aggregator, generators and shared parameters are trained together, in place.

    Each step draws sub-networks whose ratios are uniform on [lowest, 1] and follows the mean of their gradients.
    Reconstructed from the abstract of the first version of [1]_ ("jointly trained from scratch") and from
    MetaPruning [2]_; sandwich rule and distillation are those of universally slimmable networks [3]_.

    Parameters
    ----------
    net : PruningNet
        Its training mode is as before afterwards.
    data : pair of Tensor, or iterable of pairs
        All inputs and classes, shuffled anew in each epoch; or batches of them, such as a DataLoader.
    steps : int
        Batches in all, those of a resumed run included.
    optimizer : Optimizer, optional
        Default: SGD with Nesterov momentum 0.9 and weight decay 0.0001, its rate one cycle (rising to `learning_rate`,
        falling to 0). For transformers AdamW is better.
    scheduler : LRScheduler, optional
        Steps once a step; only with an optimizer.
    learning_rate : float
        Highest rate of the default optimizer.
    lowest : float
        Smallest ratio of a width, in (0, 1].
    sandwich : bool
        Each step takes the whole network and the narrowest one besides those drawn.
    distill : bool
        Only the whole network learns the classes; the others learn its outputs. Needs `sandwich`.
    draws : int
        Sub-networks drawn a step, at least one.
    label_smoothing : float
        Share of the target that goes to all classes alike.
    clip : float
        Largest norm of the gradient.
    augment : callable, optional
        Takes a batch of inputs, returns one, on the device of the net; randomness from torch only.
    batch_size : int
        For a pair of tensors.
    seed : int, numpy Generator or None
        Sets torch's random numbers anew for each step; the caller's are left alone.
    checkpoint : path, optional
        Written every `every` steps and at the end, whole or not at all. If it exists the run goes on from there, and
        ends with the same bits as one that was never interrupted (same machine, versions and threads).
    every : int
        Steps between two checkpoints.
    progress : bool
        Show a bar on standard error.

    Returns
    -------
    list of float
        Cross entropy in nats against the smoothed classes, of the whole network, or the mean over the drawn ones.

    Raises
    ------
    CheckpointError
        The file is no checkpoint, or one of another net, optimizer or setting.
    FloatingPointError
        A loss is not finite; the last checkpoint is still there.
    ValueError
        An argument is out of its range, or `data` holds no batch.

    References
    ----------
    .. [1] Zhang, Yu, Rong, Ou, "GraphPruning", arXiv 1911.09817 (2019), abstracts of both versions.
    .. [2] Liu et al., "MetaPruning", ICCV 2019, section 3.1.
    .. [3] Yu and Huang, "Universally Slimmable Networks and Improved Training Techniques", ICCV 2019, section 3.
       The gradients of the sub-networks are averaged here, and added up there.

    Examples
    --------
    >>> from prune_adapters.graph_pruning.space.space import width_space
    >>> model = nn.Sequential(nn.Linear(2, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 2))
    >>> net = PruningNet(width_space(model, torch.ones(1, 2)))
    >>> x = torch.tensor([[0.0, 1.0], [1.0, 0.0]] * 32)
    >>> losses = train_pruning_net(net, (x, x[:, 0].long()), steps=30, label_smoothing=0.0, progress=False)
    >>> len(losses), losses[-1] < 0.5 * losses[0]
    (30, True)
    """
    settings: dict[str, Setting] = {"steps": steps, "lowest": lowest, "sandwich": sandwich, "distill": distill}
    settings |= {"draws": draws, "label_smoothing": label_smoothing, "clip": clip, "batch_size": batch_size}
    settings |= {"learning_rate": learning_rate, "seed": _number(seed)}
    _check({**settings, "every": every}, scheduled_alone=optimizer is None and scheduler is not None)
    if optimizer is None:
        optimizer, scheduler = _one_cycle(net, learning_rate, steps)
    run = TrainingRun(net, optimizer, scheduler, settings)
    if checkpoint is not None and Path(checkpoint).exists():
        run.load(Path(checkpoint), any_seed=seed is None)
    number, done = int(run.settings["seed"]), len(run.losses)
    was_training, device = net.training, next(net.parameters()).device
    with _random_numbers_of(device), _bar(progress) as bar:
        task = bar.add_task("", total=steps, completed=done)
        batches = endless_batches(data, batch_size=batch_size, seed=number, done=done)
        net.train()
        for step in range(done, steps):
            drawing = _seed_step(number, step)
            x, y = (tensor.to(device) for tensor in next(batches))
            optimizer.zero_grad()
            run.losses.append(_gradients(net, x if augment is None else augment(x), y, settings, drawing))
            _check_finite(run.losses)
            _clip(net, clip)
            optimizer.step()
            if scheduler is not None:
                scheduler.step()
            if checkpoint is not None and (step + 1 == steps or (step + 1) % every == 0):
                run.save(Path(checkpoint))
            bar.update(task, completed=step + 1, description=f"loss {run.losses[-1]:.4f}")
    net.train(was_training)
    return run.losses


def _gradients(
    net: PruningNet, x: torch.Tensor, y: torch.Tensor, settings: dict[str, Setting], drawing: np.random.Generator
) -> float:
    """Set the gradients of a net by what the settings say of a step; return the loss, NaN if that of any is."""
    sandwich = bool(settings["sandwich"])
    candidates = drawn_candidates(
        net.space, lowest=settings["lowest"], sandwich=sandwich, draws=int(settings["draws"]), seed=drawing
    )
    distill, smoothing = sandwich and bool(settings["distill"]), settings["label_smoothing"]
    losses = step_gradients(net, x, y, candidates, distill=distill, label_smoothing=smoothing)
    if not np.isfinite(losses).all():
        return float("nan")
    return losses[0] if sandwich else sum(losses) / len(losses)


def _one_cycle(net: PruningNet, learning_rate: float, steps: int) -> tuple[Optimizer, LRScheduler]:
    """Return the default optimizer and schedule; torch's one cycle needs some steps to be one."""
    optimizer = SGD(net.parameters(), learning_rate, momentum=0.9, nesterov=True, weight_decay=1e-4, fused=True)
    return optimizer, OneCycleLR(optimizer, learning_rate, total_steps=max(steps, 10), cycle_momentum=False)


def _check(settings: dict[str, Setting], *, scheduled_alone: bool) -> None:
    for name, least in (("steps", 0), ("draws", 1), ("batch_size", 1), ("every", 1)):
        if settings[name] < least:
            raise ValueError(f"{name}: expected at least {least}, got {settings[name]}")
    if not 0 < settings["lowest"] <= 1:
        raise ValueError(f"lowest: expected a ratio in (0, 1], got {settings['lowest']}")
    if not settings["clip"] > 0:
        raise ValueError(f"clip: expected a norm above 0, got {settings['clip']}; inf clips nothing")
    if scheduled_alone:
        raise ValueError("scheduler: expected an optimizer with it; the default optimizer brings a schedule of its own")


def _check_finite(losses: list[float]) -> None:
    if not np.isfinite(losses[-1]):
        raise FloatingPointError(f"step {len(losses)}: a loss is not finite; try a lower learning rate")


def _clip(net: PruningNet, largest: float) -> None:
    """Scale the gradients down where their norm is too large; else they are read once and left alone."""
    gradients = [parameter.grad for parameter in net.parameters() if parameter.grad is not None]
    norm = nn.utils.get_total_norm(gradients)
    if norm > largest:
        torch._foreach_mul_(gradients, largest / (norm + 1e-6))


def _number(seed: int | np.random.Generator | None) -> int:
    return seed if isinstance(seed, int) else int(np.random.default_rng(seed).integers(2**31))


def _seed_step(seed: int, step: int) -> np.random.Generator:
    """Make torch's random numbers, and those returned, depend on nothing but the seed and the step."""
    drawing = np.random.default_rng([seed, step])
    torch.manual_seed(int(drawing.integers(2**63)))
    return drawing


def _random_numbers_of(device: torch.device) -> AbstractContextManager[None]:
    return torch.random.fork_rng(devices=[device] if device.type == "cuda" else [])


def _bar(shown: bool) -> Progress:
    return Progress(*BAR, console=Console(stderr=True), disable=not shown)
