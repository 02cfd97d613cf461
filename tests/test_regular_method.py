"""Regular graph pruning in one call: the degree, the counts and the errors."""

from itertools import pairwise

import pytest
import torch
from torch import nn

import netgraph as ng
import prune_adapters as pa
from networks import CASES, ResNet
from networks.residual import BasicBlock
from prune_adapters.regular import method


def mlp(*widths: int) -> nn.Sequential:
    return nn.Sequential(*(nn.Linear(a, b) for a, b in pairwise(widths)))


def prune(*widths: int, **options: object) -> pa.RegularPruning:
    return pa.regular_prune(mlp(*widths), torch.ones(1, widths[0]), **{"steps": 2000, **options})


@pytest.mark.parametrize(
    ("options", "n_nodes", "degree", "kept"),
    [
        ({"sparsity": 0.9375}, 64, 4, 4 / 64),
        ({"sparsity": 0.9}, 64, 6, 6 / 64),
        ({"sparsity": 0.9, "self_loops": True}, 64, 5, 6 / 64),
        ({"sparsity": 0.9, "share_neighbours": 4}, 16, 6, 6 / 64),
        ({"sparsity": 0.9, "n_nodes": 16}, 16, 2, 2 / 16),
        ({"degree": 8, "n_nodes": 32}, 32, 8, 8 / 32),
    ],
)
def test_what_is_asked_for_becomes_a_degree_and_an_exact_count(options, n_nodes, degree, kept):
    pruning = prune(3, 64, 128, 3, **options)

    assert (pruning.graph.n_nodes, pruning.degree) == (n_nodes, degree)
    assert (pruning.graph.degrees == degree).all()
    assert pruning.by_layer() == {"1.weight": (kept * 64 * 128, 64 * 128)}
    assert pruning.density == kept
    assert pruning.requested == options.get("sparsity", 1 - kept)


def test_an_odd_number_of_nodes_has_even_degrees():
    assert prune(3, 15, 15, 3, sparsity=0.65, n_nodes=15).degree == 6  # 5.25 is nearer to 6 than to 4


@pytest.mark.parametrize(("width", "n_nodes"), [(300, 64), (63, 32), (16, 16), (2, 2)])
def test_the_nodes_are_the_largest_power_of_two_that_fits(width, n_nodes):
    degree = min(2, n_nodes - 1)

    assert prune(3, width, 400, 3, degree=degree).graph.n_nodes == n_nodes


def test_masks_are_those_of_the_graph():
    model, x = mlp(3, 32, 50, 32, 3), torch.ones(1, 3)
    pruning = pa.regular_prune(model, x, degree=5, n_nodes=16, self_loops=True, steps=2000)
    expected = pa.regular_masks(model, x, pruning.graph, self_loops=True)

    torch.testing.assert_close(pruning.masks, expected)


def test_the_graph_is_searched():
    best, found = prune(3, 64, 64, 3, degree=4, steps=0), prune(3, 64, 64, 3, degree=4, steps=20_000)

    assert found.bound <= found.path_length < best.path_length
    assert found.path_length == ng.average_shortest_path_length(found.graph)
    assert found.gap == pytest.approx(found.path_length / ng.aspl_lower_bound(64, 4) - 1)


def test_without_a_budget_there_are_so_many_steps(monkeypatch):
    monkeypatch.setattr(method, "STEPS", 20)
    default, same, longer = (prune(3, 64, 64, 3, degree=4, steps=steps).graph for steps in (None, 20, 20_000))

    assert default == same != longer


def test_the_same_seed_gives_the_same_graph():
    one, same, other = (prune(3, 64, 64, 3, degree=4, seed=seed).graph for seed in (0, 0, 1))

    assert one == same != other


@pytest.mark.parametrize("degree", [2, 15])
def test_where_one_graph_exists_nothing_is_searched(degree):
    assert prune(3, 16, 16, 3, degree=degree, seconds=1000.0, steps=None).degree == degree


def test_residual_network():
    """The counts are those of the paper's rule, the first convolution and the last layer left out."""
    case = CASES["resnet20_b"]
    model, example = case.model(), case.inputs()
    pruning = pa.regular_prune(model, example, degree=2, n_nodes=4, macs=True)
    effective = ng.trim(pa.to_graph(model, example, masks=pruning.masks))
    rows = pruning.macs.by_layer()

    assert all(2 * kept == total for kept, total in pruning.by_layer().values())
    assert all(2 * kept == total for name, (total, kept) in rows.items() if f"{name}.weight" in pruning.masks)
    assert pa.to_masks(effective).keys() >= pruning.masks.keys()


