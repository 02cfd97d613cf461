"""The graph says what autograd says: the consistent mask is the gradient's, element by element.

`oracle.py` defines the right answer. Four questions for every network, density and seed:

- `trim` keeps exactly the elements with a gradient when only the inputs bring in values (constants masked away).
- `drop_dead` keeps exactly the elements with a gradient when biases, running means and tables are present.
- the units that feed a layer have the classes (zero, constant, live) that its input channels show under random biases.
- nothing that has a gradient in the network as it is (any sign, zero padding) is ever called dead.

Where the graph claims more than the gradient, the modelling choice behind it is listed here; it never claims less.
"""

from collections.abc import Mapping
from functools import cache

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import netgraph as ng
import prune_adapters as pa
from agreement import compared, disagreements, masked
from networks import CASES, edge_names
from oracle import CONSTANT, LIVE, input_gradient, live_masks, random_masks, true_gradients, value_classes

PIXELS = "the four pixels that one channel becomes share a unit in the next convolution"
CLASS_TOKEN = "the class token shares its units with the patches; exact with positions='split'"
SAME_SCORES = "a score that is the same for every key (constant keys) changes no softmax, on paper; rounding decides"
ONE_SUM = "attention weights sum to 1, so they cannot move the mean of a constant value"

WIDER = {
    **{("pixel_shuffle", question): PIXELS for question in ("trim", "drop_dead", "classes")},
    ("vit_class", "trim"): CLASS_TOKEN,
    **{(name, "drop_dead"): SAME_SCORES for name in ("vit_class", "vit_mean", "torch_vit")},
    **{(name, "classes"): ONE_SUM for name in ("vit_class", "vit_mean", "torch_vit")},
}
"""Where the graph may claim more than the gradient shows, with the modelling choice that explains it."""

WEIGHTED = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose2d)
"""Modules whose input channels are the source units of their weight."""

DENSITIES = (0.5, 0.1, 0.05, 0.02)
SETTINGS = [(density, seed) for density in DENSITIES for seed in (0, 1)]


@cache
def traced(name: str, **options: str) -> tuple[nn.Module, object, ng.NetGraph]:
    """Return the model of a case, its inputs, and its graph with everything kept."""
    model, inputs = CASES[name].model(), CASES[name].inputs()
    whole = {parameter: torch.ones_like(p, dtype=torch.bool) for parameter, p in model.named_parameters()}
    return model, inputs, pa.to_graph(model, inputs, masks=whole, **options)


def masks_of(model: nn.Module, density: float, seed: int) -> dict[str, Tensor]:
    """Return random masks; odd seeds spare the thinnest rows, so that sparse networks do not all fall apart."""
    return random_masks(model, edge_names(model), density, seed=seed, least=2.0 * (seed % 2))


def compared_case(name: str, question: str, density: float, seed: int, **options: str) -> dict[str, tuple[int, int]]:
    model, inputs, graph = traced(name, **options)
    return compared(model, inputs, graph, masks_of(model, density, seed), question)


def unexplained(name: str, question: str, found: Mapping[str, tuple[int, int]]) -> dict[str, tuple[int, int]]:
    """Return the disagreements that no listed modelling choice explains; missing elements never are."""
    explained = (name, question) in WIDER
    return {parameter: counts for parameter, counts in found.items() if counts[0] or not explained}


@pytest.mark.parametrize("name", CASES)
def test_edge_parameters_are_found_and_every_parameter_has_a_role(name):
    model, _, graph = traced(name)

    assert set(graph.edge_parameters) == set(edge_names(model))
    assert {n: tuple(p.shape) for n, p in model.named_parameters()} == {n: i.shape for n, i in graph.parameters.items()}
    assert {i.role for i in graph.parameters.values()} <= {"edge", "gate", "constant"}


@pytest.mark.parametrize("question", ["trim", "drop_dead"])
@pytest.mark.parametrize("name", CASES)
def test_kept_elements_are_those_with_a_gradient(name, question):
    for density, seed in SETTINGS:
        found = compared_case(name, question, density, seed)

        assert unexplained(name, question, found) == {}, f"density {density}, seed {seed}"


@pytest.mark.parametrize("name", ["vgg_bn", "resnet20_a", "se_resnet", "layer_scale", "group_norm", "vit_mean"])
def test_masks_of_gains_and_biases_act_on_their_units(name):
    """A masked gain closes its channel, a masked bias no longer makes a constant."""
    model, inputs, graph = traced(name)
    names = [parameter for parameter, p in model.named_parameters() if p.dim() == 1]
    for density, seed in SETTINGS[:4]:
        masks, unit_masks = masks_of(model, density, seed), random_masks(model, names, 0.6, seed=seed)
        found = pa.to_masks(ng.drop_dead(masked(graph, masks | unit_masks)))
        expected = live_masks(model, inputs, masks, unit_masks=unit_masks, constants=True)

        assert disagreements(found, expected) == {}, f"density {density}, seed {seed}"


