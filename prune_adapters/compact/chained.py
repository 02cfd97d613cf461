"""Removals after removals: one recipe for two steps, and the second step of the two alone."""

from collections.abc import Mapping
from dataclasses import replace

from prune_adapters.compact.recipe import Recipe, Removal
from prune_adapters.errors import RecipeError

__all__ = ["joined", "since"]


def joined(first: Recipe, second: Recipe) -> Recipe:
    """Return the recipe that does what `first` and then `second` do.

    Parameters
    ----------
    first, second : Recipe
        The channels of `second` are numbered as `first` left them.

    Returns
    -------
    Recipe
        Numbered as before `first`.

    Raises
    ------
    RecipeError
        A layer does not have the sizes that `second` expects.

    Examples
    --------
    >>> first = Recipe((Removal("0", "Linear", (2, 4), (), (1,)),))
    >>> joined(first, Recipe((Removal("0", "Linear", (2, 3), (), (1,)),))).removals[0].outputs
    (1, 2)
    """
    removals = _by_layer(first)
    for removal in second.removals:
        before = removals.get(removal.layer)
        removals[removal.layer] = removal if before is None else _joined(before, removal)
    return Recipe(tuple(removals.values()))


def since(whole: Recipe, first: Recipe) -> Recipe:
    """Return the recipe that does after `first` what is missing to `whole`.

    Parameters
    ----------
    whole, first : Recipe
        Both numbered as in the dense model.

    Returns
    -------
    Recipe
        Numbered as `first` left the channels.

    Raises
    ------
    RecipeError
        `first` removes something that `whole` keeps.

    Examples
    --------
    >>> first, whole = (Recipe((Removal("0", "Linear", (2, 4), (), gone),)) for gone in [(1,), (1, 2)])
    >>> since(whole, first).removals[0].outputs
    (1,)
    """
    removals = _by_layer(whole)
    for before in first.removals:
        if before.layer not in removals:
            raise RecipeError(f"recipe: {before.layer!r} became smaller before, and is whole after")
        removals[before.layer] = _since(removals[before.layer], before)
    return Recipe(tuple(r for r in removals.values() if r.inputs or r.outputs or r.becomes or r.added))


def _by_layer(recipe: Recipe) -> dict[str, Removal]:
    return {removal.layer: removal for removal in recipe.removals}


def _joined(first: Removal, second: Removal) -> Removal:
    if first.left != second.sizes:
        raise RecipeError(
            f"recipe for {first.layer!r}: expected a second step on {first.left} channels, got {second.sizes}"
        )
    inputs, outputs = (tuple(kept.nonzero()[0].tolist()) for kept in first.kept())
    return replace(
        first,
        inputs=tuple(sorted(first.inputs + tuple(inputs[channel] for channel in second.inputs))),
        outputs=tuple(sorted(first.outputs + tuple(outputs[channel] for channel in second.outputs))),
        becomes=second.becomes or first.becomes,
        added=(*first.added, *(name for name in second.added if name not in first.added)),
    )


def _since(whole: Removal, first: Removal) -> Removal:
    grown = whole.sizes != first.sizes or not {*first.inputs} <= {*whole.inputs}
    if grown or not {*first.outputs} <= {*whole.outputs} or not {*first.added} <= {*whole.added}:
        raise RecipeError(f"recipe for {whole.layer!r}: something was removed before that is there after")
    numbers = [_new_numbers(size, gone) for size, gone in zip(first.sizes, (first.inputs, first.outputs), strict=True)]
    return Removal(
        layer=whole.layer,
        kind=first.becomes or first.kind,
        sizes=first.left,
        inputs=tuple(numbers[0][channel] for channel in whole.inputs if channel in numbers[0]),
        outputs=tuple(numbers[1][channel] for channel in whole.outputs if channel in numbers[1]),
        becomes="" if whole.becomes == first.becomes else whole.becomes,
        added=tuple(name for name in whole.added if name not in first.added),
    )


def _new_numbers(size: int, gone: tuple[int, ...]) -> Mapping[int, int]:
    """Return the new number of each channel that stays."""
    left = sorted(set(range(size)) - set(gone))
    return {channel: number for number, channel in enumerate(left)}
