"""Networks trained side by side end where each does alone."""

from collections.abc import Callable
from functools import partial
from importlib import import_module
from pathlib import Path

import pytest
import torch
from torch import nn

import netgraph as ng
import prune_adapters as pa

FOLDER = Path(__file__).parents[1] / "examples"


@pytest.fixture
def stacked(monkeypatch):
    monkeypatch.syspath_prepend(FOLDER)
    return import_module("path_length_stacked")


@pytest.fixture
def tasks(monkeypatch):
    monkeypatch.syspath_prepend(FOLDER)
    return import_module("path_length_tasks")


def small_mlp() -> nn.Sequential:
    hidden = [nn.Linear(64, 16, bias=False), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 16), nn.ReLU()]
    return nn.Sequential(nn.Flatten(), *hidden, nn.Linear(16, 10))


def small_resnet() -> nn.Sequential:
    return import_module("models").resnet8(width=8)


def small_vgg() -> nn.Sequential:
    return import_module("models").vgg_small(width=8)


def sgd(model: nn.Module) -> tuple[torch.optim.SGD, torch.optim.lr_scheduler.CosineAnnealingLR]:
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4)
    return optimizer, torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 2)


@pytest.mark.parametrize(
    ("make", "shape"),
    [(small_mlp, (8, 8)), (small_resnet, (3, 8, 8)), (small_vgg, (3, 8, 8))],
    ids=["mlp", "resnet", "vgg"],
)
def test_networks_side_by_side_are_trained_as_each_alone(stacked, make: Callable[[], nn.Module], shape):
    graphs = [ng.generators.circulant(8, degree=4), ng.generators.random_regular(8, 4, seed=1)]
    seeds, generator = [0, 1, 1], torch.Generator().manual_seed(0)
    x = torch.randn(25, *shape, dtype=torch.float64, generator=generator)
    y = torch.randint(10, (25,), generator=generator)
    models, masks = [], []
    for seed, graph in zip(seeds, [graphs[0], graphs[0], graphs[1]], strict=True):
        torch.manual_seed(seed)
        models.append(make().double())
        masks.append(pa.regular_masks(models[-1].float(), x[:1].float(), graph))
        pa.apply_masks(models[-1].double(), masks[-1])
    training = stacked.Training(models, masks, seeds, (x, y), sgd, batch_size=10)
    list(training.steps(2))
    accuracies = training.accuracies(x, y)
    for model, seed in zip(models, seeds, strict=True):
        optimizer, schedule = sgd(model)
        pa.train(
            model, (x, y), epochs=2, optimizer=optimizer, scheduler=schedule, batch_size=10, seed=seed, progress=False
        )

    for name, value in training.model.state_dict().items():
        alone = [model.state_dict()[name] for model in models]
        torch.testing.assert_close(value, torch.cat(alone) if value.dim() else alone[0], rtol=1e-7, atol=1e-9)
    assert accuracies == [pa.accuracy(model, x, y) for model in models]


def test_a_grid_of_digits_reaches_what_single_runs_reach(stacked, tasks):
    graphs = [ng.generators.circulant(64, degree=4), ng.generators.random_regular(64, 4, seed=1)]
    cells = [("", graph, seed) for graph in graphs for seed in range(2)]
    task = tasks.TASKS["digits"]
    found = stacked.train_stacks(task, None, 1, "cpu", stacked.Together(stack=3, streams=2), cells)
    alone = [tasks.train_masked(task, None, 1, "cpu", graph, seed) for _, graph, seed in cells]

    for one, other in zip(found, alone, strict=True):
        assert one.accuracy == pytest.approx(other.accuracy, abs=0.01)
        assert (one.kept, one.density, one.effective) == (other.kept, other.density, other.effective)


def test_bfloat16_moves_little(stacked, tasks):
    cells = [("", ng.generators.circulant(64, degree=4), seed) for seed in range(2)]
    train = partial(stacked.train_stacks, tasks.TASKS["digits"], None, 3, "cpu")
    exact, half = (train(stacked.Together(2, half=half), cells) for half in (False, True))

    assert [r.accuracy for r in half] == pytest.approx([r.accuracy for r in exact], abs=0.03)


def test_layers_it_does_not_know_are_named(stacked):
    with pytest.raises(TypeError, match="got LayerNorm"):
        stacked.side_by_side([nn.LayerNorm(3), nn.LayerNorm(3)])
