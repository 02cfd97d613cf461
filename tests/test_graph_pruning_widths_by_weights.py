"""Widths by magnitude and what an agent is told of them, on small networks."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import nn

from networks.residual import resnet20
from prune_adapters.graph_pruning.layers.layer_graph import layer_graph
from prune_adapters.graph_pruning.search.candidate import Evaluation
from prune_adapters.graph_pruning.search.drawn import random_search
from prune_adapters.graph_pruning.search.magnitude import l1_widths
from prune_adapters.graph_pruning.search.states import aggregated_state, plain_state
from prune_adapters.graph_pruning.space.budget import WidthBudget
from prune_adapters.graph_pruning.space.finding import width_space
from prune_adapters.graph_pruning.space.space import WidthSpace


def perceptron(*sizes: int) -> nn.Sequential:
    layers = [nn.Linear(a, b) for a, b in pairwise(sizes)]
    return nn.Sequential(*layers)


def space_of(*sizes: int, divisor: int = 1) -> WidthSpace:
    torch.manual_seed(0)
    return width_space(perceptron(*sizes), torch.ones(1, sizes[0]), divisor=divisor)


def test_magnitudes_are_compared_within_a_layer_and_over_all_of_them() -> None:
    space = space_of(2, 4, 4, 1)
    model = perceptron(2, 4, 4, 1)
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor([8.0, 8.0, 2.0, 2.0])[:, None].expand(4, 2))  # 1.6 1.6 0.4 0.4 of the mean
        model[1].weight.copy_(torch.tensor([0.3, 0.1, 0.3, 0.1])[:, None].expand(4, 4))  # 1.5 0.5 1.5 0.5

    by_hand = {28: (4, 4), 27: (2, 4), 16: (2, 4), 15: (2, 2), 10: (2, 2), 9: (2, 1), 7: (2, 1), 6: (1, 1)}
    assert {n: l1_widths(model, WidthBudget(space, space.macs, n, lowest=0.25)) for n in by_hand} == by_hand


@pytest.mark.parametrize("divisor", [1, 4])
def test_magnitude_comes_near_the_budget_and_never_above(divisor: int) -> None:
    torch.manual_seed(0)
    space = width_space(resnet20(), torch.ones(1, 3, 16, 16), divisor=divisor)
    for share in (0.1, 0.3, 0.7):
        budget = WidthBudget(space, space.macs, share * space.macs(space.full))
        counts = l1_widths(space.model, budget)

        assert budget.fits(counts)
        assert all(low <= count for low, count in zip(budget.smallest, counts, strict=True))
        assert space.macs(counts) > 0.75 * budget.limit


def test_a_block_that_is_zero_goes_first() -> None:
    space = space_of(3, 10, 10, 10, 2)
    model = perceptron(3, 10, 10, 10, 2)
    with torch.no_grad():
        model[1].weight[3:] = 0

    assert l1_widths(model, WidthBudget(space, space.macs, 0.5 * space.macs(space.full)))[1] == 3


def test_a_model_of_another_shape_is_refused() -> None:
    space = space_of(3, 8, 2)
    budget = WidthBudget(space, space.macs, 20)

    with pytest.raises(
        ValueError, match=r"model: expected parameter '0.weight' of shape \(8, 3\) .* got \(7, 3\); make"
    ):
        l1_widths(perceptron(3, 7, 2), budget)
    with pytest.raises(ValueError, match=r"expected parameter '1.weight' .* got none"):
        l1_widths(nn.Sequential(nn.Linear(3, 8)), budget)


def test_a_real_space_is_searched_within_its_budget() -> None:
    space = space_of(3, 12, 9, 12, 2, divisor=3)
    budget = WidthBudget(space, space.parameters, 0.5 * space.parameters(space.full))
    found = random_search(lambda counts: Evaluation(1 / sum(counts), 0.5), budget, evaluations=30, progress=False)

    assert all(space.parameters(counts) <= budget.limit for counts, _ in found.history)
    assert all(count % 3 == 0 for counts, _ in found.history for count in counts)


def test_hand_made_features_follow_the_counts() -> None:
    graph = layer_graph(space_of(3, 8, 6, 4, 2))
    whole, narrow = (plain_state(graph)(counts) for counts in ((8, 6, 4), (4, 3, 4)))

    np.testing.assert_array_equal(whole[:, :6], narrow[:, :6])
    np.testing.assert_array_equal(narrow[:, 6:], [[0.5, 1], [0.5, 0.5], [1, 0.5]])


def test_aggregated_features_are_those_of_the_layers_that_write_a_width() -> None:
    torch.manual_seed(0)
    graph = layer_graph(width_space(resnet20(), torch.ones(1, 3, 16, 16)))

    class Net:
        def __init__(self) -> None:
            self.graph = graph

        def aggregated(self, counts: tuple[int, ...]) -> torch.Tensor:
            nodes = torch.arange(len(graph.nodes), dtype=torch.float32)
            return torch.stack([nodes, torch.full_like(nodes, sum(counts) / sum(graph.space.full))], dim=1)

    state = aggregated_state(Net())
    whole, none = state(graph.space.full), state(tuple(1 for _ in graph.space.full))
    places = [np.mean([n for n, w in enumerate(graph.outputs) if w == width]) for width in range(len(whole))]

    np.testing.assert_allclose(whole[:, 0], (places - np.mean(places)) / np.std(places), atol=1e-6)
    assert 1 < whole[0, 1] < 2
    assert -2 < none[0, 1] < -1
