"""Optimizers that go on with the compacted model: the state that stays, new parameters, the losses as before."""

import copy
from collections.abc import Callable, Mapping

import pytest
import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.utils._pytree import tree_leaves, tree_map

import netgraph as ng
import prune_adapters as pa
from compacting import compacted, randomized
from networks import CASES
from oracle import call
from smaller import masks_for, padded_pair, perceptron

Make = Callable[[list[nn.Parameter]], Optimizer]
OPTIMIZERS: Mapping[str, Make] = {
    "plain SGD": lambda p: torch.optim.SGD(p, lr=0.05),
    "SGD": lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.9, weight_decay=1e-2, nesterov=True),
    "fused SGD": lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.9, fused=True),
    "Adam": lambda p: torch.optim.Adam(p, lr=0.01, amsgrad=True),
    "foreach Adam": lambda p: torch.optim.Adam(p, lr=0.01, foreach=True),
    "AdamW": lambda p: torch.optim.AdamW(p, lr=0.01, weight_decay=0.1),
    "fused AdamW": lambda p: torch.optim.AdamW(p, lr=0.01, fused=True),
    "RMSprop": lambda p: torch.optim.RMSprop(p, lr=0.001, momentum=0.5, centered=True),
    "Adagrad": lambda p: torch.optim.Adagrad(p, lr=0.05, initial_accumulator_value=0.1),
    "Adadelta": lambda p: torch.optim.Adadelta(p, lr=0.5),
    "Adamax": lambda p: torch.optim.Adamax(p, lr=0.01),
    "NAdam": lambda p: torch.optim.NAdam(p, lr=0.01),
    "RAdam": lambda p: torch.optim.RAdam(p, lr=0.01),
    "ASGD": lambda p: torch.optim.ASGD(p, lr=0.05),
}
QUICK = ["mlp", "vgg", "vgg_bn", "conv1d", "glu"]


def loss_of(model: nn.Module, inputs: object) -> Tensor:
    """Return a loss whose gradients are not 0: the distance of all outputs to 1."""
    return sum((t - 1).square().mean() for t in tree_leaves(call(model, inputs)))


def losses(model: nn.Module, optimizer: Optimizer, inputs: object, steps: int) -> list[float]:
    found = []
    for _ in range(steps):
        optimizer.zero_grad()
        loss = loss_of(model, inputs)
        loss.backward()
        optimizer.step()
        found.append(loss.item())
    return found


def held(optimizer: Optimizer) -> list[list[int]]:
    return [[id(p) for p in group["params"]] for group in optimizer.param_groups]


def snapshot(optimizer: Optimizer) -> tuple[object, object]:
    """Return what an optimizer holds, in a form that can be compared."""
    states = {
        id(p): {k: v.tolist() if isinstance(v, Tensor) else v for k, v in s.items()} for p, s in optimizer.state.items()
    }
    return held(optimizer), states


def masked_model(name: str, sparsity: float) -> tuple[nn.Module, object]:
    """Return a network in float64 and eval mode that remembers masks without constants, and inputs for it."""
    model = randomized(CASES[name].model(), 0).double().eval()
    inputs = tree_map(lambda t: t.double() if t.is_floating_point() else t, CASES[name].inputs())
    graph = pa.to_graph(model, inputs, masks=masks_for(model, sparsity, 0))
    return pa.apply_masks(model, pa.to_masks(ng.trim(graph))), inputs


def largest_deviation(model: nn.Module, inputs: object, make: Make) -> float:
    """Return by how much the losses differ, relatively, when training goes on with the masked and the small model."""
    twin = copy.deepcopy(model)
    optimizers = [make(list(m.parameters())) for m in (model, twin)]
    for m, optimizer in zip((model, twin), optimizers, strict=True):
        pa.keep_masks(m, optimizer)
        losses(m, optimizer, inputs, 3)
    small = pa.compact(twin, pa.to_graph(twin, inputs), inputs)
    pa.carry_optimizer(optimizers[1], twin, small)
    pa.apply_masks(small, pa.carry_masks(pa.remembered_masks(twin), twin, small))
    pa.keep_masks(small, optimizers[1])
    expected = losses(model, optimizers[0], inputs, 5)
    found = losses(small, optimizers[1], inputs, 5)
    assert len(pa.compact_recipe(small).removals) > 0
    assert expected[-1] < expected[0]
    return max(abs(a - b) / abs(a) for a, b in zip(expected, found, strict=True))


