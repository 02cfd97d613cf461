"""Sweeps over tensors equal `netgraph.sweep`: by the host's kernels and by operators, on every kind of graph."""

import numpy as np
import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

import netgraph as ng
import prune_adapters as pa
from networks import CASES
from prune_adapters.sweeps import TensorSweep, consistent_elements, sweep_on_device
from prune_adapters.sweeps.sweep import masks_by_operators, sweep_by_operators
from random_graphs import random_graph

WAYS = [sweep_on_device, sweep_by_operators]
FIELDS = ("accessible", "nonzero", "co_accessible", "consistent")


def assert_same(found: TensorSweep, expected: ng.Sweep) -> None:
    for field in FIELDS:
        torch.testing.assert_close(getattr(found, field), torch.from_numpy(getattr(expected, field)))


def random_weights(graph: ng.NetGraph, seed: int, dtype: torch.dtype, share: float = 1.0) -> dict[str, torch.Tensor]:
    """Return values for some of the parameters, most of them 0 and some -0.0."""
    rng = np.random.default_rng(seed)
    weights = {}
    for name in graph.edge_parameters:
        if rng.random() < share:
            size = graph.parameters[name].shape
            values = rng.choice([0.0, -0.0, -2.0, 0.5], size, p=[0.6, 0.3, 0.05, 0.05])
            weights[name] = torch.from_numpy(values).to(dtype)
    return weights


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16, torch.bool], ids=str)
@pytest.mark.parametrize("cyclic", [False, True])
def test_random_graphs(dtype: torch.dtype, cyclic: bool) -> None:
    for seed in range(10):
        graph = random_graph(seed, cyclic=cyclic)
        weights = random_weights(graph, seed, dtype, share=0.8)
        if not weights:
            continue
        kept = ng.with_weights(graph, {name: weight.double().numpy() for name, weight in weights.items()})

        for sweep in WAYS:
            assert_same(sweep(graph, weights), ng.sweep(kept))
        masks = {name: torch.from_numpy(mask) for name, mask in ng.trim(kept).masks().items()}
        torch.testing.assert_close(consistent_elements(graph, weights), masks)
        torch.testing.assert_close(masks_by_operators(graph, weights), masks)


@pytest.mark.parametrize("name", CASES)
def test_every_network(name: str) -> None:
    case = CASES[name]
    model = case.model(seed=0)
    graph = pa.to_graph(model, case.inputs(), masks={})
    generator = torch.Generator().manual_seed(1)
    weights = {
        name: parameter.detach() * (torch.rand(parameter.shape, generator=generator) < 0.1)
        for name, parameter in model.named_parameters()
        if name in graph.edge_parameters
    }
    expected = ng.sweep(ng.with_weights(graph, {name: weight.numpy() for name, weight in weights.items()}))

    for sweep in WAYS:
        assert_same(sweep(graph, weights), expected)


def test_weights_are_read_where_they_are() -> None:
    graph = ng.from_biadjacency([np.ones((3, 2)), np.ones((1, 3))])
    weights = {"weight1": torch.eye(3, 2), "weight2": torch.ones(1, 3)}
    first = sweep_by_operators(graph, weights)
    weights["weight1"].zero_()
    second = sweep_by_operators(graph, weights)

    assert (first.consistent.tolist(), second.consistent.tolist()) == ([2, 2], [0, 0])


def test_weights_with_gaps_between_them() -> None:
    for seed in range(5):
        graph = random_graph(seed)
        weights = random_weights(graph, seed, torch.float32)
        apart = {name: torch.stack([weight, torch.ones_like(weight)], -1)[..., 0] for name, weight in weights.items()}

        for sweep in WAYS:
            assert_same(
                sweep(graph, apart), ng.sweep(ng.with_weights(graph, {n: w.numpy() for n, w in weights.items()}))
            )


def test_a_graph_with_other_bits_or_gates_is_swept_anew() -> None:
    graph = ng.from_biadjacency([np.ones((3, 2)), np.ones((1, 3))])
    weights = {"weight2": torch.ones(1, 3)}
    other = graph.with_masks({"weight1": np.eye(3, 2, dtype=bool)})

    for one in (graph, other, graph):
        assert_same(sweep_by_operators(one, weights), ng.sweep(one))


def test_the_host_waits_for_no_value() -> None:
    """Fake tensors have none: whoever asks for one fails."""
    graph = random_graph(3)
    weights = random_weights(graph, 3, torch.float32)
    with FakeTensorMode(allow_non_fake_inputs=True) as mode:
        fake = {name: mode.from_tensor(weight) for name, weight in weights.items()}
        found = sweep_by_operators(graph, fake)
        masks = masks_by_operators(graph, fake)
    graph.__dict__.pop("_uploaded")

    assert found.accessible.shape == (graph.n_units,)
    assert found.consistent.shape == (len(graph.weighted),)
    assert {name: tuple(mask.shape) for name, mask in masks.items()} == {
        name: graph.parameters[name].shape for name in graph.edge_parameters
    }


def test_nan_is_an_error_where_it_can_be_seen() -> None:
    graph = ng.from_biadjacency([np.ones((1, 2))])
    weights = {"weight1": torch.tensor([[0.0, float("nan")]])}

    with pytest.raises(ng.WeightValueError, match="element 1 is NaN"):
        sweep_on_device(graph, weights)
    assert sweep_by_operators(graph, weights).consistent.tolist() == [1]


@pytest.mark.parametrize("sweep", WAYS)
@pytest.mark.parametrize(
    ("weights", "error", "message"),
    [
        ({}, ValueError, "expected tensors on one device, got no weights"),
        (
            {"weight1": torch.ones(3, 2), "weight2": torch.ones(1, 3, device="meta")},
            ValueError,
            "expected tensors on one device, got cpu, meta",
        ),
        ({"weight3": torch.ones(3, 2)}, KeyError, "no such parameter; the graph has"),
        ({"weight1": torch.ones(2, 3)}, ValueError, r"expected shape \(3, 2\), got \(2, 3\)"),
    ],
)
def test_errors(sweep, weights: dict[str, torch.Tensor], error: type[Exception], message: str) -> None:
    graph = ng.from_biadjacency([np.ones((3, 2)), np.ones((1, 3))])

    with pytest.raises(error, match=message):
        sweep(graph, weights)
