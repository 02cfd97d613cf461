"""Weights that are sums and products of parameters: an edge for each element, as autograd says."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations

import netgraph as ng
import prune_adapters as pa
from agreement import check_against_gradients
from networks import edge_names
from networks.derived import Adapted, AdaptedFromTheLeft, Factored

NETWORKS = {
    "adapted": (Adapted, torch.ones(2, 4)),
    "factored": (Factored, torch.ones(2, 4)),
    "from_the_left": (AdaptedFromTheLeft, torch.ones(2, 3, 4)),
}


@pytest.mark.parametrize("follow", [None, "example"])
@pytest.mark.parametrize("name", NETWORKS)
def test_kept_elements_are_those_with_a_gradient(name, follow):
    build, inputs = NETWORKS[name]
    torch.manual_seed(0)
    model = build().eval()
    graph = pa.to_graph(model, inputs, masks={}, follow=follow, unit_dims={"input" if follow else "x": -1})

    assert set(graph.edge_parameters) == set(edge_names(model))
    check_against_gradients(model, inputs, graph, densities=(0.7, 0.5))


def test_a_low_rank_adapter_has_a_unit_for_each_rank():
    graph = pa.to_graph(Adapted(rank=2), torch.zeros(1, 4))

    assert dict(graph.layers) == {"x": 4, "first": 5, "base": 6, "down": 2, "up": 6, "linear": 6, "out": 3}


class Softened(nn.Linear):
    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight.softmax(1))


@pytest.mark.parametrize("build", [lambda: Softened(4, 5), lambda: parametrizations.orthogonal(nn.Linear(4, 5))])
def test_any_other_computed_weight_joins_everything_and_says_so(build):
    graph = pa.to_graph(build(), torch.zeros(1, 4))

    assert graph.edge_parameters == ()
    assert any("its weights are computed from" in note for note in graph.notes)
    assert ng.co_accessible(graph).all()


@pytest.mark.parametrize("wrap", [parametrizations.weight_norm, parametrizations.spectral_norm])
def test_normed_weights_are_edges(wrap):
    model = nn.Sequential(wrap(nn.Linear(4, 5)), nn.ReLU(), wrap(nn.Linear(5, 3)))
    graph = pa.to_graph(model, torch.zeros(1, 4))

    assert sum(c.size for c in graph.weighted) == 4 * 5 + 5 * 3


def test_a_convolution_with_a_computed_kernel_joins_everything_and_says_so():
    class Standardized(nn.Conv2d):
        def forward(self, x: Tensor) -> Tensor:
            return F.conv2d(x, self.weight - self.weight.mean((1, 2, 3), keepdim=True))

    graph = pa.to_graph(Standardized(2, 3, 3), torch.zeros(1, 2, 5, 5))

    assert graph.edge_parameters == ()
    assert any("computed from weight, which get no edges" in note for note in graph.notes)
