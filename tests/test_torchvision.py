"""Where torchvision is installed, its models agree with the gradient oracle, at their true size."""

from functools import cache

import pytest
import torch
from torch import nn

import netgraph as ng
import prune_adapters as pa
from agreement import compared
from networks import edge_names
from oracle import random_masks, true_gradients

models = pytest.importorskip("torchvision.models")

FAST = ("mobilenet_v2", "shufflenet_v2_x1_0", "resnet18")
SLOW = ("resnet50", "densenet121", "resnext50_32x4d", "vgg11_bn", "vit_b_16")
NAMES = [*FAST, *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW)]


@cache
def traced(name: str) -> tuple[nn.Module, torch.Tensor, ng.NetGraph]:
    """Return the model, an input and its graph; the image is small, as the oracle wraps around."""
    torch.manual_seed(0)
    options = {"image_size": 64} if name.startswith("vit") else {}
    model, x = getattr(models, name)(**options).eval(), torch.ones(1, 3, 64, 64)
    return model, x, pa.to_graph(model, x)


@pytest.mark.parametrize("name", NAMES)
def test_edge_parameters_are_found(name):
    model, _, graph = traced(name)

    assert set(graph.edge_parameters) == set(edge_names(model))


@pytest.mark.parametrize(("density", "least"), [(0.01, 2.0), (0.001, 1.5)])
@pytest.mark.parametrize("question", ["trim", "drop_dead"])
@pytest.mark.parametrize("name", NAMES)
def test_kept_elements_are_those_with_a_gradient(name, question, density, least):
    model, x, graph = traced(name)
    masks = random_masks(model, edge_names(model), density, seed=0, least=least)

    assert compared(model, x, graph, masks, question) == {}


@pytest.mark.parametrize("name", NAMES)
def test_nothing_with_a_gradient_is_called_dead(name):
    model, x, graph = traced(name)
    masks = random_masks(model, edge_names(model), 0.05, seed=0, least=2.0)
    found = pa.to_masks(ng.drop_dead(graph.with_masks({n: mask.numpy() for n, mask in masks.items()})))
    gradients = true_gradients(model, x, masks)

    assert not any((g.ne(0) & masks[n] & ~found[n]).any() for n, g in gradients.items())
