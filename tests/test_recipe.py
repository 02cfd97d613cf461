"""Recipes: what they list, their way through JSON, and dense models that are rebuilt by them."""

import contextlib
import copy
import json

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import prune_adapters as pa
from compacting import compacted, drawn, error, masked, randomized, whole_masks
from networks import CASES
from prune_adapters.compact.chained import joined, since
from smaller import is_defined, masks_for, padded_pair, perceptron

QUICK = ["mlp", "vgg", "se_resnet", "group_norm", "conv1d", "instance_norm", "tied_embedding", "glu"]
GOOD = {"layer": "0", "kind": "Linear", "sizes": [2, 4], "inputs": [], "outputs": [1, 2], "becomes": "", "added": []}
HIDDEN = pa.Recipe((pa.Removal("0", "Linear", (2, 4), (), (1, 2)), pa.Removal("2", "Linear", (4, 2), (1, 2), ())))


def small_perceptron() -> nn.Module:
    model, masks = perceptron()
    return compacted(model, masks, torch.ones(1, 2))


def text(**changed: object) -> str:
    """Return the JSON of a recipe with one removal, changed."""
    return json.dumps({"format": "prune_adapters.recipe", "version": 1, "removals": [GOOD | changed]})


def built_anew(name: str) -> nn.Module:
    """Return a network of the list on the meta device: its class and sizes, and no values."""
    with torch.device("meta"):
        return CASES[name].model(1)


def round_trip_error(name: str, sparsity: float) -> float:
    """Return by how much the outputs differ when a network was rebuilt from JSON and the state_dict."""
    model, inputs = randomized(CASES[name].model(), 0), CASES[name].inputs()
    small = compacted(model, masks_for(model, sparsity, 0), inputs)
    again = pa.rebuild(built_anew(name), pa.Recipe.from_json(pa.compact_recipe(small).to_json()))
    again.load_state_dict(small.state_dict(), assign=True)
    return error(small.eval(), again.eval(), drawn(inputs, 0))


def random_removal(layer: str, sizes: tuple[int, int], seed: int) -> pa.Removal:
    generator = np.random.default_rng([seed, *layer.encode()])
    gone = [tuple(np.flatnonzero(generator.random(size) < 0.4)[: size - 1].tolist()) for size in sizes]
    return pa.Removal(layer, "Conv2d", sizes, *gone)


# What compact lists


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


# Several rounds


def without(model: nn.Module, gone: dict[int, list[int]]) -> nn.Module:
    """Return the model compacted after some inputs of its layers were masked."""
    masks = {f"{layer}.weight": torch.ones_like(model[layer].weight, dtype=torch.bool) for layer in gone}
    for layer, channels in gone.items():
        masks[f"{layer}.weight"][:, channels] = False
    return compacted(model, masks, torch.ones(1, 2))


def test_after_two_rounds_the_recipe_is_against_the_dense_model():
    model = nn.Sequential(nn.Linear(2, 6), nn.Tanh(), nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 2))
    middle = without(model, {2: [0, 3]})
    small = without(middle, {2: [1], 4: [4]})
    again = pa.rebuild(model, pa.compact_recipe(small))
    again.load_state_dict(small.state_dict())

    assert pa.compact_recipe(middle).removals[1] == pa.Removal("2", "Linear", (6, 5), (0, 3), ())
    assert pa.compact_recipe(small).removals[1] == pa.Removal("2", "Linear", (6, 5), (0, 2, 3), (4,))
    assert error(small, again, torch.ones(1, 2)) == 0


