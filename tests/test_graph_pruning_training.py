"""The training of the network that generates weights, resumable to the bit, and what its sub-networks are worth."""

import copy
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.testing import assert_close
from torch.utils.data import DataLoader, TensorDataset

from prune_adapters.errors import CheckpointError
from prune_adapters.graph_pruning.net.calibration import recalibrate
from prune_adapters.graph_pruning.net.evaluation import evaluate, evaluate_model, instance_of
from prune_adapters.graph_pruning.net.pruning_net import PruningNet
from prune_adapters.graph_pruning.net.training import train_pruning_net
from prune_adapters.graph_pruning.net.training_step import drawn_candidates, step_gradients
from prune_adapters.graph_pruning.space.space import WidthSpace, width_space

Data = tuple[torch.Tensor, torch.Tensor]


@cache
def space() -> WidthSpace:
    torch.manual_seed(0)
    layers = [nn.Conv2d(1, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.Conv2d(6, 8, 3, bias=False), nn.BatchNorm2d(8)]
    model = nn.Sequential(*layers, nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.1), nn.Linear(8, 2))
    return width_space(model, torch.ones(1, 1, 6, 6))


@cache
def first_net(kind: str) -> PruningNet:
    return PruningNet(space(), kind=kind, hidden=8)


def new_net(kind: str = "generated") -> PruningNet:
    """Return a net of its own, faster than by tracing the model again."""
    return copy.deepcopy(first_net(kind))


@pytest.fixture(scope="module")
def data() -> Data:
    """Pictures that are brighter above, or below."""
    draw = torch.Generator().manual_seed(0)
    x, y = torch.randn(96, 1, 6, 6, generator=draw), torch.arange(96) % 2
    x[y == 0, :, :3] += 1.0
    x[y == 1, :, 3:] -= 1.0
    return x, y


def trained(data: object, **options: object) -> tuple[PruningNet, list[float]]:
    kind = str(options.pop("kind", "generated"))
    net = new_net(kind)
    defaults: dict[str, object] = {"steps": 12, "batch_size": 16, "progress": False, "learning_rate": 0.05}
    return net, train_pruning_net(net, data, **{**defaults, **options})  # type: ignore[arg-type]


class Interrupting:
    """An augmentation that draws random numbers, and behaves like Ctrl-C after some steps."""

    def __init__(self, steps: float = np.inf) -> None:
        self.left = steps

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        if self.left == 0:
            raise KeyboardInterrupt
        self.left -= 1
        return x + 0.1 * torch.randn_like(x)


@pytest.mark.parametrize("kind", ["generated", "shared"])
def test_it_learns_for_all_widths(data: Data, kind: str) -> None:
    net, losses = trained(data, steps=40, kind=kind, label_smoothing=0.0, learning_rate=0.2)

    assert losses[-1] < 0.5 * losses[0]
    assert not net.space.model[0].weight.grad
    for counts in (space().full, space().counts([0.5, 0.5])):
        assert evaluate(net, counts, calibration=data[0], holdout=data).accuracy > 0.9


def test_only_parameters_of_the_net_change_and_modes_stay(data: Data) -> None:
    before = {name: tensor.clone() for name, tensor in space().model.state_dict().items()}
    net = new_net().eval()
    train_pruning_net(net, data, steps=2, progress=False)

    assert_close(dict(space().model.state_dict()), before, rtol=0, atol=0)
    assert not net.training


def test_same_seed_same_bits_and_the_callers_random_numbers_are_left_alone(data: Data) -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    (one, losses), (same, again), (_, others) = (trained(data, seed=seed, steps=4) for seed in (3, 3, 4))

    assert_close(torch.rand(3), expected, rtol=0, atol=0)
    assert_close(dict(one.state_dict()), dict(same.state_dict()), rtol=0, atol=0)
    assert losses == again != others


