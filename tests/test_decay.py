"""Selective weight decay: what the term adds, when it ends, and what is left at the end."""

import copy
from collections.abc import Callable

import pytest
import torch
from torch import nn
from torch.testing import assert_close

import netgraph as ng
import prune_adapters as pa
from decay_cases import MU, UNHEALTHY, added, sgd
from networks import ResNet
from networks.residual import BasicBlock
from prune_adapters.methods.decay.weights import below

Optimize = Callable[[nn.Module], torch.optim.Optimizer]


def net(seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv2d(3, 6, 3), nn.ReLU(), nn.Conv2d(6, 4, 3), nn.Flatten(), nn.Linear(16, 5))


def adamw(model: nn.Module) -> torch.optim.AdamW:
    return torch.optim.AdamW(model.parameters(), lr=1e-2, weight_decay=MU)


def make(model: nn.Module, **options: object) -> pa.SelectiveWeightDecay:
    given = {"sparsity": 0.7, "steps": 10, "optimizer": sgd(model), "a_max": 100.0} | options
    return pa.SelectiveWeightDecay(model, **given)


def train(model: nn.Module, method: pa.Method | None, optimizer: torch.optim.Optimizer, steps: range) -> None:
    for step in steps:
        draw = torch.Generator().manual_seed(step)
        x, y = torch.randn(8, 3, 6, 6, generator=draw), torch.arange(8) % 5
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(x), y)
        (loss if method is None else loss + method.penalty()).backward()
        if method is not None:
            method.after_backward()
        optimizer.step()
        if method is not None:
            method.after_step()


def expected(model: nn.Module, masks: pa.Selection, strength: float) -> dict[str, torch.Tensor]:
    every = {name: torch.zeros_like(weight) for name, weight in model.named_parameters()}
    return every | {n: MU * strength * model.get_parameter(n).detach() * ~mask for n, mask in masks.items()}


@pytest.mark.parametrize("term", ["gradient", "loss"])
@pytest.mark.parametrize("scope", ["global", "layer", "erk", "igq"])
def test_the_gradient_is_that_of_the_decay_on_what_pruning_would_remove(scope, term):
    model = net()
    method = make(model, scope=scope, term=term)
    masks = pa.masks_from_scores(pa.magnitude_scores(model), sparsity=0.7, scope=scope)

    assert_close(added(method), expected(model, masks, 0.1), rtol=1e-5, atol=0)


@pytest.mark.parametrize("options", [{"consistent": True}, {"target": "effective"}, {"guard": True}])
@pytest.mark.parametrize("term", ["gradient", "loss"])
def test_on_the_graph_the_term_acts_on_what_the_final_selection_would_remove(options, term):
    model = net()
    graph = pa.to_graph(model, torch.ones(1, 3, 6, 6))
    method = make(model, graph=graph, sparsity=0.6, term=term, **options)
    budget = {"sparsity": 0.6, "target": options.get("target", "direct")}
    choose = pa.consistent_masks if "consistent" in options else pa.masks_from_scores
    masks = choose(pa.magnitude_scores(model), graph=graph, **budget)

    assert_close(added(method), expected(model, masks, 0.1), rtol=1e-5, atol=0)


def test_each_group_of_the_optimizer_has_its_own_decay():
    model = net()
    groups = [{"params": model[0].parameters(), "weight_decay": 0.5}, {"params": model[2].parameters()}]
    found = added(make(model, optimizer=torch.optim.SGD(groups, lr=0.1, weight_decay=MU)))
    masks = pa.masks_from_scores(pa.magnitude_scores(model), sparsity=0.7)

    assert_close(found["0.weight"], 0.05 * model[0].weight.detach() * ~masks["0.weight"])
    assert_close(found["2.weight"], 0.1 * MU * model[2].weight.detach() * ~masks["2.weight"])
    assert not found["4.weight"].any()  # the optimizer does not hold it


def test_a_weight_decay_of_its_own_takes_the_place_of_the_optimizers():
    model = net()

    assert_close(added(make(model, weight_decay=MU)), added(make(model, optimizer=None, weight_decay=MU)))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_one_pass_finds_what_two_do_and_ties_are_in(dtype):
    weight = torch.randn(6, 7, 3, 3, generator=torch.Generator().manual_seed(0)).to(dtype)
    weight[0, :3] = weight[3, 3, 1, 1]
    for bound in (weight[3, 3, 1, 1].abs(), weight.abs().max(), weight.abs().min(), torch.zeros((), dtype=dtype)):
        plain = torch.where(weight.abs() <= bound, weight, 0.0)

        assert_close(below(weight, bound), plain, rtol=0, atol=0)
        assert_close(below(weight.contiguous(memory_format=torch.channels_last), bound), plain, rtol=0, atol=0)


