"""Optimizers and masks that are carried to the compacted model: the state that stays, groups, new parameters."""

import copy

import pytest
import torch
from torch import nn
from torch.optim import Optimizer

import prune_adapters as pa
from carrying import OPTIMIZERS, held, losses, perceptron_and_small, stepped, without_bias
from compacting import compacted
from networks import CASES
from smaller import padded_pair


def test_the_state_of_a_drawn_network():
    """Only hidden unit 0 stays, so rows and columns 0 of the buffers do."""
    model, small = perceptron_and_small()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    for number, parameter in enumerate(model.parameters()):
        buffer = torch.arange(float(parameter.numel())).reshape(parameter.shape) + 100 * number
        optimizer.state[parameter] = {"momentum_buffer": buffer}
    pa.carry_optimizer(optimizer, model, small)
    buffers = [optimizer.state[parameter]["momentum_buffer"].tolist() for parameter in small.parameters()]

    assert buffers == [[[0.0, 1.0]], [100.0], [[200.0], [204.0]], [300.0, 301.0]]
    assert held(optimizer) == [[id(p) for p in small.parameters()]]
    assert len(optimizer.state) == 4


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_dtypes_and_memory_layouts_follow_the_parameters(dtype: torch.dtype):
    model = nn.Sequential(nn.Conv2d(2, 4, 3), nn.ReLU(), nn.Conv2d(4, 2, 3)).to(memory_format=torch.channels_last)
    keep = {"2.weight": torch.ones(2, 4, 3, 3, dtype=torch.bool)}
    keep["2.weight"][:, 1] = False
    x = torch.randn(2, 2, 8, 8)
    small = compacted(model, keep, x).to(dtype).to(memory_format=torch.channels_last)
    optimizer = stepped(model, OPTIMIZERS["Adam"], x)
    pa.carry_optimizer(optimizer, model, small)

    for parameter in small.parameters():
        assert optimizer.state[parameter]["exp_avg"].dtype == dtype
        assert optimizer.state[parameter]["exp_avg"].stride() == parameter.stride()


def test_groups_schedulers_and_hooks_stay():
    model, small = perceptron_and_small()
    groups = [{"params": model[0].parameters(), "lr": 0.5}, {"params": model[2].parameters(), "weight_decay": 0.1}]
    optimizer = torch.optim.SGD(groups, lr=0.1, momentum=0.9)
    lists = [group["params"] for group in optimizer.param_groups]
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=1, gamma=0.5)
    seen: list[Optimizer] = []
    optimizer.register_step_post_hook(lambda *arguments: seen.append(arguments[0]))
    pa.carry_optimizer(optimizer, model, small)
    losses(small, optimizer, torch.randn(5, 2), 1)
    scheduler.step()

    assert [(g["lr"], g["weight_decay"]) for g in optimizer.param_groups] == [(0.25, 0), (0.05, 0.1)]
    assert held(optimizer) == [[id(p) for p in layer.parameters()] for layer in (small[0], small[2])]
    assert all(group["params"] is same for group, same in zip(optimizer.param_groups, lists, strict=True))
    assert seen == [optimizer]


def test_parameters_of_others_stay_and_those_that_are_not_held_are_left_out():
    model, small = perceptron_and_small()
    other = nn.Parameter(torch.ones(3))
    optimizer = torch.optim.SGD([other, model[0].weight], lr=0.1, momentum=0.9)
    optimizer.state[other]["momentum_buffer"] = torch.ones(3)
    pa.carry_optimizer(optimizer, nn.DataParallel(model), nn.DataParallel(small))

    assert held(optimizer) == [[id(other), id(small[0].weight)]]
    assert optimizer.state[other]["momentum_buffer"].tolist() == [1.0, 1.0, 1.0]


def test_a_tied_parameter_is_held_once():
    model, inputs = CASES["tied_embedding"].model(), CASES["tied_embedding"].inputs()
    small = compacted(model, {}, inputs)
    optimizer = torch.optim.Adam(model.parameters())
    pa.carry_optimizer(optimizer, model, small)

    assert held(optimizer) == [[id(p) for p in small.parameters()]]


