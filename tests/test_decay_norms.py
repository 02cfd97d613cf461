"""Selective weight decay with norms: the scales of what a removal takes off every path decay with it."""

import copy

import pytest
import torch
from torch import nn
from torch.testing import assert_close

import prune_adapters as pa
from decay_cases import MU, UNHEALTHY, added, sgd
from networks import ResNet
from networks.residual import BasicBlock
from prune_adapters.methods.decay.gates import open_gates
from prune_adapters.methods.decay.weights import below


def network(seed: int = 0) -> nn.Sequential:
    """Return layers with batch norms and without functions, so that what a scale does can be told apart."""
    torch.manual_seed(seed)
    model = nn.Sequential(
        *(nn.Conv2d(3, 6, 3, bias=False), nn.BatchNorm2d(6)),
        *(nn.Conv2d(6, 8, 3, groups=2, bias=False), nn.BatchNorm2d(8)),
        *(nn.Flatten(), nn.Linear(32, 5)),
    )
    for norm in (model[1], model[3]):
        for tensor in (norm.weight, norm.bias, norm.running_mean):
            nn.init.uniform_(tensor, 0.5, 1.0)
    return model


def make(model: nn.Module, example: torch.Tensor, **options: object) -> pa.SelectiveWeightDecay:
    given = {"sparsity": 0.9, "steps": 10, "optimizer": sgd(model), "a_max": 100.0, "norms": True} | options
    return pa.SelectiveWeightDecay(model, graph=pa.to_graph(model, example), **given)


@pytest.mark.parametrize("seed", range(4))
def test_a_scale_is_open_if_and_only_if_it_changes_what_the_input_does(seed):
    model, x = network(seed).eval().double(), torch.randn(2, 3, 6, 6, dtype=torch.float64)
    graph = pa.to_graph(model, x)
    masks = pa.masks_from_scores(pa.random_scores(model, graph=graph, seed=seed), sparsity=0.94)
    pa.apply_masks(model, masks)
    found = open_gates(graph, masks)

    assert {name: mask.numel() for name, mask in found.items()} == {"1.weight": 6, "3.weight": 8}
    assert 0 < sum(int(mask.sum()) for mask in found.values()) < 14
    for name, mask in found.items():
        scale = model.get_parameter(name)
        between = model(x[:1]) - model(x[1:])
        slopes = torch.stack([torch.autograd.grad(out, scale, retain_graph=True)[0] for out in between.reshape(-1)])
        assert mask.tolist() == (slopes != 0).any(dim=0).tolist()


def test_a_scale_of_a_whole_layer_is_open_while_any_unit_is_on_a_path():
    class Scaled(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.last = nn.Linear(2, 2), nn.Linear(2, 1)
            self.scale = nn.Parameter(torch.ones(1))

        def forward(self, x):
            return self.last(self.first(x) * self.scale)

    graph = pa.to_graph(Scaled(), torch.ones(1, 2))
    one, none = torch.tensor([[False, True], [False, False]]), torch.zeros(2, 2, dtype=torch.bool)

    assert open_gates(graph, {"first.weight": one})["scale"].tolist() == [True]
    assert open_gates(graph, {"first.weight": none})["scale"].tolist() == [False]


@pytest.mark.parametrize("term", ["gradient", "loss"])
@pytest.mark.parametrize("options", [{}, {"consistent": True}, {"scope": "layer"}])
def test_the_term_acts_on_the_closed_scales_and_on_weights_as_without(options, term):
    torch.manual_seed(0)
    model, x = ResNet(BasicBlock, (1, 1), width=4, stem="cifar"), torch.ones(1, 3, 6, 6)
    method, plain = (make(model, x, norms=norms, term=term, sparsity=0.97, **options) for norms in (True, False))
    gradients, before = added(method), added(plain)
    masks = plain._kept or plain._above()
    closed = {name: ~mask for name, mask in open_gates(method.graph, masks).items()}

    assert any(mask.any() for mask in closed.values())
    for name, weight in model.named_parameters():
        extra = MU * method.strength * weight.detach() * closed[name] if name in closed else 0.0
        assert_close(gradients[name], before[name] + extra)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_the_graph_sees_as_kept_what_the_term_leaves_alone(dtype):
    model = network()
    model[2].to(dtype)
    method = make(model, torch.ones(1, 3, 6, 6), optimizer=None, weight_decay=MU, norms=False)
    method._select()

    for name, mask in method._above().items():
        weight = model.get_parameter(name).detach()
        assert_close(below(weight, method._bounds[name]), weight * ~mask)


def test_with_adam_closed_scales_shrink_after_the_step():
    model = network()
    own = torch.optim.AdamW(model.parameters(), lr=0.1, weight_decay=MU)
    method = make(model, torch.ones(1, 3, 6, 6), optimizer=own, a_min=1e9, a_max=1e9)
    scales = {name: model.get_parameter(name).detach().clone() for name in ("1.weight", "3.weight")}
    method.after_step()
    open_ = open_gates(method.graph, method._above())

    assert any(not mask.all() for mask in open_.values())
    for name, before in scales.items():
        assert_close(model.get_parameter(name).detach(), before * open_[name])


def test_a_decay_that_a_batch_norm_undoes_is_felt_in_the_removal_and_one_of_its_scale_is_not():
    assert removal(norms=True) < 0.05 < 0.5 < removal(norms=False)


def removal(norms: bool) -> float:
    """Return how much of the output of a network goes with a filter that decay alone has acted on."""
    torch.manual_seed(0)
    model, x = nn.Sequential(nn.Linear(2, 2, bias=False), nn.BatchNorm1d(2), nn.Linear(2, 1)), torch.randn(32, 2)
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor([[2.0, 1.0], [0.5, -0.5]]))
        model[2].weight.fill_(1.0)
    own = sgd(model)
    most = pa.suggest_a_max([0.1], weight_decay=MU, steps=100, shrink=-2.0, momentum=0.9)
    method = make(model, x, steps=100, optimizer=own, sparsity=0.5, parameters=["0.weight"], a_max=most, norms=norms)
    for _ in range(100):
        own.zero_grad()
        (0.0 * model(x)).sum().backward()
        method.after_backward()
        own.step()
        method.after_step()
    before = model(x).detach()
    assert method.shrinkage < 0.01
    assert method.finish()["0.weight"].tolist() == [[True, True], [False, False]]
    return float((model(x).detach() - before).norm() / (before - before.mean()).norm())


