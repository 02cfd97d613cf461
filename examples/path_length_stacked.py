"""Many runs trained at once: networks of one shape lie side by side in one wide network, each its own group.

A small network keeps a GPU waiting for the next kernel. Here the channels of all networks are the channels of one:
convolutions get as many groups as there are networks, linear layers become one batched product, and batch norm and
pooling, which never mix channels, stay as they are. Each network sees its own batches, the loss is the sum of all, and
SGD moves each weight by its own gradient, so each network ends where it would alone, up to rounding.

On a GPU a step is recorded as a CUDA graph, and several of these wide networks take turns, each on its own stream.
"""

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import zip_longest
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from path_length_grid import Cell, Trained
from path_length_tasks import Data, Task, data, fresh, masks_of, optimizer_of, size_of

__all__ = ["Together", "Training", "side_by_side", "train_stacks"]

WARM = 3
"""Steps before a CUDA graph is recorded: libraries choose their kernels and SGD makes its momentum in them."""


class SideBySide(nn.Module):
    """Linear layers of one shape, each on its own block of the inputs."""

    def __init__(self, layers: Sequence[nn.Linear]) -> None:
        super().__init__()
        self.n = len(layers)
        self.weight = nn.Parameter(_joined([layer.weight for layer in layers]))
        self.bias = None if layers[0].bias is None else nn.Parameter(_joined([layer.bias for layer in layers]))

    def forward(self, x: Tensor) -> Tensor:
        weights = self.weight.unflatten(0, (self.n, -1)).transpose(1, 2)
        y = torch.bmm(x.unflatten(1, (self.n, -1)).transpose(0, 1), weights).transpose(0, 1).flatten(1)
        return y if self.bias is None else y + self.bias


def side_by_side(models: Sequence[nn.Module]) -> nn.Module:
    """Return one network that computes all of `models`, of one shape, on inputs joined along their channels.

    Parameters keep their names and are those of the models joined along the first dimension.
    """
    first, n = models[0], len(models)
    if isinstance(first, nn.Linear):
        return SideBySide(models)
    if isinstance(first, nn.Conv2d):
        channels = n * first.in_channels, n * first.out_channels, first.kernel_size
        place = first.stride, first.padding, first.dilation, n * first.groups
        return _filled(nn.Conv2d(*channels, *place, bias=first.bias is not None), models)
    if isinstance(first, nn.BatchNorm1d | nn.BatchNorm2d):
        return _filled(type(first)(n * first.num_features, eps=first.eps, momentum=first.momentum), models)
    if next(first.parameters(recurse=False), None) is not None:
        raise TypeError(f"expected linear layers, 2-d convolutions and batch norm, got {type(first).__name__}")
    joined = copy.copy(first)
    joined._modules = {}
    for name, _ in first.named_children():
        joined.add_module(name, side_by_side([model.get_submodule(name) for model in models]))
    return joined


def _joined(tensors: Sequence[Tensor]) -> Tensor:
    return torch.cat([tensor.detach() for tensor in tensors])


def _filled(module: nn.Module, models: Sequence[nn.Module]) -> nn.Module:
    """Return `module` with the state of the models, each tensor joined; counts of batches are alike and stay."""
    states = [model.state_dict() for model in models]
    module = module.to(states[0]["weight"].dtype)
    module.load_state_dict(
        {name: _joined([own[name] for own in states]) if value.dim() else value for name, value in states[0].items()}
    )
    return module


