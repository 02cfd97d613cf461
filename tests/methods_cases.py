"""Methods of every kind on one small task, and a loop that uses them as any training code would."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache, partial

import torch
from torch import nn
from torch.optim import Optimizer

import netgraph as ng
import prune_adapters as pa

STEPS = 24
TOTAL = 6 * 16 + 16 * 12 + 12 * 4
"""Weights of `network`."""
X = torch.randn(48, 6, generator=torch.Generator().manual_seed(1))
Y = (X[:, 0] > 0).long() + 2 * (X[:, 1] * X[:, 2] > 0).long()

METHODS: dict[str, Callable[..., pa.Method]] = {
    "one_shot": pa.OneShotPruning,
    "at_start": partial(pa.OneShotPruning, at=0.0),
    "random": partial(pa.OneShotPruning, at=0.0, scores=partial(pa.random_scores, seed=3)),
    "snip": partial(pa.OneShotPruning, at=0.0, scores=lambda model: pa.snip_scores(model, data_for(model))),
    "grasp": partial(pa.OneShotPruning, at=0.0, scores=lambda model: pa.grasp_scores(model, data_for(model))),
    "synflow": partial(pa.OneShotPruning, at=0.0, rounds=4, scores=lambda model: flow_scores(model)),
    "gradual": partial(pa.GradualPruning, every=2),
    "iterative": partial(pa.IterativePruning, rounds=3),
    "learning_rate_rewinding": partial(pa.IterativePruning, rounds=3, rewind="learning_rate"),
    "lottery_ticket": partial(pa.IterativePruning, rounds=3, rewind="weights", rewind_at=0.4),
    "rigl": partial(pa.DynamicSparseTraining, every=3),
    "swd": partial(pa.SelectiveWeightDecay, a_max=1e4),
    "swd_guarded": partial(pa.SelectiveWeightDecay, a_max=1e4, guard=True),
    "swd_decoupled": partial(pa.SelectiveWeightDecay, a_max=1e4, term="decoupled", refresh=4),
    "tcmp": partial(pa.TCMP, every=2),
    "set": partial(pa.DynamicSparseTraining, every=3, grow="random"),
}
GROWING = {"rigl", "set"}
"""Methods that bring weights back."""


def data_for(model: nn.Module) -> tuple[torch.Tensor, torch.Tensor]:
    weight = next(model.parameters())
    return X.to(weight), Y.to(weight.device)


def flow_scores(model: nn.Module) -> dict[str, torch.Tensor]:
    x, _ = data_for(model)
    return pa.synflow_scores(model, x[:1], graph=graph_of(x.dtype))


def network(dtype: torch.dtype = torch.float32, *, seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 12), nn.ReLU(), nn.Linear(12, 4)).to(dtype)


@cache
def graph_of(dtype: torch.dtype) -> ng.NetGraph:
    return pa.to_graph(network(dtype), X[:1].to(dtype))


def sgd(model: nn.Module) -> Optimizer:
    return torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, weight_decay=1e-3)


def adamw(model: nn.Module) -> Optimizer:
    return torch.optim.AdamW(model.parameters(), lr=0.01)


def two_groups(model: nn.Module) -> Optimizer:
    weights = [p for p in model.parameters() if p.dim() > 1]
    biases = [p for p in model.parameters() if p.dim() == 1]
    return torch.optim.SGD([{"params": weights, "weight_decay": 1e-3}, {"params": biases, "lr": 0.2}], lr=0.05)


@dataclass
class Run:
    """A model, its optimizer and a method, and what is done with them in each step."""

    name: str
    sparsity: float = 0.8
    dtype: torch.dtype = torch.float32
    make_optimizer: Callable[[nn.Module], Optimizer] = sgd
    model: nn.Module | None = None
    settings: dict = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.model = network(self.dtype) if self.model is None else self.model
        self.optimizer = self.make_optimizer(self.model)
        self.make_method()

    def make_method(self) -> None:
        budget = {"sparsity": self.sparsity, "steps": STEPS, "graph": graph_of(self.dtype)}
        self.method = METHODS[self.name](self.model, optimizer=self.optimizer, **budget, **self.settings)

    def loss(self, chosen: torch.Tensor) -> torch.Tensor:
        x, y = data_for(self.model)
        return nn.functional.cross_entropy(self.model(x[chosen]), y[chosen])

    def take(self, steps: int, *, every_step: Callable[[], None] = lambda: None) -> "Run":
        for _ in range(steps):
            self.optimizer.zero_grad()
            (self.loss(batch(self.method.step)) + self.method.penalty()).backward()
            self.method.after_backward()
            self.optimizer.step()
            self.method.after_step()
            every_step()
        return self


def batch(step: int) -> torch.Tensor:
    return torch.randperm(len(X), generator=torch.Generator().manual_seed(step))[:16]


def kept(masks: dict[str, torch.Tensor]) -> int:
    return sum(int(mask.sum()) for mask in masks.values())


def nonzero(run: Run) -> int:
    return sum(int((weight != 0).sum()) for name, weight in run.model.named_parameters() if weight.dim() > 1)


def assert_same_bits(one: nn.Module, other: nn.Module) -> None:
    torch.testing.assert_close(one.state_dict(), other.state_dict(), rtol=0, atol=0)
