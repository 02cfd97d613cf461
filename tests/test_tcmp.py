"""TCMP in a training loop: what the network sees, what the optimizer moves, and consistent masks in the end."""

import copy
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.func import functional_call

import netgraph as ng
import prune_adapters as pa
from networks import CASES
from prune_adapters.ops import band_stop, kth_largest
from prune_adapters.sweeps import Supervision

EXAMPLES = Path(__file__).parents[1] / "examples"
X = torch.randn(32, 6, generator=torch.Generator().manual_seed(1))
Y = (X[:, 0] > 0).long() + 2 * (X[:, 1] > 0).long()


def mlp(dtype: torch.dtype = torch.float32) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 12), nn.ReLU(), nn.Linear(12, 8), nn.ReLU(), nn.Linear(8, 4)).to(dtype)


def made(model: nn.Module, **settings: object) -> tuple[pa.TCMP, torch.optim.Optimizer]:
    graph = pa.to_graph(model, X[:1].to(next(model.parameters()).dtype), masks={})
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    given = {"sparsity": 0.8, "steps": 20, "every": 2, "graph": graph, "optimizer": optimizer, **settings}
    return pa.TCMP(model, **given), optimizer


def take(method: pa.TCMP, steps: int, loss: Callable[[nn.Module], torch.Tensor] | None = None) -> None:
    for _ in range(steps):
        method.optimizer.zero_grad()
        own = loss(method.model) if loss else loss_of(method.model)
        (own + method.penalty()).backward()
        method.after_backward()
        method.optimizer.step()
        method.after_step()


def loss_of(model: nn.Module) -> torch.Tensor:
    return nn.functional.cross_entropy(model(X.to(next(model.parameters()).dtype)), Y)


def own_weights(method: pa.TCMP) -> dict[str, torch.Tensor]:
    return method.state_dict()["own"]["own"]


def test_what_the_network_sees() -> None:
    """Weights times psi times what joins, with psi one half where 12 weights are larger."""
    method, _ = made(mlp())
    take(method, 7)
    own = own_weights(method)
    count = method.state_dict()["own"]["counts"][0]
    threshold = kth_largest(list(own.values()), count, magnitude=True)
    sharpness = 4.0 * 25.0 ** ((7 - 2) / 12) / threshold**2
    soft = {name: band_stop(weight, threshold, sharpness) for name, weight in own.items()}
    joins = Supervision(method.graph)({name: psi for name, (_, psi) in soft.items()})

    for name, (weight, _) in soft.items():
        torch.testing.assert_close(method.model.get_parameter(name).detach(), weight * joins[name])


def test_gradients_are_those_of_equation_4() -> None:
    """Float64, against one call of autograd through everything."""
    method, _ = made(mlp(torch.float64), lam=10.0, eta=1.0)
    take(method, 9)
    own = {name: weight.clone().requires_grad_() for name, weight in own_weights(method).items()}
    total = sum(weight.numel() for weight in own.values())
    threshold = kth_largest(list(own.values()), method.state_dict()["own"]["counts"][0], magnitude=True)
    soft = {name: band_stop(w, threshold, 4.0 * 25.0 ** (7 / 12) / threshold**2) for name, w in own.items()}
    psi = {name: each for name, (_, each) in soft.items()}
    joins = Supervision(method.graph)(psi)
    crisp = {name: each + ((each > 0.5).double() - each).detach() for name, each in psi.items()}
    seen = {name: weight * joins[name] for name, (weight, _) in soft.items()}
    wanted = total - round(total * pa.cubic_sparsity(7 / 12, 0.8))
    kept = sum((crisp[name] * joins[name]).sum() for name in psi)
    off = sum((psi[name] * (1 - joins[name])).sum() for name in psi)
    penalty = 10.0 * ((kept - wanted) / total) ** 2 + off / total
    loss = nn.functional.cross_entropy(functional_call(method.model, seen, X.double()), Y)
    expected = torch.autograd.grad(loss + penalty, list(own.values()))
    method.optimizer.zero_grad()
    torch.testing.assert_close(method.penalty(), penalty.detach())
    loss_of(method.model).backward()
    method.after_backward()

    for (name, weight), gradient in zip(own.items(), expected, strict=True):
        torch.testing.assert_close(method.model.get_parameter(name).grad, gradient)
        torch.testing.assert_close(method.model.get_parameter(name).detach(), weight.detach())


def test_without_a_penalty_none_is_added() -> None:
    one, other = (made(mlp(), lam=1e4)[0] for _ in range(2))
    for method in (one, other):
        take(method, 9)
        method.optimizer.zero_grad()
        loss_of(method.model).backward()
    one.penalty()
    for method in (one, other):
        method.after_backward()

    assert (one.model[2].weight.grad != other.model[2].weight.grad).any()


def test_the_gradient_through_the_flags_has_a_factor() -> None:
    """From one state on, the gradients are linear in it."""
    state, before, found = None, {}, []
    for pull in (1.0, 0.0, 0.5):
        method, _ = made(mlp(torch.float64), pull=pull)
        if state is None:
            take(method, 9)
            state, before = method.state_dict(), copy.deepcopy(method.model.state_dict())
        method.load_state_dict(state | {"settings": method.settings})
        method.model.load_state_dict(before)
        method.optimizer.zero_grad()
        loss_of(method.model).backward()
        method.after_backward()
        found.append(torch.cat([layer.weight.grad.flatten() for layer in method.model if isinstance(layer, nn.Linear)]))

    torch.testing.assert_close(found[2], (found[0] + found[1]) / 2)
    assert (found[0] != found[1]).any()


