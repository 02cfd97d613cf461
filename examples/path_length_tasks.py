"""What is trained for path length against accuracy: digits with a small MLP, CIFAR-10 with an MLP, ResNets or VGG."""

import io
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from functools import lru_cache, partial
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

import netgraph as ng
import prune_adapters as pa
from models import resnet8, resnet20, vgg_small
from path_length_grid import Trained
from path_length_plane import matched_width

__all__ = [
    "INPUTS",
    "TASKS",
    "Data",
    "Task",
    "data",
    "fresh",
    "masks_of",
    "optimizer_of",
    "size_of",
    "train_masked",
    "train_matched",
]

Data = tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]
HIDDEN, CLASSES = 4, 10
MEAN, SPREAD = (0.4913, 0.4821, 0.4465), (0.2452, 0.2428, 0.2606)


@dataclass(frozen=True)
class Task:
    """Data, a network and how it is trained; `n_nodes` and `degree` of the graphs if nothing else is asked for."""

    title: str
    network: str
    n_nodes: int
    degree: int
    epochs: int
    batch_size: int
    rate: float
    width: int | None = None

    @property
    def setting(self) -> dict[str, object]:
        """What a result depends on; a width of None is the usual one."""
        return {name: value for name, value in asdict(self).items() if value is not None}

    def built(self) -> nn.Module:
        """Return the network, with fresh weights."""
        return NETWORKS[self.network](**({} if self.width is None else {"width": self.width}))


TASKS = {
    "digits": Task("digits, MLP of five layers, 64 wide", "digits", 64, 4, 25, 32, 0.1),
    "mlp": Task("CIFAR-10 (JPEG q75), MLP of five layers, 512 wide", "mlp", 64, 4, 40, 128, 0.1),
    "resnet8": Task("CIFAR-10 (JPEG q75), ResNet-8", "resnet8", 16, 4, 40, 128, 0.1),
    "resnet20": Task("CIFAR-10 (JPEG q75), ResNet-20", "resnet20", 16, 4, 40, 128, 0.1),
    "vgg": Task("CIFAR-10 (JPEG q75), VGG of six convolutions", "vgg", 64, 4, 40, 128, 0.05),
}


def mlp(inputs: int, width: int) -> nn.Sequential:
    """Return five linear layers, each but the last with batch norm and ReLU."""
    widths = inputs, *[width] * HIDDEN, CLASSES
    hidden = [
        layer for a, b in pairwise(widths[:-1]) for layer in (nn.Linear(a, b, bias=False), nn.BatchNorm1d(b), nn.ReLU())
    ]
    return nn.Sequential(nn.Flatten(), *hidden, nn.Linear(*widths[-2:]))


INPUTS = {"digits": (64, 64), "mlp": (3072, 512)}
"""Inputs and width of the networks that can be made wider."""
NETWORKS = {
    "digits": partial(mlp, 64, width=64),
    "mlp": partial(mlp, 3072, width=512),
    "resnet8": resnet8,
    "resnet20": resnet20,
    "vgg": vgg_small,
}


@lru_cache(maxsize=1)
def data(folder: Path | None) -> Data:
    """Return pictures and classes to train on and to test with: digits, or CIFAR-10 from a folder."""
    return _digits() if folder is None else (_cifar10(folder, "train"), _cifar10(folder, "test"))


def _digits() -> Data:
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    digits = load_digits()
    train, test = train_test_split(range(len(digits.target)), test_size=0.5, stratify=digits.target, random_state=0)
    pictures, classes = torch.tensor(digits.images, dtype=torch.float32) / 16, torch.tensor(digits.target)
    return (pictures[train], classes[train]), (pictures[test], classes[test])


def _cifar10(folder: Path, part: str) -> tuple[Tensor, Tensor]:
    from PIL import Image

    with np.load(folder / f"cifar10_jpeg_{part}.npz", allow_pickle=False) as file:
        jpeg, offset, classes = (file[name] for name in ("jpeg", "offset", "y"))

    def opened(place: tuple[int, int]) -> np.ndarray:
        return np.asarray(Image.open(io.BytesIO(jpeg[slice(*place)].tobytes())))

    with ThreadPoolExecutor() as threads:  # Pillow decodes without holding Python
        pictures = np.stack(list(threads.map(opened, pairwise(offset))))
    scaled = (pictures.astype(np.float32) / 255 - np.float32(MEAN)) / np.float32(SPREAD)
    return torch.from_numpy(scaled.transpose(0, 3, 1, 2).copy()), torch.from_numpy(classes.astype(np.int64))


def masks_of(task: Task, example: Tensor, graph: ng.NodeGraph, *, self_loops: bool = False) -> dict[str, Tensor]:
    """Return the masks that a graph makes for the network of a task."""
    return pa.regular_masks(task.built(), example, graph, self_loops=self_loops)


def fresh(task: Task, masks: Mapping[str, Tensor], seed: int) -> nn.Module:
    """Return the network with the fresh weights of a seed, scaled to the inputs that are left, under masks."""
    torch.manual_seed(seed)
    model = task.built()
    pa.apply_masks(pa.correct_fan_in(model, masks), masks)
    return model


def size_of(task: Task, example: Tensor, masks: Mapping[str, Tensor]) -> tuple[int, float, float]:
    """Return the weights that masks keep, the density of the network and its effective density."""
    traced = pa.to_graph(task.built(), example, masks=masks)
    return sum(int(mask.sum()) for mask in masks.values()), ng.density(traced), ng.effective_density(traced)


def optimizer_of(
    task: Task, model: nn.Module, epochs: int
) -> tuple[torch.optim.SGD, torch.optim.lr_scheduler.LRScheduler]:
    """Return SGD with momentum and its cosine; on a GPU one kernel steps, and reads the rate from there."""
    device = next(model.parameters()).device
    on_gpu = device.type == "cuda"
    rate = torch.tensor(task.rate, device=device) if on_gpu else task.rate
    optimizer = torch.optim.SGD(model.parameters(), lr=rate, momentum=0.9, weight_decay=5e-4, fused=on_gpu or None)
    return optimizer, torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)


def train_masked(
    task: Task,
    folder: Path | None,
    epochs: int,
    device: str,
    graph: ng.NodeGraph,
    seed: int,
    *,
    self_loops: bool = False,
) -> Trained:
    """Return the test accuracy of a network that was trained from fresh weights under the masks of a graph.

    SGD with momentum and a cosine, without augmentation; the accuracy is that of the last epoch.
    """
    torch.set_num_threads(1)  # runs are side by side
    train, test = data(folder)
    masks = masks_of(task, train[0][:1], graph, self_loops=self_loops)
    model = fresh(task, masks, seed).to(device)
    optimizer, schedule = optimizer_of(task, model, epochs)
    options = {"batch_size": task.batch_size, "seed": seed, "progress": False}
    pa.train(model, train, epochs=epochs, optimizer=optimizer, scheduler=schedule, **options)
    return Trained(pa.accuracy(model, *test), *size_of(task, train[0][:1], masks))


def train_matched(task: Task, folder: Path | None, epochs: int, device: str, graph: ng.NodeGraph, seed: int) -> Trained:
    """Return what `train_masked` returns for an MLP with self-loops, as wide as keeps the weights of a dense one."""
    inputs, dense = INPUTS[task.network]
    own = replace(task, width=matched_width(graph, inputs, HIDDEN, CLASSES, dense))
    return train_masked(own, folder, epochs, device, graph, seed, self_loops=True)
