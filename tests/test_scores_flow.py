"""SynFlow and path scores: drawn answers, the published recipe, exactly 0 off the paths, no overflow at any depth."""

import copy
from collections.abc import Callable
from functools import cache

import pytest
import torch
from torch import Tensor, nn

import netgraph as ng
import prune_adapters as pa
from models import resnet50
from networks import CASES
from oracle import random_masks
from prune_adapters.scores import path_scores, synflow_prune, synflow_scores

ADDING = ["mlp", "lenet", "vgg_bn", "resnet20_b", "mobilenet_v2", "chunked_projection", "shared_module", "einsum"]
"""Networks in which nothing is subtracted, normalised over channels or raised to a power."""
MORE = ["vgg", "resnet20_a", "resnet18", "resnet50", "resnext50", "shufflenet_v2", "densenet", "raw_matmul"]
MORE += ["transposed_conv", "conv1d", "conv3d", "layer_scale", "two_inputs"]
GATED = ["glu", "se_resnet"]
NOT_ADDING = ["vit_class", "group_norm", "weight_norm", "product", "named_inputs"]


@cache
def dense_graph(case: str) -> ng.NetGraph:
    return pa.to_graph(CASES[case].model(), CASES[case].inputs())


def sparse(case: str, density: float, seed: int) -> tuple[nn.Module, object, ng.NetGraph]:
    """Return a network that remembers random masks, its inputs and its graph.

    Its convolutions wrap around, so that no tap sees only padding: the graph knows no image size.
    """
    model = CASES[case].model(seed)
    names = list(pa.magnitude_scores(model, graph=dense_graph(case)))
    masks = random_masks(model, names, density, seed=seed, least=3.0)
    pa.apply_masks(model, masks)
    for module in model.modules():
        if hasattr(module, "padding_mode") and not isinstance(module, nn.ConvTranspose2d):
            module.padding_mode = "circular"
    return model, CASES[case].inputs(), dense_graph(case).with_masks({n: mask.numpy() for n, mask in masks.items()})


def deep_chain(layers: int, width: int, size: float) -> nn.Sequential:
    """Return linear layers whose weights are about as large as `size`."""
    model = nn.Sequential(*(nn.Linear(width, width, bias=False) for _ in range(layers)))
    generator = torch.Generator().manual_seed(0)
    for parameter in model.parameters():
        parameter.data.copy_(torch.randn(parameter.shape, generator=generator) * size)
    return model


def published(model: nn.Module, x: Tensor) -> tuple[dict[str, Tensor], Tensor]:
    """Return the scores of the published code and R, in float64: sizes of the whole state, ones, a backward pass."""
    positive = copy.deepcopy(model).double().eval()
    with torch.no_grad():
        for value in positive.state_dict().values():
            value.abs_()
    total = positive(torch.ones_like(x, dtype=torch.float64)).sum()
    total.backward()
    return {name: p.grad * p.detach() for name, p in positive.named_parameters() if p.grad is not None}, total.detach()


def test_drawn_network() -> None:
    """Paths 1*2 and 3*2 through the first unit, 4*0.5 through the second; the bias is on no path."""
    model = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 1))
    model[0].weight.data.copy_(torch.tensor([[1.0, -3.0], [0.0, 4.0]]))
    model[2].weight.data.copy_(torch.tensor([[-2.0, 0.5]]))
    x = torch.ones(1, 2)
    expected = {"0.weight": [[2.0, 6.0], [0.0, 2.0]], "2.weight": [[8.0, 2.0]]}

    for scores in (synflow_scores(model, x), path_scores(model, pa.to_graph(model, x))):
        assert list(scores) == list(expected)
        for name, score in scores.items():
            torch.testing.assert_close(score, torch.tensor(expected[name], dtype=torch.float64) / 10)


@pytest.mark.parametrize("case", ["resnet20_a", "vgg_bn", "densenet"])
def test_synflow_is_the_published_one_divided_by_its_sum(case: str) -> None:
    model, x = CASES[case].model(), CASES[case].inputs()
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            nn.init.zeros_(parameter)

    expected, total = published(model, x)

    for name, score in synflow_scores(model, x).items():
        torch.testing.assert_close(score, expected[name] / total, rtol=1e-9, atol=1e-15)


@pytest.mark.parametrize("density", [0.3, 0.03])
@pytest.mark.parametrize("case", [*ADDING, *(pytest.param(case, marks=pytest.mark.slow) for case in MORE)])
def test_both_are_zero_exactly_off_the_paths(case: str, density: float) -> None:
    """Whatever the biases: `trim` and the two scores agree on every single weight."""
    model, x, graph = sparse(case, density, seed=1)
    consistent = pa.to_masks(ng.trim(graph))

    for scores in (path_scores(model, graph), synflow_scores(model, x, graph=graph)):
        for name, score in scores.items():
            torch.testing.assert_close(score > 0, consistent[name], msg=lambda text, name=name: f"{name}: {text}")