class Training:
    """Networks side by side, trained as `pa.train` trains each one alone: the same batches and the same steps.

    Parameters
    ----------
    models : sequence of Module
        Of one shape; they stay as they are.
    masks : sequence of dict of str to Tensor of bool
        Of each model.
    seeds : sequence of int
        Of each model: chooses its batches.
    pair : Tensor, Tensor
        Inputs and classes.
    optimizer : callable
        Takes the network and returns an SGD and its schedule.
    half : bool
        Multiply in bfloat16; weights, their steps and the statistics of batch norm stay float32.
    recorded : bool
        On a GPU: record a step as a CUDA graph.
    """

    def __init__(
        self,
        models: Sequence[nn.Module],
        masks: Sequence[Mapping[str, Tensor]],
        seeds: Sequence[int],
        pair: tuple[Tensor, Tensor],
        optimizer: Callable[[nn.Module], tuple[torch.optim.SGD, torch.optim.lr_scheduler.LRScheduler]],
        *,
        batch_size: int,
        half: bool = False,
        recorded: bool = True,
    ) -> None:
        self.x, self.y = pair
        self.device, self.half, self.seeds, self.batch_size = self.x.device, half, list(seeds), batch_size
        self.model = side_by_side(models).to(self.device).train()
        if half:
            self.model = self.model.to(memory_format=torch.channels_last)
        self.optimizer, self.schedule = optimizer(self.model)
        parameters = dict(self.model.named_parameters())
        self.masked = [(parameters[k], torch.cat([own[k] for own in masks]).to(self.device)) for k in masks[0]]
        on_gpu = self.device.type == "cuda"
        self.recorded, self.graph = recorded and on_gpu, None
        self.chosen = torch.zeros(batch_size, len(self.seeds), dtype=torch.int64, device=self.device)
        self.stream = torch.cuda.Stream(self.device) if on_gpu else None
        if on_gpu:
            torch.cuda.synchronize(self.device)

    def steps(self, epochs: int) -> Iterator[None]:
        """Train one step each time; the schedule steps once an epoch."""
        done = 0
        for epoch in range(epochs):
            with torch.cuda.stream(self.stream):
                order = self._order(epoch)
            for chosen in order.split(self.batch_size):
                replay = self.recorded and done >= WARM and len(chosen) == self.batch_size
                with torch.cuda.stream(self.stream):
                    self._replay(chosen) if replay else self._step(chosen)
                done += 1
                yield
            with torch.cuda.stream(self.stream):
                self.schedule.step()

    def accuracies(self, x: Tensor, y: Tensor, *, batch_size: int = 500) -> list[float]:
        """Return of each network the fraction of inputs whose highest output is the class."""
        self.model.eval()
        with torch.cuda.stream(self.stream), torch.no_grad(), self._precision():
            right = torch.zeros(len(self.seeds), device=self.device)
            for inputs, classes in zip(x.split(batch_size), y.split(batch_size), strict=True):
                every = inputs[:, None].expand(-1, len(self.seeds), *inputs.shape[1:])
                found = self.model(every.flatten(1, 2)).unflatten(1, (len(self.seeds), -1)).argmax(2)
                right += (found == classes[:, None]).sum(0)
            shares = (right.double() / len(y)).tolist()
        self.model.train()
        return shares

    def _order(self, epoch: int) -> Tensor:
        """Return which input each network sees when, in the order of `pa.train`: shape (n_inputs, n_networks)."""
        orders = {}
        for seed in set(self.seeds):
            number = int(np.random.SeedSequence([seed, epoch]).generate_state(1)[0])
            orders[seed] = torch.randperm(len(self.x), generator=torch.Generator().manual_seed(number))
        return torch.stack([orders[seed] for seed in self.seeds], dim=1).to(self.device)

    def _step(self, chosen: Tensor) -> None:
        self.optimizer.zero_grad()
        with self._precision():
            outputs = self.model(self.x[chosen].flatten(1, 2))
        each = outputs.unflatten(1, (len(self.seeds), -1)).flatten(0, 1)
        (
            cross_entropy(each.to(self.masked[0][0].dtype), self.y[chosen].flatten(), reduction="sum") / len(chosen)
        ).backward()
        self.optimizer.step()
        with torch.no_grad():
            for weight, mask in self.masked:
                weight.mul_(mask)

    def _replay(self, chosen: Tensor) -> None:
        """Do one step with a single launch; it is recorded once, and recording runs nothing."""
        self.chosen.copy_(chosen)
        if self.graph is None:
            self.graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(self.graph, stream=self.stream):
                self._step(self.chosen)
        self.graph.replay()

    def _precision(self) -> AbstractContextManager[object]:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.half, cache_enabled=False)


@dataclass(frozen=True)
class Together:
    """How many runs are trained together: `streams` networks at a time, each of `stack` networks side by side."""

    stack: int
    streams: int = 1
    half: bool = False

    @property
    def runs(self) -> int:
        return self.stack * self.streams


def train_stacks(
    task: Task, folder: Path | None, epochs: int, device: str, together: Together, cells: Sequence[Cell]
) -> list[Trained]:
    """Return what `train_masked` returns for each graph and seed."""
    example = data(folder)[0][0][:1]
    masks = {graph: masks_of(task, example, graph) for _, graph, _ in cells}
    sizes = {graph: size_of(task, example, own) for graph, own in masks.items()}
    train, test = on_device(folder, device, torch.bfloat16 if together.half else torch.float32)
    torch.backends.cudnn.benchmark = True
    trainings = []
    for start in range(0, len(cells), together.stack):
        part = cells[start : start + together.stack]
        own, seeds = [masks[graph] for _, graph, _ in part], [seed for *_, seed in part]
        models = [fresh(task, mask, seed) for mask, seed in zip(own, seeds, strict=True)]
        optimizer = partial(optimizer_of, task, epochs=epochs)
        trainings.append(Training(models, own, seeds, train, optimizer, batch_size=task.batch_size, half=together.half))
    for _ in zip_longest(*(training.steps(epochs) for training in trainings)):
        pass
    if not all(torch.isfinite(p).all() for training in trainings for p in training.model.parameters()):
        raise FloatingPointError("some weights are not finite after training; try a lower learning rate")
    accuracies = [accuracy for training in trainings for accuracy in training.accuracies(*test)]
    return [Trained(accuracy, *sizes[graph]) for accuracy, (_, graph, _) in zip(accuracies, cells, strict=True)]


@lru_cache(maxsize=1)
def on_device(folder: Path | None, device: str, dtype: torch.dtype) -> Data:
    """Return `data` on a device, in the type that layers multiply."""
    train, test = ((x.to(device, dtype), y.to(device)) for x, y in data(folder))
    return train, test