def stepped(model: nn.Module, make: Make, x: Tensor) -> Optimizer:
    """Return an optimizer of the model that has made one step."""
    optimizer = make(list(model.parameters()))
    losses(model, optimizer, x, 1)
    return optimizer


def perceptron_and_small() -> tuple[nn.Module, nn.Module]:
    model, masks = perceptron()
    return model, compacted(model, masks, torch.ones(1, 2))


def without_bias() -> tuple[nn.Module, nn.Module]:
    """Return a model whose last layer is given a bias that takes a constant over, and the smaller model."""
    model, masks = perceptron()
    model[2] = nn.Linear(4, 2, bias=False)
    masks["2.weight"] = torch.ones(2, 4, dtype=torch.bool)
    return model, compacted(model, masks, torch.ones(1, 2))


# What becomes of the state


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


@pytest.mark.parametrize("make", OPTIMIZERS.values(), ids=list(OPTIMIZERS))
def test_numbers_stay_and_every_optimizer_goes_on(make: Make):
    model, small = perceptron_and_small()
    x = torch.randn(5, 2)
    optimizer = stepped(model, make, x)
    before = {key: value for state in optimizer.state.values() for key, value in state.items()}
    pa.carry_optimizer(optimizer, model, small)
    scalars = {
        key: value for key, value in optimizer.state.get(small[2].bias, {}).items() if key in ("step", "mu_product")
    }

    assert all(torch.equal(torch.as_tensor(before[key]), torch.as_tensor(value)) for key, value in scalars.items())
    assert losses(small, optimizer, x, 20)[-1] < loss_of(perceptron_and_small()[1], x)


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


def test_what_was_carried_can_be_saved_and_loaded():
    model, small = without_bias()
    x = torch.randn(5, 2)
    optimizer = stepped(model, OPTIMIZERS["Adam"], x)
    pa.carry_optimizer(optimizer, model, small)
    losses(small, optimizer, x, 1)
    twin = copy.deepcopy(small)
    again = torch.optim.Adam(twin.parameters(), lr=0.01, amsgrad=True)
    again.load_state_dict(copy.deepcopy(optimizer.state_dict()))

    assert losses(twin, again, x, 3) == losses(small, optimizer, x, 3)


# Parameters that compact added


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


# What is refused, with nothing changed


def test_a_model_that_was_not_compacted():
    model, small = perceptron_and_small()
    optimizer = torch.optim.Adam(model.parameters())

    with pytest.raises(ValueError, match="this Sequential was not returned by compact"):
        pa.carry_optimizer(optimizer, small, model)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m, s: (nn.Sequential(nn.Linear(2, 5), nn.ReLU(), nn.Linear(5, 2)), s), "'0': expected 2 inputs and 4"),
        (lambda m, s: (nn.Sequential(nn.Linear(2, 4)), s), "expected a module '2', the Sequential has '', '0'"),
        (
            lambda m, s: (m.append(nn.Linear(2, 2)), s),
            r"'3.weight': expected shape \(2, 2\) in the smaller model, got no",
        ),
        (
            lambda m, s: (m, s.append(nn.Linear(2, 2))),
            "the smaller model has '3.bias', '3.weight', which the model has n",
        ),
        (
            lambda m, s: (m, s.__setitem__(2, nn.Linear(1, 3)) or s),
            r"'2.weight': expected shape \(2, 1\) in .* got \(3, 1",
        ),
    ],
)
def test_a_pair_that_does_not_belong_together(change: Callable, message: str):
    model, small = perceptron_and_small()
    optimizer = stepped(model, OPTIMIZERS["Adam"], torch.ones(1, 2))
    model, small = change(model, small)
    before = snapshot(optimizer)

    with pytest.raises(pa.RecipeError, match=f"carry_optimizer: expected what compact made of this model: .*{message}"):
        pa.carry_optimizer(optimizer, model, small)
    assert snapshot(optimizer) == before


def test_weights_that_are_tied_in_the_model_only():
    model = nn.Sequential(*perceptron()[0], nn.Linear(2, 2), nn.Linear(2, 2))
    model[4].weight = model[3].weight
    small = compacted(model, perceptron()[1], torch.ones(1, 2))
    small[4].weight = nn.Parameter(torch.ones(2, 2))

    with pytest.raises(pa.RecipeError, match=r"'4.weight' is shared in the model and one of its own in the smaller"):
        pa.carry_optimizer(torch.optim.Adam(model.parameters()), model, small)