def test_memory_layout_and_mixed_dtypes_change_nothing():
    model = net()
    permuted = copy.deepcopy(model).to(memory_format=torch.channels_last)
    mixed = copy.deepcopy(model)
    mixed[4].double()

    assert_close(added(make(permuted)), added(make(model)), rtol=0, atol=0)
    assert_close(added(make(mixed))["0.weight"], added(make(model))["0.weight"])


def test_the_strength_grows_by_equal_factors():
    method = make(net(), a_min=0.1, a_max=1e3, steps=4)
    found = []
    for method.step in range(6):
        found.append(method.strength)

    assert found == pytest.approx([0.1, 1.0, 10.0, 100.0, 1000.0, 1000.0])


@pytest.mark.parametrize("optimize", [sgd, adamw])
@pytest.mark.parametrize("term", ["auto", "loss", "decoupled"])
def test_at_sparsity_0_training_is_plain_to_the_bit(optimize, term):
    plain, model = net(), net()
    own = optimize(model)
    train(plain, None, optimize(plain), range(5))
    train(model, make(model, sparsity=0.0, optimizer=own, term=term), own, range(5))

    assert_close(model.state_dict(), plain.state_dict(), rtol=0, atol=0)


def test_with_adam_the_term_multiplies_weights_after_the_step():
    plain, model = net(), net()
    own = adamw(model)
    method = make(model, optimizer=own, a_min=100.0)
    train(plain, None, adamw(plain), range(1))
    train(model, method, own, range(1))
    masks = pa.masks_from_scores(pa.magnitude_scores(plain), sparsity=0.7)
    factor = torch.tensor(-0.01 * MU * 100.0).exp()

    for name, mask in masks.items():
        before = plain.get_parameter(name).detach()
        assert_close(model.get_parameter(name).detach(), torch.where(mask, before, before * factor))


def test_a_decoupled_term_never_passes_0_however_strong():
    model = net()
    own = adamw(model)
    method = make(model, optimizer=own, a_min=1e9, a_max=1e9)
    signs = [weight.detach().sign() for weight in model.parameters()]
    method.after_step()

    assert method.shrinkage == 0.0
    assert all(bool((weight * sign >= 0).all()) for weight, sign in zip(model.parameters(), signs, strict=True))


def test_the_threshold_holds_until_it_is_refreshed():
    model = net()
    method = make(model, refresh=2)
    first = added(method)
    method.after_step()
    with torch.no_grad():
        model[0].weight.mul_(100.0)
    held = added(method)
    method.after_step()
    anew = added(method)

    assert (first["0.weight"] != 0).any()
    assert (held["0.weight"] != 0).sum() < (first["0.weight"] != 0).sum()
    assert (held["2.weight"] != 0).sum() == (first["2.weight"] != 0).sum()
    assert (anew["2.weight"] != 0).sum() > (held["2.weight"] != 0).sum()


@pytest.mark.parametrize("options", [{}, {"scope": "layer"}, {"consistent": True}, {"term": "decoupled"}])
@pytest.mark.filterwarnings(UNHEALTHY)
def test_a_resumed_run_is_an_uninterrupted_one(tmp_path, options):
    graph = pa.to_graph(net(), torch.ones(1, 3, 6, 6))
    whole, part, other = net(), net(), net(1)
    own = [sgd(model) for model in (whole, part, other)]
    given = {"refresh": 3, "graph": graph} | options
    runs = [(m, o, make(m, optimizer=o, **given)) for m, o in zip((whole, part, other), own, strict=True)]
    train(*_turned(runs[0]), range(10))
    train(*_turned(runs[1]), range(4))
    other.load_state_dict(part.state_dict())
    runs[2][1].load_state_dict(runs[1][1].state_dict())
    pa.save_method(tmp_path / "method", runs[1][2])
    pa.load_method(tmp_path / "method", runs[2][2])
    train(*_turned(runs[2]), range(4, 10))

    assert_close(other.state_dict(), whole.state_dict(), rtol=0, atol=0)
    assert dict(runs[2][2].finish()).keys() == dict(runs[0][2].finish()).keys()
    assert_close(dict(runs[2][2].finish()), dict(runs[0][2].finish()))
    assert runs[2][2].shrinkage == runs[0][2].shrinkage


