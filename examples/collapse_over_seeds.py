"""How often does a method cut the input off from the output? Each one over many seeds, as it is and consistent.

A five-layer network learns scikit-learn's digits while nearly all of its weights are removed. Without `consistent=True`
the last path goes often (layer collapse), and the accuracy with it; with it, never.

    python examples/collapse_over_seeds.py --seeds 100
"""

import argparse
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

import numpy as np
import torch
from rich.console import Console
from rich.progress import track
from rich.table import Table
from sklearn.datasets import load_digits
from torch import nn

import prune_adapters as pa

WIDTHS = (64, 100, 60, 40, 10)
BATCH = 64
RATE = 3e-3


def random_scores(model: nn.Module) -> dict[str, torch.Tensor]:
    return pa.random_scores(model, seed=torch.initial_seed())


def selective_decay(model: nn.Module, *, steps: int, **settings) -> pa.Method:
    decay = {"weight_decay": 5e-4, "steps": steps}
    a_max = pa.suggest_a_max([RATE], shrink=-6.0, decoupled=True, **decay)
    return pa.SelectiveWeightDecay(model, a_max=a_max, refresh=10, **decay, **settings)


Make = Callable[..., pa.Method]
METHODS: dict[str, Make] = {
    "random, ERK": partial(pa.OneShotPruning, at=0, scope="erk", scores=random_scores),
    "SNIP": partial(pa.OneShotPruning, at=0, scores=lambda model: pa.snip_scores(model, digits())),
    "GraSP": partial(pa.OneShotPruning, at=0, scores=lambda model: pa.grasp_scores(model, digits())),
    "SynFlow": partial(
        pa.OneShotPruning, at=0, rounds=20, scores=lambda model: pa.synflow_scores(model, digits()[0][:1])
    ),
    "magnitude, one shot": partial(pa.OneShotPruning, at=0.5),
    "magnitude, gradual": partial(pa.GradualPruning, every=5),
    "magnitude, iterative": partial(pa.IterativePruning, rounds=4),
    "lottery ticket": partial(pa.IterativePruning, rounds=4, rewind="weights"),
    "SWD": selective_decay,
    "TCMP": partial(pa.TCMP, every=5),
    "RigL": partial(pa.DynamicSparseTraining, every=10),
    "SET": partial(pa.DynamicSparseTraining, every=10, grow="random"),
}


@dataclass(frozen=True)
class Outcome:
    """What is left after one run."""

    effective: int
    accuracy: float


def digits() -> tuple[torch.Tensor, torch.Tensor]:
    x, y = load_digits(return_X_y=True)
    return torch.from_numpy(x).float() / 16 - 0.3, torch.from_numpy(y)


def network(seed: int) -> nn.Sequential:
    torch.manual_seed(seed)
    layers = [(nn.Linear(a, b), nn.ReLU()) for a, b in pairwise(WIDTHS)]
    return nn.Sequential(*[module for pair in layers for module in pair][:-1])


def run(make: Make, seed: int, *, steps: int, sparsity: float, consistent: bool) -> Outcome:
    """Train and prune one network, and look at what is left."""
    x, y = digits()
    model = network(seed)
    graph = pa.to_graph(model, x[:1])
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE)
    method = make(
        model, sparsity=sparsity, steps=steps, optimizer=optimizer, graph=graph, consistent=consistent, seed=seed
    )
    for chosen in torch.randint(len(x), (steps, BATCH), generator=torch.Generator().manual_seed(seed)):
        optimizer.zero_grad()
        (nn.functional.cross_entropy(model(x[chosen]), y[chosen]) + method.penalty()).backward()
        method.after_backward()
        optimizer.step()
        method.after_step()
    masks = method.finish()
    assert masks.effective is not None
    return Outcome(masks.effective, pa.accuracy(model, x, y))


def summary(outcomes: list[Outcome]) -> tuple[str, str, str]:
    right = 100 * np.array([outcome.accuracy for outcome in outcomes])
    cut = sum(outcome.effective == 0 for outcome in outcomes)
    edges = np.mean([outcome.effective for outcome in outcomes])
    return f"{cut} of {len(outcomes)}", f"{edges:.1f}", f"{right.mean():.1f} +- {right.std():.1f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=100)
    parser.add_argument("--steps", type=int, default=150, help="steps of training a network")
    parser.add_argument("--sparsity", type=float, default=0.99)
    parser.add_argument("--quick", action="store_true", help="one seed, few steps: shows that it runs")
    options = parser.parse_args()
    seeds, steps = (range(1), 20) if options.quick else (range(options.seeds), options.steps)
    total = sum(a * b for a, b in pairwise(WIDTHS))
    kept = total - round(options.sparsity * total)
    table = Table(title=f"{kept} of {total} weights kept, {len(seeds)} seeds")
    for column in ("method", "masks", "input cut off", "edges on paths", "accuracy %"):
        table.add_column(column)
    for name, make in track(METHODS.items(), console=Console(stderr=True)):
        for consistent in (False, True):
            outcomes = [
                run(make, seed, steps=steps, sparsity=options.sparsity, consistent=consistent) for seed in seeds
            ]
            table.add_row(name, "consistent" if consistent else "as they come", *summary(outcomes))
    Console().print(table)


if __name__ == "__main__":
    warnings.filterwarnings("ignore", message="Selective.*what is removed")  # so few steps are too few for it
    torch.set_num_threads(1)
    main()
