"""What is trained for selective weight decay against magnitudes: digits, Fashion-MNIST or CIFAR-10, by each method."""

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

import netgraph as ng
import prune_adapters as pa
from models import resnet8, resnet20, small_resnet
from path_length_grid import Trained
from path_length_tasks import Data, data, mlp

__all__ = ["METHODS", "NETWORKS", "Setting", "pictures", "run"]

RATE, MOMENTUM, DECAY, BATCH = 0.1, 0.9, 5e-4, 128
REFRESHES = {"SWD": 10, "SWD, norms": 10, "SWD, consistent": 50, "SWD, norms, consistent": 50}
FASHION_MEAN, FASHION_SPREAD = 0.286, 0.353
NETWORKS: dict[str, Callable[..., nn.Module]] = {
    "digits": partial(mlp, 64, width=64),
    "mlp5": partial(mlp, 784, width=512),
    "resnet8": resnet8,
    "resnet8-half": partial(small_resnet, 1, classes=10, stride=2),
    "resnet20": resnet20,
}
"""digits: scikit-learn's, built in; mlp5: Fashion-MNIST; the others: CIFAR-10, "half" behind a stem that halves it."""


@dataclass(frozen=True)
class Setting:
    """What a result depends on beside method, density and seed.

    Parameters
    ----------
    network : str
    width : int
        0 is the usual one.
    epochs : int
    subset : int
        Training pictures; 0 is all of them.
    shrink : float
        log10 that weights under SWD shrink to in 1,000 steps; -15 is near the most that is stable at momentum 0.9.
    device : str
        On CUDA in bfloat16, the layers that multiply.
    """

    network: str
    width: int
    epochs: int
    subset: int
    shrink: float
    device: str = "cpu"

    @property
    def key(self) -> dict[str, object]:
        """The setting as the store holds it."""
        own = {name: value for name, value in asdict(self).items() if (name, value) != ("device", "cpu")}
        return {"experiment": "swd", "rate": RATE, "momentum": MOMENTUM, "decay": DECAY, "batch": BATCH} | own

    def built(self) -> nn.Module:
        """Return the network, with fresh weights, the same on every device."""
        model = NETWORKS[self.network](**({"width": self.width} if self.width else {}))
        return model.to(self.device, memory_format=self.layout)

    @property
    def layout(self) -> torch.memory_format:
        """How pictures and filters lie in memory."""
        return torch.channels_last if torch.device(self.device).type == "cuda" else torch.preserve_format


Make = Callable[..., pa.Method]
METHODS: dict[str, Make] = {
    "SWD": pa.SelectiveWeightDecay,
    "SWD, norms": partial(pa.SelectiveWeightDecay, norms=True),
    "SWD, consistent": partial(pa.SelectiveWeightDecay, consistent=True),
    "SWD, norms, consistent": partial(pa.SelectiveWeightDecay, norms=True, consistent=True),
    "one-shot magnitude": partial(pa.OneShotPruning, at=0.5),
    "iterative magnitude": partial(pa.IterativePruning, rounds=5),
    "gradual magnitude": pa.GradualPruning,
    "gradual, consistent": partial(pa.GradualPruning, consistent=True),
    "iterative, consistent": partial(pa.IterativePruning, rounds=5, consistent=True),
}
"""Half of the epochs are fine-tuning after one shot, a sixth after the last of five rounds, 30 % after the gradual."""


@lru_cache(maxsize=1)
def pictures(setting: Setting, folder: Path | None) -> Data:
    """Return pictures and classes to train on, as many as the setting says, and to test with."""
    if setting.network == "mlp5" and folder is not None:
        train, test = _fashion(folder)
    else:
        train, test = data(None if setting.network == "digits" else folder)

    def there(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        flat = torch.preserve_format if x.dim() < 4 else setting.layout
        return x.to(setting.device, memory_format=flat), y.to(setting.device)

    return there(*(part[: setting.subset or None] for part in train)), there(*test)


def _fashion(folder: Path) -> Data:
    with np.load(folder / "fashion_mnist_small_5000_1000.npz", allow_pickle=False) as file:
        arrays = {name: file[name] for name in ("x_train", "y_train", "x_test", "y_test")}

    def pair(part: str) -> tuple[Tensor, Tensor]:
        scaled = (arrays[f"x_{part}"].astype(np.float32) / 255 - FASHION_MEAN) / FASHION_SPREAD
        return torch.from_numpy(scaled), torch.from_numpy(arrays[f"y_{part}"].astype(np.int64))

    shuffled = np.random.default_rng(0).permutation(len(arrays["y_train"]))  # a subset has all classes
    x, y = pair("train")
    return (x[shuffled], y[shuffled]), pair("test")


def run(setting: Setting, folder: Path | None, method: str, density: float, seed: int) -> tuple[Trained, Trained]:
    """Return what was reached before and after the last removal, after training with all four calls of the method."""
    train, test = pictures(setting, folder)
    torch.manual_seed(seed)
    model, example = setting.built(), train[0][:1]
    steps = setting.epochs * len(train[0]) // BATCH
    optimizer = torch.optim.SGD(model.parameters(), lr=RATE, momentum=MOMENTUM, weight_decay=DECAY)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    own = made(setting, method, model, optimizer, steps, density, example)
    for x, y in _batches(train, steps):
        optimizer.zero_grad()
        with torch.autocast("cuda", torch.bfloat16, enabled=x.is_cuda):
            loss = nn.functional.cross_entropy(model(x), y) + own.penalty()
        loss.backward()
        own.after_backward()
        optimizer.step()
        own.after_step()
        schedule.step()
    before = measured(model, test, example, pa.remembered_masks(model))
    return before, measured(model, test, example, own.finish())


def made(
    setting: Setting,
    name: str,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    steps: int,
    density: float,
    example: Tensor,
) -> pa.Method:
    """Return the method; the strength at the end of SWD is the one that shrinks weights as far as the setting says."""
    more: dict[str, object] = {"graph": pa.to_graph(model, example)}
    if name in REFRESHES:
        rates = [RATE * (1 + np.cos(np.pi * step / steps)) / 2 for step in range(steps)]
        known = {"weight_decay": DECAY, "steps": steps, "momentum": MOMENTUM}
        more |= {
            "a_max": pa.suggest_a_max(rates, shrink=setting.shrink * steps / 1000, **known),
            "refresh": REFRESHES[name],
        }
    return METHODS[name](model, sparsity=1 - density, steps=steps, optimizer=optimizer, **more)


def measured(model: nn.Module, test: tuple[Tensor, Tensor], example: Tensor, masks: dict[str, Tensor]) -> Trained:
    """Return the accuracy, the kept weights, and the share of edges that masks keep and that are on a path."""
    graph = pa.to_graph(model, example, masks=masks)
    kept = sum(int(mask.sum()) for mask in masks.values())
    return Trained(pa.accuracy(model, *test), kept, ng.density(graph), ng.effective_density(graph))


def _batches(train: tuple[Tensor, Tensor], steps: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield whole batches, shuffled anew in each epoch."""
    x, y = train
    taken = 0
    while taken < steps:
        order = torch.randperm(len(x)).to(x.device)
        for chosen in order.split(BATCH)[: max(1, len(x) // BATCH)]:
            if taken < steps:
                yield x[chosen], y[chosen]
            taken += 1