def _turned(run: tuple) -> tuple:
    model, optimizer, method = run
    return model, method, optimizer


@pytest.mark.filterwarnings(UNHEALTHY)
def test_a_deep_copy_acts_on_its_own_model():
    model = net()
    twin, method = copy.deepcopy((model, make(model)))
    train(twin, method, method.optimizer, range(2))
    method.finish()

    assert twin is method.model
    assert bool((twin[0].weight == 0).any())
    assert not bool((model[0].weight == 0).any())


def test_what_is_shrunk_is_removed_without_being_felt():
    torch.manual_seed(0)
    model, x = nn.Sequential(nn.Linear(20, 1, bias=False)), torch.randn(64, 20)
    y, own = x[:, :3].sum(dim=1, keepdim=True), sgd(model, 0.02)
    most = pa.suggest_a_max([0.02], weight_decay=MU, steps=400, shrink=-5.0, momentum=0.9)
    method = make(model, steps=400, optimizer=own, sparsity=0.85, a_max=most)
    for _ in range(400):
        own.zero_grad()
        nn.functional.mse_loss(model(x), y).backward()
        method.after_backward()
        own.step()
        method.after_step()
    health, before = method.shrinkage, model(x)
    chosen = method.finish()

    assert 0 < health < 1e-2
    assert method.shrinkage == health
    assert chosen["0.weight"].tolist() == [[True] * 3 + [False] * 17]
    assert (model[0].weight != 0).tolist() == chosen["0.weight"].tolist()
    assert_close(model(x), before, atol=0.05, rtol=0)


def test_a_removal_that_will_be_felt_is_told():
    method = make(net())
    with pytest.warns(UserWarning, match="what is removed still has 0.5.* raise a_max"):
        method.finish()

    assert method.shrinkage > 0.4


def test_an_unstable_strength_is_told_once():
    method = make(net(), a_max=1e5)
    method.step = 9
    with pytest.warns(UserWarning, match="unstable from step 9 on: .* is 25.1, expected below 3.8"):
        added(method)

    added(method)  # no second warning: it would be an error


@pytest.mark.filterwarnings(UNHEALTHY)
@pytest.mark.parametrize("consistent", [False, True])
@pytest.mark.parametrize("network", [net, lambda seed: ResNet(BasicBlock, (1, 1), width=4, stem="cifar")])
@pytest.mark.parametrize("seed", range(3))
def test_the_guard_leaves_every_layer_a_path_at_the_exact_budget(network, seed, consistent):
    torch.manual_seed(seed)
    model = network(seed)
    graph = pa.to_graph(model, torch.ones(1, 3, 6, 6))
    method = make(model, graph=graph, guard=True, consistent=consistent, sparsity=0.98)
    chosen = method.finish()
    kept = ng.trim(ng.with_weights(graph, {n: m.numpy() for n, m in chosen.items()})).masks()

    assert chosen.direct == chosen.requested == chosen.total - round(0.98 * chosen.total)
    assert all(kept[name].any() for name in chosen)
    assert not consistent or chosen.effective == chosen.direct


def test_the_guard_says_when_there_are_too_few_weights():
    model = net()
    graph = pa.to_graph(model, torch.ones(1, 3, 6, 6))
    method = make(model, graph=graph, guard=True, sparsity=0.998)
    with pytest.raises(ValueError, match=r"guard: no path through '.*' can be kept with 1 weights; take a lower"):
        method.finish()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"optimizer": None}, "expected an optimizer to read mu, or weight_decay= from"),
        ({"optimizer": None, "weight_decay": MU, "term": "decoupled"}, "to read the learning rate from"),
        ({"weight_decay": 0.0}, "weight_decay: expected one above 0 to multiply, got 0"),
        ({"weight_decay": -1.0}, "weight_decay: expected at least 0, got -1.0"),
        ({"a_min": 2.0, "a_max": 1.0}, "expected 0 < a_min <= a_max, got 2.0 and 1.0"),
        ({"refresh": 0}, "refresh: expected at least 1 step, got 0"),
        ({"term": "l2"}, "term: expected one of 'auto', 'gradient', 'loss', 'decoupled', got 'l2'"),
        ({"guard": True}, "guard=True: expected a graph"),
    ],
)
def test_what_does_not_fit_is_told(options, message):
    with pytest.raises(ValueError, match=message):
        make(net(), **options)