@pytest.mark.parametrize("case", GATED)
def test_synflow_misses_only_gates_of_constants(case: str) -> None:
    """A gate that opens for a bias alone lets nothing of the inputs through in a network without biases."""
    model, x, graph = sparse(case, 0.1, seed=1)
    consistent, scores = pa.to_masks(ng.trim(graph)), synflow_scores(model, x, graph=graph)

    assert not any((scores[name][~consistent[name]] != 0).any() for name in scores)
    assert all(scores[name].any() for name in scores)


@pytest.mark.parametrize("case", [*NOT_ADDING, "embedding", "tied_embedding"])
def test_path_scores_know_every_network_without_cycles(case: str) -> None:
    model, _, graph = sparse(case, 0.3, seed=3)
    consistent = pa.to_masks(ng.trim(graph))

    for name, score in path_scores(model, graph).items():
        torch.testing.assert_close(score > 0, consistent[name])


@pytest.mark.parametrize("case", NOT_ADDING)
def test_synflow_refuses_what_is_no_positive_network(case: str) -> None:
    model, x = CASES[case].model(), CASES[case].inputs()

    with pytest.raises(ValueError, match=r"synflow: expected outputs .* path_scores follows the paths of any network"):
        synflow_scores(model, x, graph=dense_graph(case))


def test_synflow_needs_an_input_to_put_ones_in() -> None:
    with pytest.raises(ValueError, match=r"expected a floating tensor to put ones in, got none; use path_scores"):
        synflow_scores(CASES["embedding"].model(), CASES["embedding"].inputs(), graph=dense_graph("embedding"))


@pytest.mark.parametrize("size", [10.0, 1e-4])
def test_no_depth_overflows_or_underflows(size: float) -> None:
    """R is beyond 1e330 and below 1e-400 here; in a chain of layers, both scores are the same."""
    model, x = deep_chain(160, 16, size), torch.ones(1, 16)
    graph = pa.to_graph(model, x)
    expected = path_scores(model, graph)

    scores = synflow_scores(model, x, graph=graph)

    torch.testing.assert_close(scores, expected, rtol=1e-9, atol=1e-300)
    assert all(abs(float(score.sum()) - 1) < 1e-9 for score in scores.values())


@pytest.mark.parametrize(("size", "words"), [(1e30, "R is not finite"), (1e-30, "R is too small for float64")])
def test_what_float64_cannot_hold_is_an_error(size: float, words: str) -> None:
    """It must not be taken for a network without paths."""
    model = deep_chain(40, 4, size)

    with pytest.raises(FloatingPointError, match=f"synflow: {words} at any scale of the inputs"):
        synflow_scores(model, torch.ones(1, 4))