def test_weights_come_back_before_the_end() -> None:
    method, _ = made(mlp(), steps=60, every=1)
    returned, before = 0, torch.ones(8, 12, dtype=torch.bool)
    for _ in range(40):
        take(method, 1)
        now = method.model[2].weight.detach().abs() > 0.01
        returned += int((now & ~before).sum())
        before = now

    assert returned > 0


@pytest.mark.parametrize("scope", ["global", "layer", "erk"])
@pytest.mark.parametrize("seed", range(5))
def test_every_kept_weight_is_on_a_path(scope: str, seed: int) -> None:
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(6, 40), nn.ReLU(), nn.Linear(40, 40), nn.ReLU(), nn.Linear(40, 4))
    method, _ = made(model, sparsity=0.98, scope=scope)
    take(method, 20)
    masks = method.finish()

    assert masks.direct == masks.effective == masks.requested == 2000 - round(0.98 * 2000)


def gcn() -> tuple[nn.Module, torch.Tensor]:
    skeleton = import_module("skeleton")
    return skeleton.SkeletonGCN(6, 4, heads=2, filters=5, classes=3), torch.randn(4, 24)


def case(name: str) -> Callable[[], tuple[nn.Module, torch.Tensor]]:
    return lambda: (CASES[name].model().train(), CASES[name].inputs())


NETWORKS = {"gcn": gcn, "resnet": case("resnet20_a"), "vit": case("vit_class"), "grouped": case("shufflenet_v2")}


@pytest.mark.parametrize("name", NETWORKS)
def test_any_network(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(EXAMPLES)
    torch.manual_seed(0)
    model, x = NETWORKS[name]()
    graph = pa.to_graph(model, x[:1], masks={})
    optimizer = torch.optim.Adam(model.parameters())
    method = pa.TCMP(model, sparsity=0.95, steps=6, every=1, graph=graph, optimizer=optimizer)
    take(method, 6, lambda network: network(x).square().mean())
    masks = method.finish()
    trimmed = pa.to_masks(ng.trim(graph.with_masks({name: mask.numpy() for name, mask in masks.items()})))

    assert masks.direct == masks.effective == masks.requested
    torch.testing.assert_close({name: trimmed[name] for name in masks}, dict(masks))
    assert all(weight.isfinite().all() for weight in model.parameters())


def test_the_example_network_is_its_formula(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every channel of every joint is a unit, so edges are counted for each use: filters x joints, joints x filters."""
    monkeypatch.syspath_prepend(EXAMPLES)
    model, x = gcn()
    graph = pa.to_graph(model, x[:1])
    nodes = x.view(4, 6, 4)
    heads = zip(model.adjacency, model.filters, strict=True)
    block = torch.relu(sum(around @ nodes @ own for around, own in heads) + model.bias)
    default = import_module("skeleton").SkeletonGCN()

    torch.testing.assert_close(model(x), model.dense(block.flatten(1)))
    assert {c.parameter: c.size for c in graph.weighted} == {
        "filters": 6 * 2 * 4 * 5,
        "adjacency": 5 * 2 * 6 * 6,
        "dense.weight": 6 * 5 * 3,
    }
    assert sum(p.numel() for p in default.parameters()) == 14392


def test_a_budget_counts_elements_and_not_their_uses(monkeypatch: pytest.MonkeyPatch) -> None:
    """An element of the filters is used at each joint, one of the adjacency in each filter."""
    monkeypatch.syspath_prepend(EXAMPLES)
    model, x = gcn()
    graph = pa.to_graph(model, x[:1])
    chosen = pa.masks_from_scores(
        pa.random_scores(model, seed=0, graph=graph), sparsity=0.5, target="effective", graph=graph
    )
    trimmed = ng.trim(graph.with_masks({name: mask.numpy() for name, mask in chosen.items()})).masks()

    assert chosen.effective == sum(int(mask.sum()) for mask in trimmed.values()) == chosen.requested


@pytest.mark.parametrize("stop", [1, 6, 15])
def test_resumed_to_the_bit_by_copy_or_by_state(stop: int) -> None:
    whole, _ = made(mlp())
    take(whole, 20)
    begun, _ = made(mlp())
    take(begun, stop)
    copied = copy.deepcopy(begun)
    states = copy.deepcopy([part.state_dict() for part in (begun.model, begun.optimizer, begun)])
    resumed, _ = made(mlp())
    for part, state in zip((resumed.model, resumed.optimizer, resumed), states, strict=True):
        part.load_state_dict(state)

    for method in (copied, resumed):
        take(method, 20 - stop)
        torch.testing.assert_close(dict(method.finish()), dict(whole.finish()))
        torch.testing.assert_close(method.model.state_dict(), whole.model.state_dict(), rtol=0, atol=0)


def test_a_step_without_after_backward_says_so() -> None:
    method, optimizer = made(mlp())
    take(method, 5)
    loss_of(method.model).backward()
    optimizer.step()

    with pytest.raises(RuntimeError, match=r"moved what the network sees; call after_backward\(\) in each step"):
        method.after_step()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"graph": None, "consistent": False}, "TCMP: expected a graph; pass graph=to_graph"),
        ({"begin": 0.8}, "TCMP: expected 0 <= begin < end <= 1, got 0.8 and 0.7"),
        ({"every": 0}, "TCMP: every: expected at least 1 step, got 0"),
        ({"soft": 200.0}, "TCMP: expected 0 < soft <= crisp, got 200.0 and 100.0"),
        ({"eta": -1.0}, "TCMP: lam, eta and pull: expected at least 0, got 10.0, -1.0 and 1.0"),
    ],
)
def test_bad_settings(settings: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        made(mlp(), **settings)
