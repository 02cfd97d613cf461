"""What is pruned for TCMP: two networks on skeleton sequences or digits, the methods, and one run of each."""

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

import netgraph as ng
import prune_adapters as pa
from path_length_grid import Trained
from skeleton import SkeletonGCN

__all__ = ["METHODS", "NETWORKS", "Run", "data", "train"]

Data = tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]
Start = Callable[["Run", nn.Module, ng.NetGraph, torch.optim.Optimizer], pa.Method]
RATES = {"mlp": 2e-3, "gcn": 8e-3}
DECAY, NOISE, SMOOTHING = 1e-3, 0.1, 0.05
EFFECTIVE = {"target": "effective", "consistent": True}
FAINTEST, SHRINK = 1e4, -60.0
"""Of selective weight decay: a_min, and log10 that weights shrink to; gradients, scaled up by AdamW, resist it."""
PRUNED_AT = 2 / 3
"""Fraction of the steps after which one shot prunes; the rest is fine-tuning."""


@dataclass(frozen=True)
class Run:
    """One training: a network and a method at a sparsity, on one fold, with one seed."""

    network: str
    method: str
    sparsity: float
    fold: int
    seed: int
    epochs: int


NETWORKS: dict[str, Callable[[int], nn.Module]] = {
    "mlp": lambda inputs: nn.Sequential(
        nn.Linear(inputs, 64), nn.ReLU(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 8 if inputs == 720 else 10)
    ),
    "gcn": lambda inputs: SkeletonGCN() if inputs == 720 else SkeletonGCN(8, 8, heads=2, filters=8, classes=10),
}


@lru_cache(maxsize=8)
def data(folder: Path | None, fold: int) -> Data:
    """Return sequences and classes to train on and to test with, standardised; digits if there is no folder.

    A sequence is the mean place of each joint in 8 chunks of time. The folds are those of the data set: none has a
    pair of subjects of another.
    """
    x, y, folds = _digits() if folder is None else _sbu(folder)
    train = folds != fold
    scaled = (x - x[train].mean(0)) / (x[train].std(0) + 1e-6)
    return (scaled[train], y[train]), (scaled[~train], y[~train])


@lru_cache
def _graph(network: str, inputs: int) -> ng.NetGraph:
    with torch.random.fork_rng():
        return pa.to_graph(NETWORKS[network](inputs), torch.ones(1, inputs), masks={})


def _sbu(folder: Path) -> tuple[Tensor, Tensor, Tensor]:
    with np.load(folder / "sbu_chunks.npz", allow_pickle=False) as file:
        x, y, fold = (torch.from_numpy(file[name]) for name in ("m8", "y", "fold"))
    return x.flatten(1).float(), y.long(), fold.long()


def _digits() -> tuple[Tensor, Tensor, Tensor]:
    from sklearn.datasets import load_digits

    digits = load_digits()
    x, y = torch.tensor(digits.data, dtype=torch.float32), torch.tensor(digits.target)
    return x, y, torch.arange(len(y)) % 5 + 1


def _one_shot(run: Run, model: nn.Module, graph: ng.NetGraph, optimizer: torch.optim.Optimizer) -> pa.Method:
    return pa.OneShotPruning(model, **_common(run, graph, optimizer), at=PRUNED_AT)


def _one_shot_effective(run: Run, model: nn.Module, graph: ng.NetGraph, optimizer: torch.optim.Optimizer) -> pa.Method:
    return pa.OneShotPruning(model, **_common(run, graph, optimizer), at=PRUNED_AT, **EFFECTIVE)


def _gradual(
    run: Run, model: nn.Module, graph: ng.NetGraph, optimizer: torch.optim.Optimizer, scope: str = "global"
) -> pa.Method:
    return pa.GradualPruning(model, **_common(run, graph, optimizer), **EFFECTIVE, scope=scope)


def _random(run: Run, model: nn.Module, graph: ng.NetGraph, optimizer: torch.optim.Optimizer) -> pa.Method:
    def scores(model: nn.Module) -> dict[str, Tensor]:
        return pa.random_scores(model, seed=run.seed, graph=graph)

    return pa.OneShotPruning(model, **_common(run, graph, optimizer), at=0, scores=scores, scope="erk", **EFFECTIVE)


def _synflow(run: Run, model: nn.Module, graph: ng.NetGraph, optimizer: torch.optim.Optimizer) -> pa.Method:
    def scores(model: nn.Module) -> dict[str, Tensor]:
        return pa.synflow_scores(model, torch.ones(1, graph.layers[next(iter(graph.layers))]), graph=graph)

    return pa.OneShotPruning(model, **_common(run, graph, optimizer), at=0, rounds=100, scores=scores, **EFFECTIVE)


