"""Masks: names, checks, and from graph to masks and back."""

import numpy as np
import pytest
import torch
from torch import nn

import netgraph as ng
import prune_adapters as pa
from chains import chain
from prune_adapters.masks import bare_module, density, parameter_names, parameter_owners, sparsity


def kept(*shape: int) -> torch.Tensor:
    return torch.ones(shape, dtype=torch.bool)


@pytest.fixture
def tied() -> nn.Sequential:
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    model[1].weight = model[0].weight
    return model


def test_masks_of_a_graph_are_bool_tensors_in_the_shape_of_the_parameter() -> None:
    masks = pa.to_masks(chain([3, 2]))

    assert list(masks) == ["w1"]
    assert masks["w1"].dtype == torch.bool
    assert masks["w1"].tolist() == [[True] * 3] * 2


@pytest.mark.parametrize("seed", range(5))
def test_masks_to_graph_to_masks_is_the_identity(seed: int) -> None:
    draw = np.random.default_rng(seed)
    graph = chain([70, 33, 5])
    masks = {name: draw.random(info.shape) < 0.3 for name, info in graph.parameters.items()}

    found = pa.to_masks(graph.with_masks(masks))

    for name, mask in masks.items():
        np.testing.assert_array_equal(found[name].numpy(), mask)


def test_an_element_is_kept_if_any_use_keeps_it() -> None:
    index = ng.ElementIndex(0, (2, 2, 1, 1))
    uses = [ng.Connection("w", "x", name, 1, 2, index=index) for name in ("y", "z")]
    graph = ng.NetGraph({"x": 2, "y": 1, "z": 1}, uses, bits=[0b01, 0b10], inputs=[0, 1], outputs=[2, 3])

    assert pa.to_masks(graph)["w"].tolist() == [True, True]


def test_density_counts_elements_not_parameters() -> None:
    masks = {"a": kept(1, 8), "b": ~kept(2)}

    assert density(masks) == 0.8
    assert sparsity(masks) == pytest.approx(0.2)
    assert density({}) == density({"empty": kept(0, 3)}) == 1.0


def test_masks_come_back_in_the_order_of_the_parameters() -> None:
    model = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))

    checked = pa.check_masks(model, {"1.weight": kept(1, 3), "0.weight": kept(3, 2)})

    assert list(checked) == ["0.weight", "1.weight"]


@pytest.mark.parametrize("wrap", [nn.DataParallel, lambda m: torch.compile(m, backend="eager")], ids=["dp", "compile"])
def test_prefixes_of_wrappers_are_left_out(wrap) -> None:
    model = nn.Sequential(nn.Linear(2, 3))
    wrapped = wrap(model)
    full_name = next(name for name, _ in wrapped.named_parameters())

    assert bare_module(wrapped) is model
    assert list(pa.check_masks(wrapped, {full_name: kept(3, 2)})) == ["0.weight"]
    assert list(pa.check_masks(model, {full_name: kept(3, 2)})) == ["0.weight"]


def test_names_inside_a_compiled_submodule_stay_as_they_were() -> None:
    model = nn.Sequential(nn.Linear(2, 3))
    model[0] = torch.compile(model[0], backend="eager")

    assert list(parameter_names(model)) == ["0.weight", "0.bias"]


def test_a_shared_parameter_goes_by_its_first_name(tied: nn.Sequential) -> None:
    mask = kept(3, 3)

    assert list(pa.check_masks(tied, {"1.weight": mask})) == ["0.weight"]
    assert list(pa.check_masks(tied, {"1.weight": mask, "0.weight": mask.clone()})) == ["0.weight"]
    assert [module for module, _ in parameter_owners(tied)["0.weight"]] == [tied[0], tied[1]]


def test_a_shared_module_is_one_owner_with_two_names() -> None:
    shared = nn.Linear(2, 2)
    model = nn.Sequential(shared, shared)

    assert parameter_names(model)["1.weight"] == "0.weight"
    assert parameter_owners(model)["0.weight"] == [(shared, "weight")]


def test_two_masks_for_one_parameter_must_agree(tied: nn.Sequential) -> None:
    with pytest.raises(pa.MaskError, match=r"mask for '1.weight': differs from the one for '0.weight'"):
        pa.check_masks(tied, {"0.weight": kept(3, 3), "1.weight": ~kept(3, 3)})


@pytest.mark.parametrize(
    ("name", "mask", "message"),
    [
        ("fc", kept(3, 2), r"no parameter 'fc'; the model has 'weight', 'bias'"),
        (
            "weight",
            kept(2, 3),
            r"mask for 'weight': expected shape \(3, 2\), got \(2, 3\); linear weights are",
        ),
        ("weight", kept(6), r"mask for 'weight': expected shape \(3, 2\), got \(6,\)$"),
        ("weight", torch.ones(3, 2), r"mask for 'weight': expected dtype torch.bool, got torch.float32; use mask != 0"),
        ("weight", np.ones((3, 2), bool), r"mask for 'weight': expected a tensor, got ndarray; use torch.as_tensor"),
    ],
)
def test_bad_masks(name: str, mask: torch.Tensor, message: str) -> None:
    with pytest.raises(pa.MaskError, match=message):
        pa.check_masks(nn.Linear(2, 3), {name: mask})


def test_mask_errors_are_value_errors() -> None:
    assert issubclass(pa.MaskError, ValueError)
    assert issubclass(pa.MaskError, pa.PruneAdaptersError)