def test_the_optimizer_of_another_model():
    model, small = perceptron_and_small()
    other = copy.deepcopy(model)

    with pytest.raises(
        ValueError, match="carry_optimizer: the optimizer holds no parameter of the model; give the one"
    ):
        pa.carry_optimizer(torch.optim.Adam(other.parameters()), model, small)


def lbfgs(parameters: list[nn.Parameter]) -> Optimizer:
    return torch.optim.LBFGS(parameters, max_iter=2)


def test_state_that_cannot_be_cut_to_size():
    x = torch.randn(5, 2)
    model, small = perceptron_and_small()
    rows = stepped(model, lambda p: torch.optim.Adafactor(p, lr=0.1), x)
    before = snapshot(rows)
    with pytest.raises(
        ValueError, match=r"state 'row_var' of '0.weight': expected a number or a tensor of shape \(4, 2"
    ):
        pa.carry_optimizer(rows, model, small)
    history = lbfgs(list(model.parameters()))
    history.step(lambda: loss_of(model, x).backward() or 1.0)
    with pytest.raises(ValueError, match="LBFGS has one history of all parameters together; build a new optimizer"):
        pa.carry_optimizer(history, model, small)

    assert snapshot(rows) == before
    assert held(history) == [[id(p) for p in model.parameters()]]


def test_optimizers_of_that_kind_go_on_before_their_first_step():
    model, small = perceptron_and_small()
    optimizer = lbfgs(list(model.parameters()))
    pa.carry_optimizer(optimizer, model, small)
    before = copy.deepcopy(small.state_dict())
    x = torch.randn(5, 2)

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = loss_of(small, x)
        loss.backward()
        return loss

    optimizer.step(closure)

    assert not torch.equal(small[2].bias, before["2.bias"])


def test_a_new_bias_is_nothing_for_an_optimizer_of_matrices():
    model, small = without_bias()
    optimizer = torch.optim.Muon([model[0].weight, model[2].weight])
    before = snapshot(optimizer)

    with pytest.raises(ValueError, match="Muon takes matrices only, and compact added a bias; build a new optimizer"):
        pa.carry_optimizer(optimizer, model, small)
    assert snapshot(optimizer) == before


# Masks


def test_the_masks_of_a_drawn_network():
    model = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 2))
    masks = {"2.weight": torch.tensor([[True, False, True], [True, False, False]])}
    small = compacted(model, masks, torch.ones(1, 2))

    assert pa.carry_masks(masks, model, small)["2.weight"].tolist() == [[True, True], [True, False]]
    with pytest.raises(pa.MaskError, match="expected shape"):
        pa.carry_masks({"2.weight": torch.ones(3, 2, dtype=torch.bool)}, model, small)
    with pytest.raises(pa.RecipeError, match="carry_masks: expected what compact made of this model"):
        pa.carry_masks(masks, nn.Sequential(nn.Linear(2, 3)), small)


# Training goes on


@pytest.mark.parametrize("make", OPTIMIZERS.values(), ids=list(OPTIMIZERS))
def test_losses_go_on_as_those_of_the_masked_model(make: Make):
    assert largest_deviation(*masked_model("mlp", 0.9), make) < 1e-9


@pytest.mark.parametrize("how", ["SGD", "Adam"])
@pytest.mark.parametrize("name", QUICK)
def test_losses_of_networks_go_on(name: str, how: str):
    assert largest_deviation(*masked_model(name, 0.9), OPTIMIZERS[how]) < 1e-9


def test_without_the_masks_the_small_model_trains_its_removed_weights():
    """The stated limit: one removed weight between units that stay is free again."""
    model = nn.Sequential(nn.Linear(2, 2), nn.Tanh(), nn.Linear(2, 1)).double()
    x = torch.randn(4, 2, dtype=torch.float64)
    pa.apply_masks(model, {"0.weight": torch.tensor([[True, False], [True, True]])})
    optimizer = stepped(model, OPTIMIZERS["SGD"], x)
    small = pa.compact(model, pa.to_graph(model, x), x)
    pa.carry_optimizer(optimizer, model, small)
    losses(small, optimizer, x, 1)

    assert small[0].weight[0, 1] != 0
