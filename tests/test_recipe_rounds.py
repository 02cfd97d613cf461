"""Recipes of models that were compacted several times, against the dense model."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import prune_adapters as pa
from compacting import compacted, error
from prune_adapters.compact.chained import joined, since
from recipes import HIDDEN
from smaller import perceptron


def random_removal(layer: str, sizes: tuple[int, int], seed: int) -> pa.Removal:
    generator = np.random.default_rng([seed, *layer.encode()])
    gone = [tuple(np.flatnonzero(generator.random(size) < 0.4)[: size - 1].tolist()) for size in sizes]
    return pa.Removal(layer, "Conv2d", sizes, *gone)


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