def test_round_after_round():
    model = nn.Sequential(nn.Linear(2, 6), nn.Tanh(), nn.Linear(6, 3))
    x = torch.randn(4, 2)
    keep = torch.ones(3, 6, dtype=torch.bool)
    keep[:, [1, 4]] = False
    middle = compacted(model, {"2.weight": keep}, x)
    small = compacted(middle, {"2.weight": torch.tensor([[True, False, True, True]] * 3)}, x)
    optimizer = stepped(model, OPTIMIZERS["Adam"], x)
    expected = optimizer.state[model[2].weight]["exp_avg"][:, [0, 3, 5]]
    step_by_step = copy.deepcopy((model, optimizer))
    pa.carry_optimizer(optimizer, model, small)
    pa.carry_optimizer(step_by_step[1], step_by_step[0], middle)
    pa.carry_optimizer(step_by_step[1], middle, small)

    for found in (optimizer, step_by_step[1]):
        torch.testing.assert_close(found.state[small[2].weight]["exp_avg"], expected, rtol=0, atol=0)


def test_a_new_bias_joins_the_group_of_its_weight():
    model, small = without_bias()
    groups = [{"params": [model[2].weight]}, {"params": [*model[0].parameters()]}]
    optimizer = torch.optim.Adam(groups, lr=0.1)
    pa.carry_optimizer(optimizer, model, small)

    assert held(optimizer) == [[id(small[2].weight), id(small[2].bias)], [id(p) for p in small[0].parameters()]]
    assert small[2].bias not in optimizer.state


def test_new_parameters_stand_where_the_model_has_them_and_have_names():
    model, masks = padded_pair()
    model.append(nn.Conv2d(1, 2, 1, dtype=torch.float64))
    x = torch.randn(2, 1, 5, 5, dtype=torch.float64)
    small = compacted(model, masks, x)
    optimizer = torch.optim.SGD(nn.ModuleDict({"body": model}).named_parameters(), lr=0.01, momentum=0.9)
    losses(model, optimizer, x, 1)
    pa.carry_optimizer(optimizer, model, small)
    losses(small, optimizer, x, 1)

    assert held(optimizer) == [[id(p) for p in small.parameters()]]
    assert optimizer.param_groups[0]["param_names"] == [f"body.{name}" for name, _ in small.named_parameters()]
    assert "body.1.ones_weight" in optimizer.param_groups[0]["param_names"]


def test_a_new_bias_of_a_weight_that_is_not_held_is_left_out():
    model, small = without_bias()
    optimizer = torch.optim.Adam(model[0].parameters())
    pa.carry_optimizer(optimizer, model, small)

    assert held(optimizer) == [[id(p) for p in small[0].parameters()]]


def test_adagrad_gives_a_new_bias_its_first_state():
    model, small = without_bias()
    optimizer = stepped(model, OPTIMIZERS["Adagrad"], torch.randn(5, 2))
    pa.carry_optimizer(optimizer, model, small)
    losses(small, optimizer, torch.randn(5, 2), 1)

    assert optimizer.state[small[2].bias]["step"] == 1


def test_the_masks_of_a_drawn_network():
    model = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 2))
    masks = {"2.weight": torch.tensor([[True, False, True], [True, False, False]])}
    small = compacted(model, masks, torch.ones(1, 2))

    assert pa.carry_masks(masks, model, small)["2.weight"].tolist() == [[True, True], [True, False]]
    with pytest.raises(pa.MaskError, match="expected shape"):
        pa.carry_masks({"2.weight": torch.ones(3, 2, dtype=torch.bool)}, model, small)
    with pytest.raises(pa.RecipeError, match="carry_masks: expected what compact made of this model"):
        pa.carry_masks(masks, nn.Sequential(nn.Linear(2, 3)), small)
