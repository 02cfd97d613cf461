"""Recipes: what they list, and dense models that are rebuilt by them."""

import copy

import pytest
import torch
from torch import nn

import prune_adapters as pa
from compacting import compacted, error, masked, whole_masks
from recipes import HIDDEN, small_perceptron
from smaller import padded_pair, perceptron


def test_the_recipe_of_a_drawn_network():
    assert pa.compact_recipe(small_perceptron()) == pa.Recipe(
        (pa.Removal("0", "Linear", (2, 4), (), (1, 2, 3)), pa.Removal("2", "Linear", (4, 2), (1, 2, 3), ()))
    )


def test_a_layer_that_took_constants_over_says_what_it_became():
    model, masks = padded_pair()
    padded = compacted(model, masks, torch.ones(1, 1, 4, 4, dtype=torch.float64))
    other, masks = perceptron()
    other[2] = nn.Linear(4, 2, bias=False)
    masks["2.weight"] = torch.ones(2, 4, dtype=torch.bool)
    with_bias = compacted(other, masks, torch.ones(1, 2))

    assert pa.compact_recipe(padded).removals[1] == pa.Removal(
        *("1", "Conv2d", (2, 1), (1,), ()), "ConstantConv2d", ("ones_weight",)
    )
    assert [r.added for r in pa.compact_recipe(with_bias).removals] == [(), ("bias",)]


def test_nothing_removed_is_a_recipe_too():
    model = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 2))
    small = compacted(model, {}, torch.ones(1, 2))

    assert pa.compact_recipe(small) == pa.Recipe(())


def test_a_copy_has_the_recipe_and_the_state_dict_has_not():
    small = small_perceptron()

    assert pa.compact_recipe(copy.deepcopy(small)) == pa.compact_recipe(small)
    assert pa.compact_recipe(nn.DataParallel(small)) == pa.compact_recipe(small)
    assert list(small.state_dict()) == ["0.weight", "0.bias", "2.weight", "2.bias"]


def test_a_module_that_was_not_compacted_has_no_recipe():
    with pytest.raises(ValueError, match="compact_recipe: this Linear was not returned by compact"):
        pa.compact_recipe(nn.Linear(1, 1))


def test_a_part_of_a_model_goes_by_its_path_in_the_whole():
    whole = nn.ModuleDict({"body": small_perceptron(), "head": nn.Linear(2, 2)})

    assert [r.layer for r in pa.compact_recipe(whole).removals] == ["body.0", "body.2"]


def test_rebuilding_leaves_the_dense_model_as_it_is():
    model, masks = perceptron()
    pa.apply_masks(model.eval(), masks)
    before = copy.deepcopy(model.state_dict())
    small = pa.rebuild(model, HIDDEN)

    torch.testing.assert_close(model.state_dict(), before, rtol=0, atol=0)
    assert (model[0].out_features, small[0].out_features, small[2].in_features) == (4, 2, 2)
    assert small.training is False
    assert pa.remembered_masks(model).keys() == masks.keys()
    assert pa.remembered_masks(small) == {}
    assert pa.compact_recipe(small) == HIDDEN


def test_a_rebuilt_convolution_with_a_map_and_a_bias():
    removal = pa.Removal("0", "Conv2d", (3, 4), (0,), (1,), "ConstantConv2d", ("bias", "ones_weight"))
    with torch.device("meta"):
        dense = nn.Sequential(nn.Conv2d(3, 4, 5, padding=2, bias=False))
    layer = pa.rebuild(dense, pa.Recipe((removal,)))[0]

    assert type(layer).__name__ == "ConstantConv2d"
    assert {name: tuple(p.shape) for name, p in layer.named_parameters()} == {
        "weight": (3, 2, 5, 5),
        "bias": (3,),
        "ones_weight": (3, 1, 5, 5),
    }


class OwnLinear(nn.Linear):
    """Some other layer."""


class Linear(nn.Linear):
    """A layer that only has the name of torch's."""


