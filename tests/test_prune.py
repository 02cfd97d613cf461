"""One call from a model to masks, and masks whose kept weights are all consistent, at the exact number."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

import netgraph as ng
import prune_adapters as pa
from chains import chain
from networks import CASES

SCOPES = ["global", "layer", "erk", "igq"]
VARIED = ["mlp", "lenet", "resnet20_a", "se_resnet", "shufflenet_v2", "densenet", "vit_mean", "torch_vit"]
VARIED += ["raw_matmul", "chunked_projection", "tied_embedding", "shared_module", "glu", "product", "einsum"]


def uniform_scores(graph: ng.NetGraph, seed: int) -> dict[str, torch.Tensor]:
    draw = np.random.default_rng(seed)
    return {name: torch.from_numpy(draw.random(info.shape)) for name, info in graph.parameters.items()}


def consistent(graph: ng.NetGraph, masks: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return the masks that are left of `masks` after trimming."""
    trimmed = pa.to_masks(ng.trim(graph.with_masks({name: mask.numpy() for name, mask in masks.items()})))
    return {name: trimmed[name] for name in masks}


def kept(masks: dict[str, torch.Tensor]) -> int:
    return sum(int(mask.sum()) for mask in masks.values())


def flat(tensors: dict[str, torch.Tensor]) -> torch.Tensor:
    return torch.cat([tensor.reshape(-1) for tensor in tensors.values()])


def small_model() -> nn.Sequential:
    """Two inputs, two hidden units, one output; the strongest weights lead to the weakest one."""
    model = nn.Sequential(nn.Linear(2, 2, bias=False), nn.ReLU(), nn.Linear(2, 1, bias=False))
    model[0].weight.data.copy_(torch.tensor([[5.0, 4.0], [3.0, 2.0]]))
    model[2].weight.data.copy_(torch.tensor([[0.1, 1.0]]))
    return model


def test_drawn_model() -> None:
    """With 3 of 6 weights the second unit keeps both inputs; with 2 it keeps the stronger one."""
    model, x = small_model(), torch.ones(1, 2)
    three, two = (pa.prune(model, x, sparsity=1 - count / 6) for count in (3, 2))
    direct = pa.prune(model, x, sparsity=0.5, consistent=False)

    assert flat(three).tolist() == [0, 0, 1, 1, 0, 1]
    assert flat(two).tolist() == [0, 0, 1, 0, 0, 1]
    assert flat(direct).tolist() == [1, 1, 1, 0, 0, 0]
    assert (direct.requested, direct.direct, direct.effective) == (3, 3, 0)


def test_the_model_is_not_changed() -> None:
    model = CASES["resnet20_a"].model().train()
    before = copy.deepcopy(model.state_dict())
    pa.prune(model, CASES["resnet20_a"].inputs(), sparsity=0.9)

    torch.testing.assert_close(model.state_dict(), before, rtol=0, atol=0)
    assert model.training
    assert pa.remembered_masks(model) == {}


@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize("seed", range(5))
def test_every_kept_weight_is_consistent_and_the_number_is_exact(scope: str, seed: int) -> None:
    graph = chain([12, 10, 10, 4])
    scores = uniform_scores(graph, seed)
    for sparsity in (0.0, 0.3, 0.7, 0.9):
        masks = pa.consistent_masks(scores, graph, sparsity=sparsity, scope=scope)

        torch.testing.assert_close(consistent(graph, masks), dict(masks))
        assert masks.direct == masks.effective == masks.achieved == masks.requested == 260 - round(sparsity * 260)
        assert masks.note is None