def test_a_part_that_is_compacted_again_goes_on_from_the_whole():
    class Whole(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = perceptron()[0]

        def forward(self, x: Tensor) -> Tensor:
            return self.body(x)

    model, x = Whole(), torch.ones(1, 2)
    small = compacted(model, {"body.2.weight": torch.tensor([[True, True, True, False]] * 2)}, x)
    small.body = compacted(small.body, {"2.weight": torch.tensor([[True, False, True]] * 2)}, x)
    again = pa.rebuild(model, pa.compact_recipe(small))
    again.load_state_dict(small.state_dict())

    assert [(r.layer, r.inputs, r.outputs) for r in pa.compact_recipe(small).removals] == [
        ("body.0", (), (1, 3)),
        ("body.2", (1, 3), ()),
    ]
    assert error(small, again, x) == 0
    assert pa.compact_recipe(compacted(small, {}, x)) == pa.compact_recipe(small)


def test_what_a_layer_became_in_the_first_round_stays():
    first = pa.Removal("0", "Conv2d", (4, 4), (1,), (), "ConstantConv2d", ("ones_weight",))
    second = pa.Removal("0", "ConstantConv2d", (3, 4), (2,), (3,), "", ("bias",))
    both = pa.Removal("0", "Conv2d", (4, 4), (1, 3), (3,), "ConstantConv2d", ("ones_weight", "bias"))
    whole = joined(pa.Recipe((first,)), pa.Recipe((second,)))

    assert whole == pa.Recipe((both,))
    assert since(whole, pa.Recipe((first,))) == pa.Recipe((second,))


@pytest.mark.parametrize("seed", range(20))
def test_a_second_round_can_be_added_and_taken_away_again(seed):
    layers = {"a": (5, 9), "b": (8, 3), "c": (2, 2)}
    first = pa.Recipe(tuple(random_removal(layer, sizes, seed) for layer, sizes in layers.items()))
    second = pa.Recipe(tuple(random_removal(r.layer, r.left, seed + 1) for r in first.removals))
    whole = joined(first, second)

    assert [r.left for r in whole.removals] == [r.left for r in second.removals]
    assert since(whole, first).removals == tuple(r for r in second.removals if r.inputs or r.outputs)
    for one, two, both in zip(first.removals, second.removals, whole.removals, strict=True):
        for side in (0, 1):
            step = np.arange(one.sizes[side])[one.kept()[side]][two.kept()[side]]
            assert step.tolist() == np.flatnonzero(both.kept()[side]).tolist()


def test_rounds_that_do_not_follow_each_other_are_refused():
    later = pa.Recipe((pa.Removal("0", "Linear", (2, 4), (), (1,)),))

    with pytest.raises(pa.RecipeError, match=r"recipe for '0': expected a second step on \(2, 2\) channels, got"):
        joined(HIDDEN, later)
    with pytest.raises(pa.RecipeError, match="recipe: '2' became smaller before, and is whole after"):
        since(later, pa.Recipe((later.removals[0], HIDDEN.removals[1])))
    with pytest.raises(pa.RecipeError, match="recipe for '0': something was removed before that is there after"):
        since(later, pa.Recipe((pa.Removal("0", "Linear", (2, 4), (), (2,)),)))


# JSON


def test_drawn_json():
    recipe = pa.Recipe.from_json(text())

    assert recipe == pa.Recipe((pa.Removal("0", "Linear", (2, 4), (), (1, 2)),))
    assert json.loads(recipe.to_json()) == json.loads(text())
    assert recipe.removals[0].left == (2, 2)


@pytest.mark.parametrize(
    ("found", "message"),
    [
        ("", r"recipe: expected the JSON of Recipe.to_json \("),
        ("[" * 100_000, r"recipe: expected the JSON of Recipe.to_json \("),
        (None, r"recipe: expected the JSON of Recipe.to_json \("),
        ("[1, 2]", r"recipe: expected JSON with format 'prune_adapters.recipe', got \[1, 2\]"),
        (
            text().replace('"version": 1', '"version": 2'),
            r"expected version 1, got 2; update prune_adapters to read it",
        ),
        (text().replace('"removals"', '"things"'), "expected a list of removals, got None"),
        (text(more=1), "expected a removal with added, becomes, inputs, kind, layer, outputs, sizes, got"),
        (text(layer=3), "removal from 3: layer, kind and becomes are texts, added is a list of"),
        (text(added=0), "removal from '0': layer, kind and becomes are texts, added is a list of"),
        (text(added=[0]), "removal from '0': layer, kind and becomes are texts, added is a list of"),
        (text(sizes=[2, 4, 4]), r"removal from '0': expected two sizes, got \(2, 4, 4\)"),
        (text(sizes=[2, True]), r"removal from '0': expected two sizes, got \(2, True\)"),
        (text(outputs=[2, 1]), r"outputs of '0': expected ascending channel numbers, got \(2, 1\)"),
        (text(outputs=[1.0]), r"outputs of '0': expected ascending channel numbers, got \(1.0,\)"),
        (text(outputs=7), r"outputs of '0': expected ascending channel numbers, got 7"),
        (text(outputs=[4]), r"outputs of '0': expected channels from 0 to 3, got \(4,\)"),
        (text(outputs=[-1]), r"outputs of '0': expected channels from 0 to 3, got \(-1,\)"),
        (text(inputs=[0, 1]), "inputs of '0': expected at least one channel to be left, got 2 of 2 removed"),
    ],
)
def test_damaged_json(found, message):
    with pytest.raises(pa.RecipeError, match=message):
        pa.Recipe.from_json(found)


def test_two_removals_from_one_layer():
    with pytest.raises(pa.RecipeError, match="expected one removal for each layer, got several for '0'"):
        pa.Recipe((HIDDEN.removals[0], HIDDEN.removals[0]))


def test_every_cut_of_the_json_is_noticed_and_a_changed_letter_raises_nothing_else():
    whole = pa.compact_recipe(small_perceptron()).to_json()
    for place in range(len(whole)):
        with pytest.raises(pa.RecipeError):
            pa.Recipe.from_json(whole[:place])
        for letter in '0}"a':
            with contextlib.suppress(pa.RecipeError):
                pa.Recipe.from_json(whole[:place] + letter + whole[place + 1 :])


# Rebuilding


@pytest.mark.parametrize("name", QUICK)
def test_a_network_is_rebuilt_to_the_bit_from_json_and_state_dict(name):
    assert round_trip_error(name, 0.9) == 0


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_every_network_is_rebuilt_to_the_bit(name):
    for sparsity in (0.3, 0.9, 0.99)[: 3 if is_defined(name, 0.9) else 1]:
        assert round_trip_error(name, sparsity) == 0


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