def _decayed(run: Run, model: nn.Module, graph: ng.NetGraph, optimizer: torch.optim.Optimizer) -> pa.Method:
    rates = [_rate(run, epoch) for epoch in range(run.epochs)]
    shrink = max(SHRINK, -0.2 * run.epochs)
    a_max = pa.suggest_a_max(rates, weight_decay=DECAY, steps=run.epochs, shrink=shrink, a_min=FAINTEST)
    strengths = {"a_min": FAINTEST, "a_max": a_max, "refresh": 20}
    return pa.SelectiveWeightDecay(model, **_common(run, graph, optimizer), **EFFECTIVE, **strengths)


def _regrowth(run: Run, model: nn.Module, graph: ng.NetGraph, optimizer: torch.optim.Optimizer) -> pa.Method:
    return pa.DynamicSparseTraining(model, **_common(run, graph, optimizer), every=10, consistent=True)


def _tcmp(
    run: Run, model: nn.Module, graph: ng.NetGraph, optimizer: torch.optim.Optimizer, scope: str = "global"
) -> pa.Method:
    return pa.TCMP(model, **_common(run, graph, optimizer), scope=scope)


def _tcmp_of_constants(run: Run, model: nn.Module, graph: ng.NetGraph, optimizer: torch.optim.Optimizer) -> pa.Method:
    return pa.TCMP(model, **_common(run, graph, optimizer), pull=0.0)


METHODS: dict[str, Start | None] = {
    "dense": None,
    "one-shot": _one_shot,
    "one-shot, trimmed": _one_shot,
    "one-shot, effective": _one_shot_effective,
    "random, effective": _random,
    "SynFlow, effective": _synflow,
    "gradual, effective": _gradual,
    "gradual, effective, ERK": partial(_gradual, scope="erk"),
    "SWD, effective": _decayed,
    "consistent regrowth": _regrowth,
    "TCMP": _tcmp,
    "TCMP, ERK": partial(_tcmp, scope="erk"),
    "TCMP, flags constant": _tcmp_of_constants,
}


def _common(run: Run, graph: ng.NetGraph, optimizer: torch.optim.Optimizer) -> dict:
    return {"sparsity": run.sparsity, "steps": run.epochs, "graph": graph, "optimizer": optimizer, "seed": run.seed}


def train(run: Run, folder: Path | None, start: Start | None = None) -> Trained:
    """Return what one run reaches: accuracy on the fold, weights kept, direct and effective density."""
    (x, y), (x_test, y_test) = data(folder, run.fold)
    torch.manual_seed(1000 * run.fold + run.seed)
    warnings.filterwarnings("ignore", message="(direct|effective) target missed")  # both sizes are shown
    model = NETWORKS[run.network](x.shape[1])
    graph = _graph(run.network, x.shape[1])
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATES[run.network], weight_decay=DECAY)
    start = start or METHODS[run.method]
    method = start(run, model, graph, optimizer) if start else None
    criterion = nn.CrossEntropyLoss(label_smoothing=SMOOTHING)
    for epoch in range(run.epochs):
        for group in optimizer.param_groups:
            group["lr"] = _rate(run, epoch)
        optimizer.zero_grad()
        loss = criterion(model(x + NOISE * torch.randn_like(x)), y)
        (loss if method is None else loss + method.penalty()).backward()
        if method is None:
            optimizer.step()
            continue
        method.after_backward()
        optimizer.step()
        method.after_step()
        if run.method.endswith("trimmed") and epoch + 1 == round(PRUNED_AT * run.epochs):
            pa.apply_masks(model, pa.to_masks(ng.trim(graph.with_masks(_arrays(pa.remembered_masks(model))))))
    if method is not None:
        method.finish()
    return _measured(model, graph, x_test, y_test)


def _rate(run: Run, epoch: int) -> float:
    return RATES[run.network] * 0.5 * (1 + math.cos(math.pi * epoch / run.epochs))


def _measured(model: nn.Module, graph: ng.NetGraph, x: Tensor, y: Tensor) -> Trained:
    masks = pa.remembered_masks(model)
    own = graph.with_masks(_arrays(masks))
    with torch.no_grad():
        accuracy = float((model(x).argmax(1) == y).float().mean())
    total = sum(graph.parameters[name].size for name in graph.edge_parameters)
    kept, consistent = (sum(int(m.sum()) for m in each.masks().values()) for each in (own, ng.trim(own)))
    return Trained(100 * accuracy, kept, kept / total, consistent / total)


def _arrays(masks: dict[str, Tensor]) -> dict[str, np.ndarray]:
    return {name: mask.numpy() for name, mask in masks.items()}