@pytest.mark.parametrize("name", VARIED)
@pytest.mark.parametrize("method", ["magnitude", "random"])
def test_consistent_on_every_kind_of_network(name: str, method: str) -> None:
    model, inputs = CASES[name].model(), CASES[name].inputs()
    for sparsity in (0.5, 0.9):
        masks = pa.prune(model, inputs, sparsity=sparsity, method=method)
        graph = pa.to_graph(model, inputs, masks=masks)

        torch.testing.assert_close(consistent(graph, masks), dict(masks))
        assert masks.direct == masks.effective == masks.requested
        assert masks.total == sum(model.get_parameter(scored).numel() for scored in masks)


@pytest.mark.parametrize("seed", range(5))
def test_the_effective_target_gives_the_trimmed_set(seed: int) -> None:
    graph = chain([9, 8, 8, 3])
    scores = uniform_scores(graph, seed)
    prefix = pa.masks_from_scores(scores, sparsity=0.8, target="effective", graph=graph)
    trimmed = pa.consistent_masks(scores, graph, sparsity=0.8, target="effective")
    filled = pa.consistent_masks(scores, graph, sparsity=0.8)

    torch.testing.assert_close(dict(trimmed), consistent(graph, prefix))
    assert trimmed.achieved == trimmed.direct == prefix.achieved <= trimmed.requested == filled.achieved
    assert all((filled[name] | ~mask).all() for name, mask in trimmed.items())


def test_the_places_left_go_to_the_best_that_can_be_added() -> None:
    """Of all weights that would add exactly themselves, one at a time, the best have been taken."""
    graph = chain([6, 5, 3])
    filled_some = 0
    for seed in range(40):
        scores = uniform_scores(graph, seed)
        trimmed = pa.consistent_masks(scores, graph, sparsity=0.7, target="effective")
        filled = pa.consistent_masks(scores, graph, sparsity=0.7)
        flat_trimmed, flat_filled, flat_score = flat(trimmed), flat(filled), flat(scores)
        fits = []
        for place in torch.nonzero(~flat_trimmed).reshape(-1).tolist():
            more = flat_trimmed.clone()
            more[place] = True
            parts = more.split([mask.numel() for mask in trimmed.values()])
            masks = {n: part.reshape(m.shape) for (n, m), part in zip(trimmed.items(), parts, strict=True)}
            if kept(consistent(graph, masks)) == trimmed.direct + 1:
                fits.append(place)
        best = sorted(fits, key=lambda place: -flat_score[place])[: filled.direct - trimmed.direct]
        filled_some += len(best) > 0

        assert set(torch.nonzero(flat_filled & ~flat_trimmed).reshape(-1).tolist()) == set(best)
    assert filled_some > 5


def test_equal_scores_keep_the_earlier() -> None:
    """A hidden unit takes 4 weights and one to go on: three fit, and the place left goes to the first that can be."""
    graph = chain([4, 4, 4])
    scores = {name: torch.ones(info.shape) for name, info in graph.parameters.items()}
    masks = pa.consistent_masks(scores, graph, sparsity=0.5)

    assert masks["w1"].tolist() == [[True] * 4] * 3 + [[False] * 4]
    assert masks["w2"].tolist() == [[True] * 3 + [False]] + [[True] + [False] * 3] + [[False] * 4] * 2


@pytest.mark.parametrize("name", ["vit_mean", "torch_vit", "mobilenet_v2", "vgg"])
def test_a_network_without_a_path_until_too_much_wakes_at_once(name: str) -> None:
    """By magnitude alone the first weight that completes a path wakes more than the budget holds."""
    model, inputs = CASES[name].model(), CASES[name].inputs()
    alone = pa.prune(model, inputs, sparsity=0.99, consistent=False)
    masks = pa.prune(model, inputs, sparsity=0.99)

    assert alone.effective == 0 < alone.direct
    assert masks.direct == masks.effective == masks.requested


