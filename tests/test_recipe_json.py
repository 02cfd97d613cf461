"""Recipes as JSON: networks come back from it to the bit, and damaged texts are refused."""

import contextlib
import json

import pytest
import torch
from torch import nn

import prune_adapters as pa
from compacting import compacted, drawn, error, randomized
from networks import CASES
from recipes import HIDDEN, small_perceptron
from smaller import is_defined, masks_for

QUICK = ["mlp", "vgg", "se_resnet", "group_norm", "conv1d", "instance_norm", "tied_embedding", "glu"]
GOOD = {"layer": "0", "kind": "Linear", "sizes": [2, 4], "inputs": [], "outputs": [1, 2], "becomes": "", "added": []}


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


@pytest.mark.parametrize("name", QUICK)
def test_a_network_is_rebuilt_to_the_bit_from_json_and_state_dict(name):
    assert round_trip_error(name, 0.9) == 0


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_every_network_is_rebuilt_to_the_bit(name):
    for sparsity in (0.3, 0.9, 0.99)[: 3 if is_defined(name, 0.9) else 1]:
        assert round_trip_error(name, sparsity) == 0