@pytest.mark.slow
def test_synflow_of_a_whole_resnet_50() -> None:
    """float32 has no place for R, which is why the published code fails on it."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = resnet50()
    x = torch.ones(1, 3, 224, 224)
    for parameter in [m.weight for m in model.modules() if isinstance(m, nn.Conv2d)]:
        nn.init.kaiming_normal_(parameter)
    graph = pa.to_graph(model, x)

    scores = synflow_scores(model, x, graph=graph)

    assert all(torch.isfinite(score).all() and score.sum() > 0 for score in scores.values())
    positive = copy.deepcopy(model).eval()
    with torch.no_grad():
        for value in positive.state_dict().values():
            value.abs_()
        assert not torch.isfinite(positive(x)).all()
    chosen = synflow_prune(model, x[..., :64, :64], sparsity=0.99, rounds=30, graph=graph)
    assert chosen.direct == chosen.requested
    assert chosen.effective > 0.9 * chosen.direct


@pytest.mark.parametrize("training", [True, False])
def test_nothing_of_the_model_is_changed(training: bool) -> None:
    model = CASES["resnet20_a"].model().train(training)
    next(model.children()).eval().requires_grad_(False)
    before, modes = copy.deepcopy(model.state_dict()), [m.training for m in model.modules()]

    scores = synflow_scores(model, CASES["resnet20_a"].inputs())

    torch.testing.assert_close(dict(model.state_dict()), dict(before), rtol=0, atol=0)
    assert [m.training for m in model.modules()] == modes
    assert all(p.grad is None for p in model.parameters())
    torch.testing.assert_close(synflow_scores(CASES["resnet20_a"].model(), CASES["resnet20_a"].inputs()), scores)


@pytest.mark.parametrize("masked", [True, False])
def test_half_precision_and_wrappers(masked: bool) -> None:
    model = CASES["mlp"].model().bfloat16()
    x = CASES["mlp"].inputs()
    if masked:
        pa.apply_masks(model, random_masks(model, list(pa.magnitude_scores(model)), 0.5, seed=0))
    exact = copy.deepcopy(model).double()

    torch.testing.assert_close(synflow_scores(nn.DataParallel(model), x.bfloat16()), synflow_scores(exact, x.double()))
    graph = pa.to_graph(model, x.bfloat16())
    torch.testing.assert_close(path_scores(nn.DataParallel(model), graph), path_scores(exact, graph))


@pytest.mark.parametrize("score", [lambda m, x, g: synflow_scores(m, x, graph=g), lambda m, x, g: path_scores(m, g)])
def test_removed_weights_score_zero_wherever_they_have_moved(score: Callable[..., dict[str, Tensor]]) -> None:
    model, x, graph = sparse("mlp", 0.5, seed=0)
    dense = dense_graph("mlp")
    before = score(model, x, dense)
    for parameter in model.parameters():
        parameter.data += (parameter == 0) * 3.0

    torch.testing.assert_close(score(model, x, dense), before, rtol=0, atol=0)
    torch.testing.assert_close(score(model, x, graph), before, rtol=0, atol=0)


def test_without_a_path_all_scores_are_zero() -> None:
    model, x = CASES["mlp"].model(), CASES["mlp"].inputs()
    first = next(iter(pa.magnitude_scores(model)))
    pa.apply_masks(model, {first: torch.zeros_like(model.get_parameter(first), dtype=torch.bool)})

    for scores in (synflow_scores(model, x), path_scores(model, pa.to_graph(model, x))):
        assert not any(score.any() for score in scores.values())


def test_paths_of_a_shared_layer_add_up_over_its_uses() -> None:
    model = nn.Sequential(nn.Linear(1, 1, bias=False))
    model.append(model[0])
    model[0].weight.data.fill_(-3.0)
    graph = pa.to_graph(model, torch.ones(1, 1))

    assert path_scores(model, graph)["0.weight"].item() == 2.0
    torch.testing.assert_close(synflow_scores(model, torch.ones(1, 1), graph=graph), path_scores(model, graph))


def test_power_of_paths() -> None:
    model = nn.Sequential(nn.Linear(2, 1, bias=False))
    model[0].weight.data.copy_(torch.tensor([[1.0, -3.0]]))
    graph = pa.to_graph(model, torch.ones(1, 2))

    assert path_scores(model, graph, power=2)["0.weight"].tolist() == [[0.1, 0.9]]


def test_a_recurrent_layer_has_no_end_of_paths() -> None:
    model, x = nn.RNN(3, 2), torch.ones(4, 1, 3)

    with pytest.raises(ng.GraphStructureError, match=r"the graph has cycles"):
        path_scores(model, pa.to_graph(model, x))


def test_one_round_is_a_choice_by_the_scores_and_many_are_not() -> None:
    model, x = CASES["lenet_300_100"].model(), CASES["lenet_300_100"].inputs()
    graph = dense_graph("lenet_300_100")
    plain = pa.masks_from_scores(synflow_scores(model, x, graph=graph), sparsity=0.999)

    once = synflow_prune(model, x, sparsity=0.999, rounds=1, graph=graph)
    many = synflow_prune(model, x, sparsity=0.999, rounds=20, graph=graph)

    torch.testing.assert_close(dict(once), dict(plain))
    assert once.direct == many.direct == many.requested == 266_200 - round(0.999 * 266_200)
    assert once.effective < many.effective


@pytest.mark.parametrize("scope", ["global", "layer", "erk", "igq"])
def test_no_layer_collapses_over_many_rounds(scope: str) -> None:
    model, x = CASES["vgg_bn"].model(), CASES["vgg_bn"].inputs()
    chosen = synflow_prune(model, x, sparsity=0.9, rounds=20, scope=scope)

    assert chosen.direct == chosen.requested
    assert all(mask.any() for mask in chosen.values())


@pytest.mark.parametrize("seed", range(3))
def test_what_a_round_removes_stays_removed(seed: int) -> None:
    """Also when the next one finds fewer weights on paths than it may keep."""
    model, x = CASES["mlp"].model(seed), CASES["mlp"].inputs()
    first = synflow_prune(model, x, sparsity=0.9, rounds=1, graph=dense_graph("mlp"))
    second = synflow_prune(model, x, sparsity=0.99, rounds=2, graph=dense_graph("mlp"))

    assert not any((second[name] & ~first[name]).any() for name in second)


def test_rounds_start_from_the_remembered_masks() -> None:
    model, x, graph = sparse("mlp", 0.5, seed=0)
    chosen = synflow_prune(model, x, sparsity=0.8, rounds=10, graph=graph)
    removed = {name: ~mask for name, mask in pa.remembered_masks(model).items()}

    assert chosen.achieved == chosen.requested
    assert not any((chosen[name] & removed[name]).any() for name in chosen)


def test_everything_and_nothing() -> None:
    model, x = CASES["mlp"].model(), CASES["mlp"].inputs()

    assert synflow_prune(model, x, sparsity=1.0, rounds=3).direct == 0
    assert synflow_prune(model, x, sparsity=0.0, rounds=3).sparsity == 0.0


@pytest.mark.parametrize(("given", "message"), [({"rounds": 0}, "rounds: expected"), ({"sparsity": 1.5}, "sparsity: ")])
def test_bad_arguments(given: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        synflow_prune(CASES["mlp"].model(), CASES["mlp"].inputs(), **{"sparsity": 0.5, **given})
