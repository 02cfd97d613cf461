"""Where a compacted model carries its recipe, and how it is taken down.

The recipe is a text in the module's ``__dict__``: the state_dict does not have it, a deep copy does, and a pickle of
the module needs nothing of ours to load it.
"""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from torch import nn

from prune_adapters.compact.chained import joined
from prune_adapters.compact.recipe import Recipe, Removal
from prune_adapters.compact.remake import remade
from prune_adapters.masks import bare_module

__all__ = ["attach", "attached", "compact_recipe", "rebuild", "taken_down"]

ATTRIBUTE = "_compact_recipe"


def compact_recipe(module: nn.Module) -> Recipe:
    """Return the removals that make `module` of the dense model.

    Parameters
    ----------
    module : Module
        What `compact`, `rebuild` or `load_compacted` returned, a copy of it, or a model that has such a module as a
        part: then the layers go by their names in the whole.

    Returns
    -------
    Recipe
        Against the dense model, also after several rounds of `compact`.

    Raises
    ------
    ValueError
        Neither the module nor a part of it was compacted.
    RecipeError
        The recipe of a part does not go on from that of the whole.

    Examples
    --------
    >>> import torch, prune_adapters as pa
    >>> model = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.ReLU(), torch.nn.Linear(3, 1))
    >>> keep = {"0.weight": torch.tensor([[True, True], [True, False], [False, False]])}
    >>> x = torch.ones(1, 2)
    >>> for removal in pa.compact_recipe(pa.compact(model, pa.to_graph(model, x, masks=keep), x)).removals:
    ...     print(removal.layer, removal.sizes, removal.inputs, removal.outputs)
    0 (2, 3) () (2,)
    2 (3, 1) (2,) ()
    """
    recipe = attached(module)
    if recipe is None:
        raise ValueError(f"compact_recipe: this {type(module).__name__} was not returned by compact")
    return recipe


def rebuild(dense_model: nn.Module, recipe: Recipe) -> nn.Module:
    """Return a copy of a dense model with the layers that `compact` left, ready for the values of the smaller model.

    Parameters
    ----------
    dense_model : Module
        Of the class and the sizes that were compacted; its values do not matter, so it may be on the meta device. Not
        changed. Wrappers of DistributedDataParallel, DataParallel and torch.compile are left behind.
    recipe : Recipe
        From `compact_recipe`.

    Returns
    -------
    Module
        A deep copy, without masks, whose ``load_state_dict(small.state_dict())`` makes it compute what the compacted
        model does. Training mode and ``requires_grad`` are those of `dense_model`.

    Raises
    ------
    RecipeError
        A layer is missing, or is of another type or size than the one that was compacted.

    Examples
    --------
    >>> import torch, prune_adapters as pa
    >>> model = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.ReLU(), torch.nn.Linear(3, 1))
    >>> keep = {"0.weight": torch.tensor([[True, True], [True, False], [False, False]])}
    >>> x = torch.ones(1, 2)
    >>> small = pa.compact(model, pa.to_graph(model, x, masks=keep), x)
    >>> again = pa.rebuild(model, pa.compact_recipe(small))
    >>> again.load_state_dict(small.state_dict()), again[0]
    (<All keys matched successfully>, Linear(in_features=2, out_features=2, bias=True))
    """
    smaller = remade(dense_model, recipe)
    attach(smaller, recipe)
    return smaller


def attach(module: nn.Module, recipe: Recipe) -> None:
    """Let `module` carry a recipe that speaks for all of its parts.

    Parameters
    ----------
    module : Module
    recipe : Recipe
    """
    for part in module.modules():
        part.__dict__.pop(ATTRIBUTE, None)
    module.__dict__[ATTRIBUTE] = recipe.to_json()


def attached(module: nn.Module) -> Recipe | None:
    """Return the recipe that a module and its parts carry, None where there is none.

    Parameters
    ----------
    module : Module

    Returns
    -------
    Recipe or None
        Where a part was compacted after the whole, its recipe goes on from that of the whole.
    """
    recipe = None
    for path, part in bare_module(module).named_modules():
        if ATTRIBUTE in part.__dict__:
            own = Recipe.from_json(part.__dict__[ATTRIBUTE])
            placed = Recipe(tuple(replace(r, layer=f"{path}.{r.layer}".strip(".")) for r in own.removals))
            recipe = placed if recipe is None else joined(recipe, placed)
    return recipe


def taken_down(
    before: nn.Module,
    after: nn.Module,
    kept: Mapping[str, tuple[np.ndarray, np.ndarray]],
    held: Mapping[str, tuple[int, np.ndarray]],
) -> Recipe:
    """Return the recipe of what was done to the layers of a model.

    Parameters
    ----------
    before, after : Module
        The model and its smaller copy.
    kept : mapping of str to pair of ndarray of bool
        By module path: which input and output channels stayed.
    held : mapping of str to (int, ndarray of bool)
        By name of a parameter that a forward uses by itself: a dimension, and which entries along it stayed.

    Returns
    -------
    Recipe
        Against the dense model, if `before` was a compacted one itself.
    """
    removals = [_removal(path, before, after, *channels) for path, channels in kept.items()]
    for name, (dim, entries) in held.items():
        gone = tuple(np.flatnonzero(~entries).tolist())
        removals.append(Removal(name, f"Parameter {dim}", (len(entries), len(entries)), gone, gone))
    recipe = Recipe(tuple(r for r in removals if r.inputs or r.outputs or r.becomes or r.added))
    earlier = attached(before)
    return recipe if earlier is None else joined(earlier, recipe)


def _removal(path: str, before: nn.Module, after: nn.Module, inputs: np.ndarray, outputs: np.ndarray) -> Removal:
    old, new = before.get_submodule(path), after.get_submodule(path)
    return Removal(
        layer=path,
        kind=type(old).__name__,
        sizes=(len(inputs), len(outputs)),
        inputs=tuple(np.flatnonzero(~inputs).tolist()),
        outputs=tuple(np.flatnonzero(~outputs).tolist()),
        becomes="" if type(new) is type(old) else type(new).__name__,
        added=tuple(name for name in _tensors(new) if name not in _tensors(old)),
    )


def _tensors(layer: nn.Module) -> list[str]:
    """Return the attributes of a layer that are parameters and buffers."""
    held = [*layer._parameters.items(), *layer._buffers.items()]
    return [name for name, tensor in held if tensor is not None]
