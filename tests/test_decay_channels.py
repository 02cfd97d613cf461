"""Selective weight decay of channels: which ones, the exact size that is left, and the smaller network."""

import copy

import pytest
import torch
from torch import nn
from torch.testing import assert_close

import prune_adapters as pa
from networks import VGG, MobileNetV2, ResNet
from networks.residual import BasicBlock

MU = 1e-2
UNHEALTHY = "ignore:(SelectiveChannelDecay. what is removed|direct target missed)"
EXAMPLE = torch.ones(1, 3, 32, 32)


def residual() -> ResNet:
    return ResNet(BasicBlock, (1, 1), width=4, stem="cifar")


NETWORKS = {"residual": residual, "vgg": VGG, "mobile": MobileNetV2}


def scaled(model: nn.Module, seed: int = 0) -> nn.Module:
    """Return the model with random scales, shifts and statistics, as after some training."""
    torch.manual_seed(seed)
    for norm in model.modules():
        if isinstance(norm, nn.BatchNorm2d):
            for tensor in (norm.weight, norm.bias, norm.running_mean):
                nn.init.uniform_(tensor, 0.1, 1.0)
    return model.eval()


def mlp() -> nn.Sequential:
    return nn.Sequential(nn.Linear(3, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 2))


def make(model: nn.Module, example: torch.Tensor = EXAMPLE, **options: object) -> pa.SelectiveChannelDecay:
    given = {"sparsity": 0.5, "steps": 10, "weight_decay": MU, "a_max": 100.0} | options
    return pa.SelectiveChannelDecay(model, groups=pa.coupled_channels(model, example), **given)


@pytest.mark.filterwarnings(UNHEALTHY)
@pytest.mark.parametrize("sparsity", [0.3, 0.7])
@pytest.mark.parametrize("network", ["residual", "vgg", pytest.param("mobile", marks=pytest.mark.slow)])
def test_the_smaller_network_has_the_size_that_is_counted_and_computes_the_same(network, sparsity):
    model = scaled(NETWORKS[network]())
    total = sum(weight.numel() for weight in model.parameters())
    method = make(model, sparsity=sparsity)
    chosen = method.finish()
    smaller = pa.remove_channels(model, method.removed, EXAMPLE)
    x = torch.randn(2, 3, 32, 32)

    assert chosen.requested == total - round(sparsity * total)
    assert chosen.direct == sum(weight.numel() for weight in smaller.parameters()) <= chosen.requested
    assert_close(smaller(x), model(x), atol=1e-5, rtol=1e-4)


def test_one_channel_less_removed_would_be_too_large():
    model = scaled(residual())
    method = make(model, sparsity=0.5)
    order = method._table.removal_order()
    number = len(method.removed)

    assert method._table.left(order[:number]) <= method._requested < method._table.left(order[: number - 1])


def test_coupled_channels_go_by_their_largest_scale():
    model = scaled(residual())
    stem, last = model.stem[1].weight.data, model.stages[0][0].conv2[1].weight.data
    stem[:] = torch.tensor([0.0, 0.0, 3.0, 3.0])
    last[:] = torch.tensor([0.0, 3.0, 0.0, 3.0])
    removed = make(model, sparsity=0.2).removed

    assert [g.outputs["stem.0"] for g in removed if "stem.0" in g.outputs] == [(0,)]


@pytest.mark.parametrize("term", ["gradient", "loss"])
@pytest.mark.parametrize("filters", [False, True])
def test_the_gradient_is_that_of_the_decay_of_the_channels_to_remove(filters, term):
    model = mlp()
    model[1].weight.data = torch.tensor([1.0, 0.3, -0.1, 0.2, 2.0, -3.0])
    nn.init.uniform_(model[1].bias)
    method = make(model, torch.ones(1, 3), sparsity=0.4, filters=filters, term=term)
    for weight in model.parameters():
        weight.grad = torch.zeros_like(weight)
    if (penalty := method.penalty()).requires_grad:
        penalty.backward()
    method.after_backward()
    gone = torch.tensor([False, True, True, True, False, False])
    masks = {"1.weight": gone, "1.bias": gone}
    if filters:
        masks |= {"0.weight": gone[:, None], "0.bias": gone, "3.weight": gone[None]}

    for name, weight in model.named_parameters():
        assert_close(weight.grad, MU * 0.1 * weight.detach() * masks.get(name, torch.tensor(False)))


@pytest.mark.filterwarnings(UNHEALTHY)
def test_a_layer_keeps_its_last_channel():
    model = scaled(residual())
    model.stages[0][0].conv1[1].weight.data.zero_()
    method = make(model, sparsity=0.9)
    method.finish()
    smaller = pa.remove_channels(model, method.removed, EXAMPLE)

    assert smaller.stages[0][0].conv1[0].out_channels == 1


def test_at_sparsity_0_nothing_changes():
    model = mlp()
    for weight in model.parameters():
        weight.grad = torch.full_like(weight, -0.0)
    method = make(model, torch.ones(1, 3), sparsity=0.0)
    method.after_backward()

    assert method.removed == ()
    assert all(bool(weight.grad.signbit().all()) for weight in model.parameters())


@pytest.mark.filterwarnings(UNHEALTHY)
def test_a_resumed_run_is_an_uninterrupted_one(tmp_path):
    torch.manual_seed(0)
    first = mlp().train()
    runs = []
    for model in (first, copy.deepcopy(first), mlp().train()):
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=MU)
        runs.append((model, make(model, torch.ones(1, 3), optimizer=optimizer, weight_decay=None, refresh=3)))
    train(*runs[0], range(10))
    train(*runs[1], range(4))
    runs[2][0].load_state_dict(runs[1][0].state_dict())
    runs[2][1].optimizer.load_state_dict(runs[1][1].optimizer.state_dict())
    pa.save_method(tmp_path / "method", runs[1][1])
    pa.load_method(tmp_path / "method", runs[2][1])
    train(*runs[2], range(4, 10))

    assert_close(dict(runs[2][1].finish()), dict(runs[0][1].finish()))
    assert_close(runs[2][0].state_dict(), runs[0][0].state_dict(), rtol=0, atol=0)
    assert runs[2][1].removed == runs[0][1].removed


def train(model: nn.Module, method: pa.Method, steps: range) -> None:
    for step in steps:
        x = torch.randn(16, 3, generator=torch.Generator().manual_seed(step))
        method.optimizer.zero_grad()
        (nn.functional.cross_entropy(model(x), (x[:, 0] > 0).long()) + method.penalty()).backward()
        method.after_backward()
        method.optimizer.step()
        method.after_step()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sparsity": 0.95}, "sparsity: expected at most 0.8.*, at which one channel a layer and 10 of 50 parameters"),
        ({"scope": "layer"}, "expected parameters, scope, target and consistent at their defaults"),
        ({"groups": ()}, "groups: expected removable ones with a batch norm that has a scale, got none"),
    ],
)
def test_what_does_not_fit_is_told(options, message):
    model = mlp()
    given = {"sparsity": 0.5, "groups": pa.coupled_channels(model, torch.ones(1, 3))} | options
    with pytest.raises(ValueError, match=message):
        pa.SelectiveChannelDecay(model, steps=10, weight_decay=MU, **given)