@pytest.mark.filterwarnings(UNHEALTHY)
@pytest.mark.parametrize("options", [{}, {"consistent": True}])
def test_a_resumed_run_is_an_uninterrupted_one(tmp_path, options):
    x = torch.randn(16, 3, 6, 6, generator=torch.Generator().manual_seed(0))
    runs = {name: network() for name in ("whole", "part", "other")}
    own = {name: sgd(model) for name, model in runs.items()}
    methods = {name: make(model, x[:1], optimizer=own[name], refresh=3, **options) for name, model in runs.items()}
    train(methods["whole"], x, 10)
    train(methods["part"], x, 4)
    runs["other"].load_state_dict(runs["part"].state_dict())
    own["other"].load_state_dict(own["part"].state_dict())
    pa.save_method(tmp_path / "method", methods["part"])
    pa.load_method(tmp_path / "method", methods["other"])
    train(methods["other"], x, 6)

    assert_close(runs["other"].state_dict(), runs["whole"].state_dict(), rtol=0, atol=0)
    assert_close(dict(methods["other"].finish()), dict(methods["whole"].finish()))


def train(method: pa.Method, x: torch.Tensor, steps: int) -> None:
    for _ in range(steps):
        method.optimizer.zero_grad()
        (nn.functional.cross_entropy(method.model(x), torch.arange(len(x)) % 5) + method.penalty()).backward()
        method.after_backward()
        method.optimizer.step()
        method.after_step()


@pytest.mark.filterwarnings(UNHEALTHY)
def test_a_deep_copy_acts_on_its_own_model():
    model = network()
    twin, method = copy.deepcopy((model, make(model, torch.ones(1, 3, 6, 6))))
    before = model[1].weight.detach().clone()
    train(method, torch.randn(8, 3, 6, 6), 2)

    assert twin is method.model
    assert_close(model[1].weight.detach(), before, rtol=0, atol=0)


def test_norms_need_a_graph_and_a_weight_decay():
    with pytest.raises(ValueError, match=r"norms=True: expected a graph; pass graph=to_graph\(model, example_inputs\)"):
        pa.SelectiveWeightDecay(network(), sparsity=0.5, steps=10, weight_decay=MU, norms=True)


def test_scales_that_compete_themselves_are_removed_by_their_magnitude():
    model, names = network(), ["0.weight", "1.weight"]
    with_, without = (
        added(make(model, torch.ones(1, 3, 6, 6), parameters=names, norms=norms)) for norms in (True, False)
    )

    assert_close(with_["1.weight"], without["1.weight"], rtol=0, atol=0)


def test_without_norms_in_the_network_nothing_changes():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 2))
    with_, without = (added(make(model, torch.ones(1, 4), norms=norms, sparsity=0.6)) for norms in (True, False))

    assert_close(with_, without, rtol=0, atol=0)