@pytest.mark.parametrize(
    ("layer", "removal", "message"),
    [
        (
            nn.Linear(2, 4),
            ("1", "Linear", (2, 4), (), (1,)),
            r"expected a module '1', the Sequential has '', '0'; give",
        ),
        (nn.Linear(2, 3), ("0", "Linear", (2, 4), (), (1,)), r"expected 2 inputs and 4 outputs, got 2 and 3; give the"),
        (nn.Conv1d(2, 4, 1), ("0", "Linear", (2, 4), (), (1,)), r"expected torch's Linear, got torch.nn.modules.conv"),
        (OwnLinear(2, 4), ("0", "Linear", (2, 4), (), (1,)), r"expected torch's Linear, got \S*test_recipe.OwnLinear"),
        (Linear(2, 4), ("0", "Linear", (2, 4), (), (1,)), r"expected torch's Linear, got \S*test_recipe.Linear"),
        (nn.ReLU(), ("0", "ReLU", (2, 4), (), (1,)), r"expected torch's ReLU, got torch.nn.modules.activation.ReLU"),
        (nn.Linear(2, 4), ("0", "Linear", (2, 4), (), (1,), "", ("bias",)), r"a layer without 'bias', got one that"),
        (
            nn.Linear(2, 4),
            ("0", "Linear", (2, 4), (), (1,), "Odd"),
            r"it became a Odd, which is not known here; update",
        ),
        (nn.Linear(2, 4, bias=False), ("0", "Linear", (2, 4), (), (1,), "", ("odd",)), r"at most a new bias in"),
        (nn.Conv1d(4, 4, 1, groups=2), ("0", "Conv1d", (4, 4), (0,), (0,)), r"whole groups of Conv1d, got parts of"),
        (nn.Conv1d(4, 4, 1, groups=2), ("0", "Conv1d", (4, 4), (0, 1), (2, 3)), r"whole groups of Conv1d, got parts"),
        (nn.BatchNorm1d(4), ("0", "BatchNorm1d", (4, 4), (0, 1), (0,)), r"whole groups of BatchNorm1d, got parts of"),
    ],
)
def test_a_model_that_the_recipe_is_not_for(layer, removal, message):
    model = nn.Sequential(layer)
    before = repr(model)

    with pytest.raises(pa.RecipeError, match=message):
        pa.rebuild(model, pa.Recipe((pa.Removal(*removal),)))
    assert repr(model) == before


def test_a_model_that_is_compacted_already_is_not_the_dense_one():
    small = small_perceptron()

    with pytest.raises(pa.RecipeError, match="'0': expected 2 inputs and 4 outputs, got 2 and 1; give the dense model"):
        pa.rebuild(small, pa.compact_recipe(small))


NORMS = {
    "layer": lambda: nn.LayerNorm(8),
    "plain layer": lambda: nn.LayerNorm(8, elementwise_affine=False),
    "RMS": lambda: nn.RMSNorm(8),
    "group": lambda: nn.GroupNorm(2, 8),
    "plain group, one of them gone": lambda: nn.GroupNorm(4, 8, affine=False),
}


@pytest.mark.parametrize("constant", [0.0, 0.7])
@pytest.mark.parametrize("norm", NORMS.values(), ids=list(NORMS))
def test_a_norm_that_counts_what_it_has_lost_is_rebuilt(norm, constant):
    model = nn.Sequential(nn.Linear(3, 8), norm(), nn.Linear(8, 4))
    nn.init.constant_(model[0].bias[5:].detach(), constant)
    masks = whole_masks(model)
    masks["0.weight"][5:] = masks["2.weight"][:, 5:] = False
    x = torch.randn(4, 3)
    small = compacted(model, masks, x)
    again = pa.rebuild(nn.Sequential(nn.Linear(3, 8), norm(), nn.Linear(8, 4)), pa.compact_recipe(small))
    again.load_state_dict(small.state_dict())
    removal = pa.compact_recipe(small).removals[1]

    assert (removal.becomes, removal.outputs) == (f"Counted{removal.kind}", (5, 6, 7))
    assert bool(removal.added) == (constant != 0)
    assert repr(again) == repr(small)
    assert error(small, again, x) == 0


def test_a_grouped_and_a_transposed_convolution_are_rebuilt():
    model = nn.Sequential(
        nn.Conv2d(2, 4, 1), nn.Conv2d(4, 6, 3, groups=2), nn.ReLU(), nn.ConvTranspose2d(6, 4, 2), nn.Conv2d(4, 2, 1)
    )
    masks = {name: torch.ones_like(p, dtype=torch.bool) for name, p in model.named_parameters() if p.dim() > 1}
    masks["3.weight"][3:] = masks["4.weight"][:, 1:] = False
    x = torch.randn(2, 2, 5, 5)
    small = compacted(model, masks, x)
    again = pa.rebuild(model, pa.compact_recipe(small))
    again.load_state_dict(small.state_dict())

    assert (again[1].groups, again[3].in_channels, again[3].out_channels) == (1, 3, 1)
    assert error(small, again, x) == 0
    assert error(masked(model, masks), again, x) < 1e-5
