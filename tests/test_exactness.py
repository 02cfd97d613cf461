"""The graph says what autograd says: the consistent mask is the gradient's, element by element.

`oracle.py` defines the right answer. Three questions for every network, density and seed:

- `trim` keeps exactly the elements with a gradient when only the inputs bring in values (constants masked away).
- `drop_dead` keeps exactly the elements with a gradient when biases, running means and tables are present.
- the units that feed a layer have the classes (zero, constant, live) that its input channels show under random biases.

Where the graph claims more than the gradient, the reason is listed in `JOINED`; it never claims less.
"""

from collections.abc import Mapping
from functools import cache

import numpy as np
import prune_adapters as pa
import pytest
import torch
from networks import CASES, edge_names
from oracle import live_masks, random_masks, true_gradients, value_classes
from torch import Tensor, nn

import netgraph as ng

JOINED = {
    "vit_class": "the class token shares its units with the patches under positions='join'; 'split' tells them apart",
}
"""Networks in which the graph may keep more than has a gradient, and why."""

WEIGHTED = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose2d)
"""Modules whose input channels are the source units of their weight."""

SETTINGS = [(density, seed) for density in (0.5, 0.1, 0.05, 0.02) for seed in (0, 1)]


@cache
def traced(name: str, positions: str = "join") -> tuple[nn.Module, object, ng.NetGraph]:
    """Return the model of a case, its inputs, and its graph with everything kept."""
    model, inputs = CASES[name].model(), CASES[name].inputs()
    whole = {parameter: torch.ones_like(p, dtype=torch.bool) for parameter, p in model.named_parameters()}
    return model, inputs, pa.to_graph(model, inputs, masks=whole, positions=positions)


def kept(graph: ng.NetGraph) -> dict[str, Tensor]:
    return pa.to_masks(graph)


def without_constants(graph: ng.NetGraph) -> dict[str, np.ndarray]:
    """Return masks that take away every constant source of the graph."""
    names = {u.parameter for u in graph.unit_parameters if u.role == "shift" and u.parameter}
    described = graph.parameters | graph.buffers
    return {name: np.zeros(described[name].shape, dtype=bool) for name in names}


def masks_of(model: nn.Module, density: float, seed: int) -> dict[str, Tensor]:
    """Return random masks; odd seeds spare the thinnest rows, so that sparse networks do not all fall apart."""
    return random_masks(model, edge_names(model), density, seed=seed, least=2.0 * (seed % 2))


def masked(graph: ng.NetGraph, masks: Mapping[str, Tensor], *, constants: bool) -> ng.NetGraph:
    arrays = {name: mask.numpy() for name, mask in masks.items()}
    return graph.with_masks(arrays if constants else without_constants(graph) | arrays)


def disagreements(found: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> dict[str, tuple[int, int]]:
    """Return ``{parameter: (elements that should be kept and are not, elements kept that should not be)}``."""
    assert found.keys() == expected.keys()
    counts = {n: (int((expected[n] & ~found[n]).sum()), int((found[n] & ~expected[n]).sum())) for n in expected}
    return {name: count for name, count in counts.items() if count != (0, 0)}


@pytest.mark.parametrize("name", CASES)
def test_edge_parameters_are_found_and_every_parameter_has_a_role(name):
    model, _, graph = traced(name)

    assert set(graph.edge_parameters) == set(edge_names(model))
    assert {n: tuple(p.shape) for n, p in model.named_parameters()} == {n: i.shape for n, i in graph.parameters.items()}


@pytest.mark.parametrize("name", CASES)
def test_consistent_mask_is_where_the_gradient_is(name):
    model, inputs, graph = traced(name)
    for density, seed in SETTINGS:
        masks = masks_of(model, density, seed)
        found = kept(ng.trim(masked(graph, masks, constants=False)))
        expected = live_masks(model, inputs, masks)

        assert disagreements(found, expected) == {}, f"density {density}, seed {seed}"


@pytest.mark.parametrize("name", CASES)
def test_drop_dead_keeps_what_has_a_gradient_under_biases(name):
    model, inputs, graph = traced(name)
    for density, seed in SETTINGS:
        masks = masks_of(model, density, seed)
        found = kept(ng.drop_dead(masked(graph, masks, constants=True)))
        expected = live_masks(model, inputs, masks, constants=True)

        assert disagreements(found, expected) == {}, f"density {density}, seed {seed}"


def source_classes(graph: ng.NetGraph, parameter: str) -> np.ndarray:
    """Return the class of the unit behind each input channel (or feature) of a parameter; the largest over its uses."""
    classes, found = ng.unit_classes(graph), []
    for c in graph.uses(parameter):
        first = graph.slices[c.source].start + c.source_start
        features = classes[first : first + c.groups * c.columns]
        found.append(np.repeat(features, c.taps) if len(graph.parameters[parameter].shape) == 2 else features)
    return np.max(found, axis=0)


@pytest.mark.parametrize("name", CASES)
def test_units_have_the_classes_that_random_biases_show(name):
    model, inputs, graph = traced(name)
    modules = [path for path, m in model.named_modules() if type(m) in WEIGHTED]
    for density, seed in SETTINGS:
        masks = masks_of(model, density, seed)
        shown = value_classes(model, inputs, masks, modules, at="input")
        found = masked(graph, masks, constants=True)

        for path in modules:
            np.testing.assert_array_equal(source_classes(found, f"{path}.weight"), shown[path], err_msg=path)


@pytest.mark.parametrize("name", CASES)
def test_nothing_with_a_gradient_is_called_dead(name):
    """With the weights, biases and paddings that the network really has: no positive copy, any sign."""
    model, inputs, graph = traced(name)
    for density, seed in SETTINGS:
        masks = masks_of(model, density, seed)
        found = kept(ng.drop_dead(masked(graph, masks, constants=True)))
        gradients = true_gradients(model, inputs, masks)

        unsound = {n: int((g.ne(0) & masks[n] & ~found[n]).sum()) for n, g in gradients.items()}
        assert not any(unsound.values()), unsound


@pytest.mark.parametrize("name", ["mlp", "resnet20_a", "se_resnet", "shufflenet_v2"])
def test_the_public_path_from_masks_to_the_consistent_mask(name):
    model, inputs, graph = traced(name)
    masks = masks_of(model, 0.1, 1)

    found = pa.to_masks(ng.trim(pa.to_graph(model, inputs, masks=masks)))

    expected = kept(ng.trim(masked(graph, masks, constants=True)))
    torch.testing.assert_close(found, expected, rtol=0, atol=0)