def test_split_positions_tell_the_class_token_apart():
    settings = [(0.03, 12), (0.03, 20), (0.05, 28), (0.03, 34)]
    joined = [compared_case("vit_class", "trim", density, seed) for density, seed in settings]
    split = [compared_case("vit_class", "trim", density, seed, positions="split") for density, seed in settings]

    assert all(joined)
    assert not any(split)


@pytest.mark.parametrize("name", ["vit_mean", "torch_vit", "group_norm"])
def test_following_channels_through_a_norm_calls_live_weights_dead(name):
    """Why norm="mix" is the default: the literature's reading is unsound, and the oracle sees it."""
    found = [compared_case(name, "trim", density, 0, norm="through") for density in DENSITIES]

    assert any(missing for settings in found for missing, _ in settings.values())


def source_classes(graph: ng.NetGraph, parameter: str, n_channels: int) -> np.ndarray:
    """Return the class of the unit behind each input channel of a parameter, the largest over its uses."""
    classes, found = ng.unit_classes(graph), []
    for c in graph.uses(parameter):
        first = graph.slices[c.source].start + c.source_start
        features = classes[first : first + c.groups * c.columns]
        found.append(np.repeat(features, n_channels // len(features)))
    return np.max(found, axis=0)


@pytest.mark.parametrize("name", CASES)
def test_units_have_the_classes_that_random_biases_show(name):
    model, inputs, graph = traced(name)
    modules = [p for p, m in model.named_modules() if type(m) in WEIGHTED and f"{p}.weight" in graph.edge_parameters]
    for density in DENSITIES:
        masks = masks_of(model, density, 1)
        shown = value_classes(model, inputs, masks, modules, at="input")
        graph_now = masked(graph, masks)
        for path in modules:
            found = source_classes(graph_now, f"{path}.weight", len(shown[path]))

            assert (found >= shown[path]).all(), path
            assert (name, "classes") in WIDER or (found == shown[path]).all(), path


@pytest.mark.parametrize(
    ("name", "layer", "module", "density"),
    [
        ("mlp", "layers.1", "layers.1", 0.05),
        ("vgg_bn", "features.8", "features.9", 0.01),
        ("resnet20_a", "stem.0", "stem.1", 0.05),
    ],
)
def test_constant_units_have_a_value_and_no_jacobian(name, layer, module, density):
    """`module` gives the values of the units of `layer`: the layer itself, or the norm behind it."""
    model, inputs, graph = traced(name)
    masks = masks_of(model, density, 0)
    found = masked(graph, masks)
    classes = ng.unit_classes(found)[found.slices[layer]].tolist()

    assert set(classes) == {CONSTANT, LIVE}
    for channel, expected in enumerate(classes):
        assert input_gradient(model, inputs, masks, module, channel) == (expected == LIVE, True), channel


@pytest.mark.parametrize("name", CASES)
def test_nothing_with_a_gradient_is_called_dead(name):
    """With the weights, biases and paddings that the network really has: no positive copy, any sign."""
    model, inputs, graph = traced(name)
    for density, seed in SETTINGS:
        masks = masks_of(model, density, seed)
        found = pa.to_masks(ng.drop_dead(masked(graph, masks)))
        gradients = true_gradients(model, inputs, masks)

        unsound = {n: int((g.ne(0) & masks[n] & ~found[n]).sum()) for n, g in gradients.items()}
        assert not any(unsound.values()), unsound


@pytest.mark.parametrize("name", CASES)
def test_following_the_example_finds_the_same_edges(name):
    """Two ways of capture, export and running, under one set of rules."""
    model, _, exported = traced(name)
    followed = traced(name, follow="example")[2]
    masks = masks_of(model, 0.1, 1)
    for clear in (ng.trim, ng.drop_dead):
        found, expected = (pa.to_masks(clear(masked(graph, masks))) for graph in (followed, exported))

        torch.testing.assert_close(found, expected, rtol=0, atol=0)


@pytest.mark.parametrize("name", ["mlp", "resnet20_a", "se_resnet", "shufflenet_v2"])
def test_the_public_path_from_masks_to_the_consistent_mask(name):
    model, inputs, graph = traced(name)
    masks = masks_of(model, 0.1, 1)

    found = pa.to_masks(ng.trim(pa.to_graph(model, inputs, masks=masks)))

    torch.testing.assert_close(found, pa.to_masks(ng.trim(masked(graph, masks))), rtol=0, atol=0)


@pytest.mark.slow
@pytest.mark.parametrize("question", ["trim", "drop_dead"])
@pytest.mark.parametrize("name", CASES)
def test_many_seeds(name, question):
    for density in (0.3, 0.2, 0.1, 0.07, 0.05, 0.03, 0.02):
        for seed in range(20):
            found = compared_case(name, question, density, seed, positions="split")
            explained = question if question == "drop_dead" or name == "pixel_shuffle" else ""

            assert unexplained(name, explained, found) == {}, f"density {density}, seed {seed}"