def test_a_budget_shorter_than_any_path_is_told() -> None:
    graph = chain([3] * 15)
    with pytest.warns(UserWarning, match=r"direct target missed: 13 weights requested, 0 achieved \(13 fewer\)"):
        masks = pa.consistent_masks(uniform_scores(graph, 0), graph, sparsity=1 - 13 / 126)

    assert (masks.requested, masks.direct, masks.effective) == (13, 0, 0)
    assert masks.requested_sparsity == pytest.approx(1 - 13 / 126)
    assert masks.sparsity == masks.effective_sparsity == 1.0


def test_what_may_rank_the_weights() -> None:
    model, x = CASES["mlp"].model(), CASES["mlp"].inputs()
    by_name = pa.prune(model, x, sparsity=0.8)
    scores = pa.magnitude_scores(model)
    backwards = dict(reversed(scores.items()))
    for method in (pa.magnitude_scores, scores, backwards, {f"module.{name}": s for name, s in scores.items()}):
        same = pa.prune(model, x, sparsity=0.8, method=method)

        assert list(same) == list(by_name)
        torch.testing.assert_close(dict(same), dict(by_name))


def test_random_depends_on_the_seed_only() -> None:
    model, x = CASES["mlp"].model(), CASES["mlp"].inputs()
    first, again, other = (flat(pa.prune(model, x, sparsity=0.8, method="random", seed=s)) for s in (1, 1, 2))

    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_a_part_of_the_parameters_can_be_scored() -> None:
    model, x = small_model(), torch.ones(1, 2)
    masks = pa.prune(model, x, sparsity=0.5, method=lambda m: pa.magnitude_scores(m, parameters=["0.weight"]))

    assert flat(masks).tolist() == [1, 1, 0, 0]


def test_pruning_again_goes_on_from_the_masks_in_place() -> None:
    model, x = CASES["lenet"].model(), CASES["lenet"].inputs()
    first = pa.prune(model, x, sparsity=0.5)
    second = pa.prune(pa.apply_masks(model, first), x, sparsity=0.8)

    assert all((first[name] | ~mask).all() for name, mask in second.items())


def test_masks_fit_what_comes_next() -> None:
    model, x = CASES["mlp"].model(), CASES["mlp"].inputs()
    masks = pa.prune(model, x, sparsity=0.9)
    graph = pa.to_graph(pa.apply_masks(model, masks), x)

    assert ng.sparsity(graph) == pytest.approx(masks.sparsity)
    assert ng.effective_sparsity(graph) == pytest.approx(masks.effective_sparsity)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"method": "taylor"}, r"method: expected 'magnitude', 'random', a function or scores, got 'taylor'"),
        ({"method": lambda model: 3}, r"method: expected 'magnitude', 'random', a function or scores, got 3"),
        ({"method": {"0.bias": torch.ones(2)}}, r"no parameter '0.bias'; the model has '0.weight', '2.weight'"),
        ({"method": {"0.weight": torch.ones(3)}}, r"scores for '0.weight': got shape \(3,\), the graph has \(2, 2\)"),
        ({"method": {}}, r"scores: expected at least one parameter, got none"),
        ({"sparsity": 1.5}, r"sparsity: expected the fraction to remove, in \[0, 1\], got 1.5"),
        ({"scope": "all"}, r"scope: expected one of 'global', .* got 'all'"),
        ({"target": "active"}, r"target: expected one of 'direct', 'effective', got 'active'"),
        ({"target": "active", "consistent": False}, r"target: expected one of 'direct', 'effective', got 'active'"),
    ],
)
def test_bad_input(changed: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        pa.prune(small_model(), torch.ones(1, 2), **({"sparsity": 0.5} | changed))


def test_scores_for_a_parameter_without_edges() -> None:
    model = nn.Linear(2, 1)
    scores = {"bias": torch.ones(1)}

    with pytest.raises(ValueError, match=r"scores for 'bias': no edge of the graph lies in it, .* leave it out"):
        pa.prune(model, torch.ones(1, 2), sparsity=0.5, method=scores)
    assert pa.prune(model, torch.ones(1, 2), sparsity=1.0, method=scores, consistent=False).direct == 0
