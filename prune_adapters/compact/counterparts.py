"""Which parameter of a compacted model stands for which one of the model that it was made of, element by element."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import nn

from netgraph.describe import some_names
from prune_adapters.compact.attached import attached, compact_recipe
from prune_adapters.compact.chained import since
from prune_adapters.compact.recipe import Recipe
from prune_adapters.compact.remake import check_fits, source_indices
from prune_adapters.errors import RecipeError
from prune_adapters.masks import bare_module

__all__ = ["Counterpart", "NewParameter", "counterparts", "new_parameters", "recipe_between"]


@dataclass(frozen=True, eq=False)
class Counterpart:
    """A parameter of the model and what became of it.

    Parameters
    ----------
    name : str
    old : Parameter
    new : Parameter or None
        None where nothing is left of it.
    source : tuple of Tensor of int64, or None
        The indices that stayed along the first dimensions; None where all stayed.
    """

    name: str
    old: nn.Parameter
    new: nn.Parameter | None
    source: tuple[torch.Tensor, ...] | None

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of what stays."""
        kept = tuple(len(indices) for indices in self.source or ())
        return kept + tuple(self.old.shape[len(kept) :])

    def smaller(self, tensor: torch.Tensor) -> torch.Tensor:
        """Return the elements of a tensor of the old shape that stay, in the memory layout of `new`."""
        if self.source is None or self.new is None:
            return tensor
        dtype = self.new.dtype if tensor.dtype == self.old.dtype else tensor.dtype
        room = torch.empty_like(self.new, dtype=dtype, device=tensor.device, requires_grad=False)
        for dim, indices in enumerate(self.source):
            tensor = tensor.index_select(dim, indices.to(tensor.device))
        return room.copy_(tensor)


@dataclass(frozen=True, eq=False)
class NewParameter:
    """A parameter that a layer was given when it became smaller, such as a bias that takes constants over.

    Parameters
    ----------
    name : str
    value : Parameter
    before : tuple of Parameter
        The parameters of the same smaller layer that come before it, its weight first.
    """

    name: str
    value: nn.Parameter
    before: tuple[nn.Parameter, ...]


def recipe_between(model: nn.Module, small: nn.Module) -> Recipe:
    """Return the recipe that makes `small` of `model`, which may have been compacted before.

    Parameters
    ----------
    model, small : Module

    Returns
    -------
    Recipe

    Raises
    ------
    ValueError
        `small` was not compacted.
    RecipeError
        It was not made of `model`.
    """
    recipe, earlier = compact_recipe(small), attached(model)
    recipe = recipe if earlier is None else since(recipe, earlier)
    check_fits(bare_module(model), recipe)
    return recipe


def counterparts(model: nn.Module, small: nn.Module, recipe: Recipe) -> list[Counterpart]:
    """Return what became of each parameter of `model`, a shared one once.

    Parameters
    ----------
    model, small : Module
    recipe : Recipe
        What `recipe_between` returns.

    Returns
    -------
    list of Counterpart
        In the order of ``model.named_parameters()``.

    Raises
    ------
    RecipeError
        The parameters of `small` are not those that the recipe leaves.
    """
    old, new = (dict(bare_module(m).named_parameters(remove_duplicate=False)) for m in (model, small))
    sources = _sources(bare_module(model), recipe)
    found: dict[int, Counterpart] = {}
    for name, parameter in old.items():
        gone = name in sources and sources[name] is None
        counterpart = Counterpart(name, parameter, None if gone else new.get(name), sources.get(name))
        _check(counterpart, gone)
        if found.setdefault(id(parameter), counterpart).new is not counterpart.new:
            raise RecipeError(f"{name!r} is shared in the model and one of its own in the smaller model; tie it there")
    added = {parameter.name for parameter in new_parameters(model, small, recipe)}
    if foreign := new.keys() - old.keys() - added:
        raise RecipeError(
            f"the smaller model has {some_names(dict.fromkeys(sorted(foreign)))}, which the model has not"
        )
    return list(found.values())


def new_parameters(model: nn.Module, small: nn.Module, recipe: Recipe) -> list[NewParameter]:
    """Return the parameters of smaller layers that have no counterpart.

    Parameters
    ----------
    model, small : Module
    recipe : Recipe

    Returns
    -------
    list of NewParameter
    """
    layers = [removal.layer for removal in recipe.removals if removal.dim is None]
    return [added for layer in layers for added in _added(model, small, layer)]


def _added(model: nn.Module, small: nn.Module, path: str) -> Iterator[NewParameter]:
    old, new = (bare_module(m).get_submodule(path)._parameters for m in (model, small))
    own = [(key, parameter) for key, parameter in new.items() if parameter is not None]
    for place, (key, parameter) in enumerate(own):
        if old.get(key) is None:
            yield NewParameter(f"{path}.{key}".lstrip("."), parameter, tuple(p for _, p in own[:place]))


def _sources(model: nn.Module, recipe: Recipe) -> dict[str, tuple[torch.Tensor, ...] | None]:
    """Return what stayed of each parameter of a smaller layer, None where the parameter went."""
    found: dict[str, tuple[torch.Tensor, ...] | None] = {}
    for removal in recipe.removals:
        if removal.dim is not None:
            whole = [torch.arange(size) for size in model.get_parameter(removal.layer).shape[: removal.dim]]
            found[removal.layer] = (*whole, torch.from_numpy(removal.kept()[0]).nonzero().flatten())
            continue
        layer = model.get_submodule(removal.layer)
        indices = source_indices(layer, removal)
        keys = [key for key, parameter in layer._parameters.items() if parameter is not None]
        found |= {f"{removal.layer}.{key}".lstrip("."): indices.get(key) for key in keys}
    return found


def _check(counterpart: Counterpart, gone: bool) -> None:
    name, new, shape = counterpart.name, counterpart.new, counterpart.shape
    if not gone and (new is None or new.shape != shape):
        found = "none" if new is None else tuple(new.shape)
        raise RecipeError(f"{name!r}: expected shape {shape} in the smaller model, got {found}; it is of another model")
