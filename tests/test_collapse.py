"""prune_adapters.collapse: every number against a loop over all budgets, the remedy by putting it back."""

import numpy as np
import pytest
import torch
from torch import nn

import netgraph as ng
import prune_adapters as pa
from networks import CASES

SMALL = ("mlp", "layer_scale", "product", "shared_module", "raw_matmul", "tied_embedding")


def small_mlp():
    return nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 3), nn.ReLU(), nn.Linear(3, 2))


def random_case(seed):
    torch.manual_seed(seed)
    model = small_mlp()
    return pa.to_graph(model, torch.ones(1, 4)), pa.random_scores(model, seed=seed)


def by_loop(graph, scores, scope):
    """Return for each number of kept elements whether an output is live, and which parameters are on a path."""
    total, states = sum(s.numel() for s in scores.values()), []
    for kept in range(total + 1):
        masks = pa.masks_from_scores(scores, sparsity=1 - kept / total, scope=scope)
        changed = ng.with_weights(graph, {name: mask.numpy() for name, mask in masks.items()})
        trimmed = ng.trim(changed).masks()
        alive = ng.accessible(changed)[graph.outputs].any()
        states.append((bool(alive), {name: bool(trimmed[name].any()) for name in scores}))
    return states


def first(flags):
    return flags.index(True) if True in flags else None


@pytest.mark.parametrize("scope", ["global", "erk", "igq"])
@pytest.mark.parametrize("seed", range(4))
def test_budgets_are_those_of_a_loop_over_all(seed, scope):
    graph, scores = random_case(seed)
    states = by_loop(graph, scores, scope)
    needed = first([alive for alive, _ in states])
    for sparsity in (None, 0.5, 0.7, 0.9, 1.0):
        found = pa.collapse_report(graph, scores, sparsity=sparsity, scope=scope)
        lost = {row.parameter: row.needed for row in found.lost}
        on_path = {name: first([flags[name] for _, flags in states]) for name in scores}

        assert found.needed == needed
        assert lost == {name: on_path[name] for name in scores if not states[found.kept][1][name]}
        assert found.collapsed == (not states[found.kept][0]) == (found.repair is not None)


@pytest.mark.parametrize("name", SMALL)
def test_the_remedy_makes_a_path_and_the_last_element_cuts_it(name):
    model, inputs = CASES[name].model(), CASES[name].inputs()
    graph = pa.to_graph(model, inputs)
    scores = {n: s for n, s in pa.random_scores(model, seed=1).items() if graph.uses(n)}
    found = pa.collapse_report(graph, scores)
    masks = pa.masks_from_scores(scores, sparsity=1 - found.kept / found.total)
    joined = {n: mask.clone() for n, mask in masks.items()}
    for parameter, flat in found.repair.elements.items():
        joined[parameter].view(-1)[torch.from_numpy(flat)] = True
    parameter, flat = found.last

    assert not live(pa.to_graph(model, inputs, masks=masks))
    assert live(pa.to_graph(model, inputs, masks=joined))
    assert found.repair.size == 1  # one weight more is what cut the last path
    masks[parameter].view(-1)[flat] = True
    assert live(pa.to_graph(model, inputs, masks=masks))


def live(graph):
    return ng.accessible(graph)[graph.outputs].any()


def test_nothing_is_pruned():
    graph, scores = random_case(0)
    bits, before = graph.bits.copy(), {name: score.clone() for name, score in scores.items()}
    pa.collapse_report(graph, scores)

    np.testing.assert_array_equal(graph.bits, bits)
    torch.testing.assert_close(scores, before)


def test_parameters_without_scores_keep_their_masks():
    graph, scores = random_case(0)
    first_layer = {"0.weight": np.zeros((5, 4), dtype=bool)}
    found = pa.collapse_report(graph.with_masks(first_layer), {n: s for n, s in scores.items() if n != "0.weight"})

    assert (found.needed, found.sparsity, found.repair, found.last) == (None, None, None, None)
    assert [row.needed for row in found.lost] == [None, None]
    assert str(found).startswith("No input reaches an output, even with all scored weights kept; ")
    assert "no weights alone would make a path" in str(found)


def test_a_skip_without_weights_never_collapses():
    class Skip(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.branch = nn.Linear(3, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x + self.branch(x)

    found = pa.collapse_report(pa.to_graph(Skip(), torch.ones(1, 3)), {"branch.weight": torch.ones(3, 3)})

    assert (found.needed, found.collapsed, found.last) == (0, False, None)
    assert [(row.parameter, row.needed) for row in found.lost] == [("branch.weight", 1)]
    assert str(found) == (
        "An output depends on an input even without the scored weights.\n"
        "At 100.0 % sparsity (0 of 9 weights kept) there is a path; 1 of 1 parameters is on none.\n"
        "\n"
        "no weight on a path  kept  needs  lost beyond\n"
        "branch.weight           0      1       88.9 %"
    )


def test_scores_without_edges_are_left_alone():
    """A position table has a score by its rank, but it is a constant source: it has no path to lose."""
    model, inputs = CASES["vit_mean"].model(), CASES["vit_mean"].inputs()
    scores = pa.magnitude_scores(model)
    found = pa.collapse_report(pa.to_graph(model, inputs), scores, sparsity=0.95)

    assert "pos_embedding" in scores
    assert found.collapsed
    assert "pos_embedding" not in {row.parameter for row in found.lost}
    assert "pos_embedding" not in found.repair.elements


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sparsity": 1.5}, r"sparsity: expected the fraction to remove, in \[0, 1\], got 1\.5"),
        ({"scope": "all"}, "scope: expected one of 'global', .* got 'all'"),
    ],
)
def test_options_are_checked(options, message):
    graph, scores = random_case(0)
    with pytest.raises(ValueError, match=message):
        pa.collapse_report(graph, scores, **options)


def test_scores_must_fit_the_graph():
    graph, scores = random_case(0)
    with pytest.raises(ValueError, match=r"scores for '0\.weight': got shape \(4, 5\), the graph has \(5, 4\)"):
        pa.collapse_report(graph, scores | {"0.weight": torch.ones(4, 5)})
    scores["0.weight"][0, 0] = float("nan")
    with pytest.raises(ValueError, match="1 of 20 are NaN"):
        pa.collapse_report(graph, scores)