@pytest.mark.parametrize(
    ("model", "degree", "n_nodes", "weights", "macs"),
    [
        (ResNet(BasicBlock, (2, 2, 2, 2), width=64, stem="cifar"), 4, 64, (11.164, 0.704), (555.4, 36.4)),
        (ResNet(BasicBlock, (9, 9, 9), width=16, stem="cifar", option="A"), 8, 16, (0.849, 0.425), (125.5, 63.0)),
    ],
    ids=["ResNet-18", "ResNet-56"],
)
def test_the_counts_of_the_paper(model, degree, n_nodes, weights, macs):
    """In millions, the first convolution and the last layer dense: worked out by hand from the paper's networks."""
    pruning = pa.regular_prune(model, torch.ones(1, 3, 32, 32), degree=degree, steps=0, macs=True)
    dense = sum(p.numel() for p in model.parameters() if p.dim() > 1)

    assert pruning.graph.n_nodes == n_nodes
    assert (dense / 1e6, (dense - pruning.total + pruning.kept) / 1e6) == pytest.approx(weights, abs=6e-4)
    assert (pruning.macs.macs / 1e6, pruning.macs.kept / 1e6) == pytest.approx(macs, abs=0.06)


def test_the_summary():
    text = str(prune(3, 64, 64, 3, sparsity=0.9, steps=8000, macs=True)).splitlines()

    assert text == [
        "6-regular graph of 64 nodes: mean path length 2.3333 hops, 0.00% above the bound",
        "384 of 4096 weights kept in 1 masked layer: sparsity 0.9062, requested 0.9000",
        "768 of 4480 multiply-adds kept, dense layers included",
    ]


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"degree": 16}, ng.InfeasibleDegreeError, "16 nodes of degree 16: expected a degree from 2 to 15"),
        ({"degree": 1}, ng.InfeasibleDegreeError, "16 nodes of degree 1: expected a degree from 2 to 15"),
        (
            {"degree": 3, "n_nodes": 15},
            ng.InfeasibleDegreeError,
            "15 nodes of degree 3: expected an even degree from 2",
        ),
        ({"sparsity": 0.99}, ng.InfeasibleDegreeError, r"0.99: 16 nodes of degree 0.16 .* 2 to 15, .* to 0.8750"),
        ({"sparsity": 0.92}, ng.InfeasibleDegreeError, "sparsity 0.92: 16 nodes of degree 1.28 would"),
        ({"sparsity": 0.0}, ng.InfeasibleDegreeError, "sparsity 0.0: 16 nodes of degree 16 would"),
        ({"degree": 4, "n_nodes": 32}, ng.ChannelsBelowNodesError, "'1.weight': 16 channels for 32 nodes"),
        ({"degree": 4, "dense": "x"}, pa.MaskError, "'x'"),
        ({}, ValueError, "sparsity, degree: expected one of them"),
        ({"degree": 4, "sparsity": 0.5}, ValueError, "sparsity, degree: expected one of them"),
        ({"sparsity": 1.5}, ValueError, r"sparsity: expected a fraction in \[0, 1\], got 1.5"),
        ({"degree": 1, "n_nodes": 1}, ValueError, "n_nodes: expected at least 2, got 1"),
        ({"degree": 4, "share_neighbours": 0}, ValueError, "share_neighbours: expected at least 1, got 0"),
        ({"degree": 4, "seconds": 1.0}, ValueError, "steps, seconds: expected one of them"),
        ({"degree": 4, "steps": -1}, ValueError, "steps=0 for no search, got -1"),
        ({"degree": 4, "dense": ["0.weight", "1.weight", "2.weight"]}, ValueError, "no linear layer or convolution"),
    ],
)
def test_bad_input(options, error, message):
    with pytest.raises(error, match=message):
        prune(3, 16, 32, 3, **options)


def test_a_layer_too_narrow_for_any_graph_is_named():
    with pytest.raises(ng.ChannelsBelowNodesError, match=r"'1.weight': 1 channels for 2 nodes"):
        prune(3, 1, 32, 3, degree=1)
