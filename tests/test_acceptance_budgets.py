"""What users of other pruning tools reported, each held here with the number of the report: budgets and collapse.

Elsewhere: scopes and ties in tests/test_select.py, budgets against a loop over all of them in tests/test_collapse.py.
"""

from functools import cache

import pytest
import torch
from torch import Tensor

import netgraph as ng
import prune_adapters as pa
from networks import CASES


@cache
def traced_and_scored(family: str) -> tuple[ng.NetGraph, dict[str, Tensor]]:
    """Return the dense graph of a network and the magnitudes of its weights."""
    model = CASES[family].model()
    return pa.to_graph(model, CASES[family].inputs()), pa.magnitude_scores(model)


# (16) Collapse is reported before it happens


def test_collapse_is_reported_before_it_happens() -> None:
    """VainF/Torch-Pruning#8, #49, microsoft/nni#3200, Eric-mingjie/rethinking-network-pruning#18, #44,
    morph-net#144: a layer collapses, found out by NaN or a shape error. Here nothing is pruned yet.
    """
    model, inputs = CASES["lenet_300_100"].model(), CASES["lenet_300_100"].inputs()
    graph, scores = traced_and_scored("lenet_300_100")
    found = pa.collapse_report(graph, scores, sparsity=0.97)
    at = {kept: pa.masks_from_scores(scores, sparsity=1 - kept / found.total) for kept in (found.needed, found.kept)}
    alive = {kept: ng.accessible(pa.to_graph(model, inputs, masks=masks))[graph.outputs] for kept, masks in at.items()}

    assert found.collapsed
    assert alive[found.needed].any()
    assert not alive[found.kept].any()
    assert found.lost[0].parameter == "layers.0.weight"
    assert found.lost[0].kept == 0
    assert "layers.0.weight[276, 688] cuts the last path." in str(found)


def test_what_collapse_would_take_to_be_undone() -> None:
    """VainF/Torch-Pruning#8, pykan#269: which layer it was, and how to go on."""
    model, inputs = CASES["lenet_300_100"].model(), CASES["lenet_300_100"].inputs()
    graph, scores = traced_and_scored("lenet_300_100")
    found = pa.collapse_report(graph, scores, sparsity=0.97)
    masks = pa.masks_from_scores(scores, sparsity=0.97)
    for name, elements in found.repair.elements.items():
        masks[name].view(-1)[torch.from_numpy(elements)] = True
    again = pa.to_graph(model, inputs, masks=masks)

    assert {name: len(elements) for name, elements in found.repair.elements.items()} == {"layers.0.weight": 1}
    assert pa.explain(again, found.repair.path[-1]).path_from_input == found.repair.path


def test_a_cut_network_is_called_one() -> None:
    """VainF/Torch-Pruning#49, Early-Bird-Tickets#1: "is there no path between input and output?"."""
    model, inputs = CASES["mlp"].model(), CASES["mlp"].inputs()
    graph = pa.to_graph(model, inputs, masks={"layers.0.weight": torch.zeros(16, 12, dtype=torch.bool)})

    assert str(pa.report(graph)).startswith("WARNING: no input reaches an output")
    assert "None of the 12 weights into it is kept." in str(pa.explain(graph, (list(graph.layers)[1], 0)))


# (19) A budget is met, and its effective density stands beside it


@pytest.mark.parametrize("scope", ["global", "layer", "erk", "igq"])
@pytest.mark.parametrize("sparsity", [0.0, 0.5, 0.9, 0.99, 1.0])
@pytest.mark.parametrize("family", ["lenet_300_100", "resnet20_a", "mobilenet_v2"])
def test_requested_is_achieved(family: str, sparsity: float, scope: str) -> None:
    """VainF/Torch-Pruning#448, #479, #331, #111: a global budget is missed, or the share of a layer is unclear.

    VainF/Torch-Pruning#416: nothing pruned, without a message.
    """
    graph, scores = traced_and_scored(family)
    masks = pa.masks_from_scores(scores, sparsity=sparsity, scope=scope, graph=graph)
    pruned = graph.with_masks({name: mask.numpy() for name, mask in masks.items()})
    sizes = [score.numel() for score in scores.values()]
    wanted = (
        sum(n - round(sparsity * n) for n in sizes) if scope == "layer" else sum(sizes) - round(sparsity * sum(sizes))
    )

    assert masks.requested == masks.achieved == masks.direct == wanted
    assert sum(int(mask.sum()) for mask in masks.values()) == wanted
    assert masks.sparsity == pytest.approx(ng.sparsity(pruned), abs=1e-12)
    assert masks.effective_sparsity == pytest.approx(ng.effective_sparsity(pruned), abs=1e-12)
    assert masks.effective_sparsity >= masks.sparsity


def test_the_effective_density_stands_beside_the_nominal_one() -> None:
    """VainF/Torch-Pruning#448: what a sparsity means: the weights that are gone, or those that do nothing."""
    model, inputs = CASES["lenet_300_100"].model(), CASES["lenet_300_100"].inputs()
    graph, scores = traced_and_scored("lenet_300_100")
    masks = pa.masks_from_scores(scores, sparsity=0.95, graph=graph)
    total = pa.report(pa.to_graph(model, inputs, masks=masks)).total

    assert (total.kept, total.consistent) == (masks.direct, masks.effective)
    assert (total.sparsity, total.effective_sparsity) == (masks.sparsity, masks.effective_sparsity)
    assert f"{masks.effective} consistent" in repr(masks)