@pytest.mark.parametrize("done", [0, 5, 7, 11])
@pytest.mark.parametrize("loaded", [False, True])
def test_interrupted_and_resumed_equals_uninterrupted(data: Data, tmp_path: Path, done: int, loaded: bool) -> None:
    def batches() -> object:
        return DataLoader(TensorDataset(*data), batch_size=16, shuffle=True) if loaded else data

    path = tmp_path / "net.pt"
    whole, expected = trained(batches(), augment=Interrupting())
    with pytest.raises(KeyboardInterrupt):
        trained(batches(), augment=Interrupting(done), checkpoint=path, every=3)
    assert path.exists() == (done >= 3)
    resumed, losses = trained(batches(), augment=Interrupting(), checkpoint=path, every=5)
    _, finished = trained(batches(), augment=Interrupting(0), checkpoint=path)

    assert losses == finished == expected
    assert_close(dict(resumed.state_dict()), dict(whole.state_dict()), rtol=0, atol=0)
    assert [file.name for file in tmp_path.iterdir()] == ["net.pt"]


def test_a_checkpoint_of_another_run_is_told(data: Data, tmp_path: Path) -> None:
    path = tmp_path / "net.pt"
    trained(data, steps=2, checkpoint=path)
    for options, message in (
        ({"steps": 3}, "begun with steps 2, got 3"),
        ({"seed": 1}, "begun with seed 0, got 1"),
        ({"learning_rate": 0.1}, "begun with learning_rate 0.05, got 0.1"),
        ({"lowest": 0.5}, "begun with lowest 0.2, got 0.5"),
        ({"kind": "shared"}, "does not fit"),
    ):
        with pytest.raises(CheckpointError, match=message):
            trained(data, **{"steps": 2, "checkpoint": path, **options})
    assert len(trained(data, steps=2, checkpoint=path, seed=None)[1]) == 2
    for content, message in ((b"no file of torch", "not a checkpoint"), (b"", "not a checkpoint")):
        path.write_bytes(content)
        with pytest.raises(CheckpointError, match=message):
            trained(data, steps=2, checkpoint=path)
    torch.save({"net": 1}, path)
    with pytest.raises(CheckpointError, match=r"expected \['losses'"):
        trained(data, steps=2, checkpoint=path)


def test_candidates_are_the_widest_the_narrowest_and_some_between() -> None:
    candidates = drawn_candidates(space(), lowest=0.5, sandwich=True, draws=40, seed=0)
    drawn = np.array(candidates[2:])

    assert candidates[:2] == [(6, 8), (3, 4)]
    assert (drawn.min(axis=0).tolist(), drawn.max(axis=0).tolist()) == ([3, 4], [6, 8])
    assert len(drawn_candidates(space(), lowest=0.5, sandwich=False, draws=3, seed=0)) == 3


@pytest.mark.parametrize("kind", ["generated", "shared"])
def test_the_gradient_is_that_of_the_mean_loss(data: Data, kind: str) -> None:
    x, y = data[0][:16], data[1][:16]
    net = new_net(kind).eval()  # without dropout
    candidates = [space().full, (3, 4), (5, 2)]
    losses = step_gradients(net, x, y, candidates, distill=True, label_smoothing=0.1)
    found = {name: p.grad for name, p in net.named_parameters()}
    net.zero_grad()
    outputs = [net(x, counts) for counts in candidates]
    targets = [None, *[outputs[0].detach().softmax(dim=1)] * 2]
    hard = [functional.cross_entropy(own, y, label_smoothing=0.1) for own in outputs]
    soft = [functional.cross_entropy(own, t) for own, t in zip(outputs[1:], targets[1:], strict=True)]
    ((hard[0] + sum(soft)) / 3).backward()

    assert_close(torch.tensor(losses), torch.stack(hard).detach())
    assert_close(found, {name: p.grad for name, p in net.named_parameters()})


