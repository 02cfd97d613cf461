"""Every network of the list, compacted under random and magnitude masks, computes what the masked one does."""

from collections.abc import Mapping

import pytest
import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map

import prune_adapters as pa
from compacting import BOUNDS, compacted, drawn, error, masked, n_parameters, randomized
from networks import CASES, edge_names
from oracle import random_masks
from smaller import is_defined

FIXED_SIZE = """mlp lenet_300_100 lenet vgg vgg_bn vit_class vit_mean torch_vit raw_matmul chunked_projection conv3d
embedding tied_embedding shared_module weight_norm layer_scale einsum glu product two_inputs named_inputs"""
"""Networks whose inputs have one size only; all others take images of any even size."""


def masks_for(model: nn.Module, how: str, sparsity: float, seed: int) -> Mapping[str, Tensor]:
    names = edge_names(model)
    if how == "random":
        return random_masks(model, names, 1 - sparsity, seed=seed)
    scores = {name: score for name, score in pa.magnitude_scores(model).items() if name in names}
    return pa.masks_from_scores(scores, sparsity=sparsity)


def largest_error(name: str, how: str, sparsity: float, dtype: torch.dtype, seed: int) -> float:
    """Return the error of a compacted network of the list, the largest over three sizes where the model allows them."""
    model = randomized(CASES[name].model(seed), seed).to(dtype)
    inputs = tree_map(lambda t: t.to(dtype) if t.is_floating_point() else t, CASES[name].inputs())
    masks = masks_for(model, how, sparsity, seed)
    small, expected = compacted(model, masks, inputs), masked(model, masks)
    sizes = (0,) if name in FIXED_SIZE.split() else (0, 4, 10)
    return max(error(expected, small, drawn(inputs, seed, longer)) for longer in sizes)


LARGE = {"resnet50", "resnext50"}
"""Slow; what they are made of is in the others too."""


@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.slow) if n in LARGE else n for n in CASES])
def test_the_function_stays(name):
    """Issues 3010 of NNI and 7 of simplify: the outputs differed after removal."""
    settings = [(0.3, torch.float32), (0.9, torch.float32), (0.99, torch.float64)]
    for sparsity, dtype in settings[: 3 if is_defined(name, 0.9) else 1]:
        assert largest_error(name, "random", sparsity, dtype, 0) < BOUNDS[dtype], (sparsity, dtype)


@pytest.mark.slow
@pytest.mark.parametrize("how", ["random", "magnitude"])
@pytest.mark.parametrize("name", CASES)
def test_the_function_stays_in_every_setting(name, how):
    for sparsity in (0.3, 0.5, 0.7, 0.9, 0.95, 0.99):
        for seed in range(5 if is_defined(name, sparsity) else 0):
            for dtype, bound in BOUNDS.items():
                assert largest_error(name, how, sparsity, dtype, seed) < bound, (sparsity, seed, dtype)


@pytest.mark.parametrize("name", ["mlp", "lenet", "vgg_bn", "mobilenet_v2", "densenet", "se_resnet", "resnet20_b"])
def test_sparse_networks_really_get_smaller(name):
    model = randomized(CASES[name].model(), 0)
    masks = random_masks(model, edge_names(model), 0.01, seed=0)
    small = compacted(model, masks, CASES[name].inputs())

    assert n_parameters(small) < 0.5 * n_parameters(model)