def test_gradients_are_clipped(data: Data) -> None:
    net = new_net()
    before = {name: p.detach().clone() for name, p in net.named_parameters()}
    optimizer = torch.optim.SGD(net.parameters(), lr=1.0)
    train_pruning_net(net, data, steps=1, optimizer=optimizer, clip=0.01, progress=False)
    moved = torch.stack([(p.detach() - before[name]).norm() for name, p in net.named_parameters()]).norm()

    assert_close(moved, torch.tensor(0.01), rtol=1e-3, atol=0)


def test_without_the_sandwich_the_loss_is_that_of_the_drawn_ones(data: Data) -> None:
    _, losses = trained(data, steps=3, sandwich=False, draws=1, checkpoint=None)

    assert len(losses) == 3


def test_batches_and_a_schedule_of_the_callers_own(data: Data) -> None:
    net = new_net()
    optimizer = torch.optim.AdamW(net.parameters(), lr=0.01)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 0.5**step)
    train_pruning_net(net, [data], steps=3, optimizer=optimizer, scheduler=scheduler, progress=False)

    assert scheduler.get_last_lr() == [0.01 / 8]


def test_recalibrated_statistics_are_means_over_the_batches(data: Data) -> None:
    model = instance_of(new_net(), (3, 4)).train()
    recalibrate(model, data[0], batch_size=48)
    inside = [model[0](half).transpose(0, 1).flatten(1) for half in data[0].split(48)]

    assert_close(model[1].running_mean, sum(own.mean(dim=1) for own in inside) / 2)
    assert_close(model[1].running_var, sum(own.var(dim=1) for own in inside) / 2)
    assert (model[1].momentum, model.training, model[8].training) == (0.1, True, True)


def test_an_evaluation_is_that_of_the_recalibrated_module(data: Data) -> None:
    net = new_net()
    module = recalibrate(instance_of(net, (3, 4)), data[0][:32]).eval()
    outputs = module(data[0])
    found = evaluate(net, (3, 4), calibration=data[0][:32], holdout=data)

    assert_close(found.loss, functional.cross_entropy(outputs, data[1]).item())
    assert_close(found.accuracy, (outputs.argmax(dim=1) == data[1]).double().mean().item())
    assert found == evaluate(net, (3, 4), calibration=data[0][:32], holdout=data)


def test_a_loss_that_is_not_finite_is_told(data: Data) -> None:
    with pytest.raises(FloatingPointError, match="step 1: a loss is not finite"):
        trained((data[0] * torch.inf, data[1]))


REFUSED: dict[str, tuple[Callable[[Data], object], str]] = {
    "steps": (lambda data: trained(data, steps=-1), "steps: expected at least 0, got -1"),
    "draws": (lambda data: trained(data, draws=0), "draws: expected at least 1, got 0"),
    "every": (lambda data: trained(data, every=0), "every: expected at least 1, got 0"),
    "batch": (lambda data: trained(data, batch_size=0), "batch_size: expected at least 1, got 0"),
    "lowest": (lambda data: trained(data, lowest=0.0), r"lowest: expected a ratio in \(0, 1\], got 0.0"),
    "clip": (lambda data: trained(data, clip=0.0), "clip: expected a norm above 0, got 0.0"),
    "lengths": (lambda data: trained((data[0], data[1][:3])), "as many targets as inputs and at least one, got 96 and"),
    "empty": (lambda data: trained([]), "data: expected at least one batch in epoch 1, got none"),
    "holdout": (lambda data: evaluate_model(nn.Identity(), (data[0], data[1][:3])), "got 96 and 3"),
    "calibration": (lambda data: recalibrate(nn.BatchNorm2d(1), data[0][:0]), "expected at least one input, got none"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_bad_arguments_are_told(data: Data, name: str) -> None:
    call, message = REFUSED[name]
    with pytest.raises(ValueError, match=message):
        call(data)


def test_a_schedule_without_its_optimizer_is_told(data: Data) -> None:
    net = new_net()
    scheduler = torch.optim.lr_scheduler.ConstantLR(torch.optim.SGD(net.parameters()))
    with pytest.raises(ValueError, match="scheduler: expected an optimizer with it"):
        train_pruning_net(net, data, steps=1, scheduler=scheduler)
