"""A dense model brought into the shape that a recipe says; its values do not matter."""

import copy
from collections.abc import Callable
from math import prod

import torch
from torch import nn

from netgraph.describe import some_names
from prune_adapters.apply import remove_masks
from prune_adapters.compact import border, counted, heads
from prune_adapters.compact.rebuild import shrink, shrink_parameter
from prune_adapters.compact.recipe import Recipe, Removal
from prune_adapters.errors import RecipeError
from prune_adapters.masks import bare_module

__all__ = ["OWN_TYPES", "channels_of", "check_fits", "remade", "remake", "source_indices"]

SIZES = (
    ("in_features", "out_features"),
    ("in_channels", "out_channels"),
    ("num_embeddings", "embedding_dim"),
    *((name, name) for name in ("num_features", "num_parameters", "num_channels", "normalized_shape", "num_heads")),
)
"""Under which attributes torch's layers keep the number of their input and output channels."""
HOMES = ("torch.", "prune_adapters.")


def _with_empty_map(layer: nn.Module, _: tuple[str, ...]) -> None:
    weight = layer.get_parameter("weight")
    border.with_constants(layer, weight.new_zeros((len(weight), 1, *weight.shape[2:])))


def _with_empty_statistics(norm: nn.Module, added: tuple[str, ...]) -> None:
    """Give a norm, which is of its type as soon as it is smaller, room for what its removed constants add."""
    weight, n_groups = norm._parameters.get("weight"), getattr(norm, "num_groups", 1)
    dtype, device = (torch.float64, None) if weight is None else (weight.dtype, weight.device)
    for name in added:
        norm.register_buffer(name, torch.zeros(n_groups, dtype=dtype, device=device))


OWN_TYPES: dict[str, Callable[[nn.Module, tuple[str, ...]], None]] = {
    **{kind.__name__: _with_empty_map for kind in border.KINDS.values()},
    **{kind.__name__: _with_empty_statistics for kind in counted.KINDS.values()},
    heads.FewerHeads.__name__: lambda layer, added: None,
}
"""For each of our own types what turns a layer, already smaller, into it in place, with the tensors that were added."""


def remade(model: nn.Module, recipe: Recipe) -> nn.Module:
    """Return a deep copy of a dense model with the smaller shapes of a recipe, without the masks that it remembers.

    Parameters
    ----------
    model : Module
        Not changed.
    recipe : Recipe

    Returns
    -------
    Module

    Raises
    ------
    RecipeError
        The model is not of the class, or not of the sizes, that was compacted.

    Examples
    --------
    >>> remade(nn.Sequential(nn.Linear(2, 3)), Recipe((Removal("0", "Linear", (2, 3), (0,), ()),)))
    Sequential(
      (0): Linear(in_features=1, out_features=3, bias=True)
    )
    """
    bare = bare_module(model)
    check_fits(bare, recipe)
    smaller = remove_masks(copy.deepcopy(bare))
    for removal in recipe.removals:
        if removal.dim is None:
            remake(smaller.get_submodule(removal.layer), removal)
        else:
            shrink_parameter(smaller, removal.layer, removal.dim, removal.kept()[0])
    return smaller


def remake(layer: nn.Module, removal: Removal) -> None:
    """Bring a layer, in place, into the shape and the type that it had after the removal.

    Parameters
    ----------
    layer : Module
    removal : Removal
        Fits the layer (see `check_fits`).
    """
    shrink(layer, *removal.kept())
    if "bias" in removal.added:
        weight = layer.get_parameter("weight")
        layer.register_parameter("bias", nn.Parameter(weight.new_zeros(removal.left[1]), weight.requires_grad))
    if removal.becomes:
        OWN_TYPES[removal.becomes](layer, removal.added)


def source_indices(layer: nn.Module, removal: Removal) -> dict[str, tuple[torch.Tensor, ...]]:
    """Return for each parameter of the layer after the removal which of its rows and columns stayed.

    What `remake` does to a layer of the same sizes whose values are their own places says so, whatever the type.

    Parameters
    ----------
    layer : Module
        As it was before; not changed.
    removal : Removal

    Returns
    -------
    dict of str to tuple of Tensor of int64
        By attribute: the indices that stayed along the first dimension and, if there is one, the second. A parameter
        that is new, or of which nothing is left, is left out.

    Examples
    --------
    >>> source_indices(nn.Linear(2, 3), Removal("", "Linear", (2, 3), (0,), (1,)))
    {'weight': (tensor([0, 2]), tensor([1])), 'bias': (tensor([0, 2]),)}
    """
    before = {key for key, parameter in layer._parameters.items() if parameter is not None}
    along = [_remade_places(layer, removal, dim) for dim in (0, 1)]
    return {
        key: tuple(_along(places[key], dim) for dim, places in enumerate(along[: p.dim()]))
        for key, p in along[0].items()
        if key in before
    }


def channels_of(layer: nn.Module) -> tuple[int, int] | None:
    """Return the numbers of input and output channels of a layer, or None if it is of no type that can be smaller.

    Of a norm both are its channels, of an embedding tokens and dimensions, of attention its heads.

    Examples
    --------
    >>> channels_of(nn.Conv2d(3, 8, 1)), channels_of(nn.BatchNorm2d(4)), channels_of(nn.ReLU())
    ((3, 8), (4, 4), None)
    """
    for names in SIZES:
        if hasattr(layer, names[0]):
            sizes = [getattr(layer, name) for name in names]
            return tuple(size if isinstance(size, int) else prod(size) for size in sizes)  # type: ignore[return-value]
    return None


def check_fits(model: nn.Module, recipe: Recipe) -> None:
    """Raise `RecipeError` where a layer of the model is not what the recipe takes its channels from.

    Parameters
    ----------
    model : Module
    recipe : Recipe
    """
    modules = dict(model.named_modules(remove_duplicate=False))
    for removal in (removal for removal in recipe.removals if removal.dim is not None):
        _check_parameter(dict(model.named_parameters()).get(removal.layer), removal)
    for removal in (removal for removal in recipe.removals if removal.dim is None):
        if removal.layer not in modules:
            raise RecipeError(
                f"recipe: expected a module {removal.layer!r}, the {type(model).__name__} has {some_names(modules)}; "
                "give the class that was compacted"
            )
        if wrong := _misfit(modules[removal.layer], removal):
            raise RecipeError(f"recipe for {removal.layer!r}: {wrong}")


def _check_parameter(parameter: nn.Parameter | None, removal: Removal) -> None:
    shape, dim = () if parameter is None else tuple(parameter.shape), removal.dim or 0
    if shape[dim : dim + 1] != removal.sizes[:1] or removal.inputs != removal.outputs:
        raise RecipeError(
            f"recipe for {removal.layer!r}: expected a parameter of {removal.sizes[0]} entries along dimension {dim}, "
            f"got {'none' if parameter is None else shape}; give the dense model, as it was before"
        )


def _misfit(layer: nn.Module, removal: Removal) -> str:
    """Return in words why the removal cannot be done to this layer, "" where it can."""
    kind, sizes = type(layer), channels_of(layer)
    if kind.__name__ != removal.kind or not kind.__module__.startswith(HOMES) or sizes is None:
        return f"expected torch's {removal.kind}, got {kind.__module__}.{kind.__qualname__}"
    if sizes != removal.sizes:
        return "expected {} inputs and {} outputs, got {} and {}; give the dense model, as it was before".format(
            *removal.sizes, *sizes
        )
    if present := [name for name in removal.added if getattr(layer, name, None) is not None]:
        return f"expected a layer without {present[0]!r}, got one that has it; build the model as it was before"
    if removal.becomes and removal.becomes not in OWN_TYPES:
        return f"it became a {removal.becomes}, which is not known here; update prune_adapters"
    if not removal.becomes and {*removal.added} - {"bias"}:
        return f"expected at most a new bias in torch's {removal.kind}, got {', '.join(removal.added)}"
    if not _goes_as_a_whole(layer, removal):
        return f"expected the removed channels to be whole groups of {kind.__name__}, got parts of some"
    return ""


def _goes_as_a_whole(layer: nn.Module, removal: Removal) -> bool:
    """Return whether input and output channels that belong together go together."""
    groups = getattr(layer, "groups", 1)
    if hasattr(layer, "in_channels") and groups > 1:
        inputs, outputs = (kept.reshape(groups, -1) for kept in removal.kept())
        whole = all((kept.any(axis=1) == kept.all(axis=1)).all() for kept in (inputs, outputs))
        return whole and bool((inputs[:, 0] == outputs[:, 0]).all())
    return removal.inputs == removal.outputs or any(hasattr(layer, name) for pair in SIZES[:3] for name in pair)


def _remade_places(layer: nn.Module, removal: Removal, dim: int) -> dict[str, torch.Tensor]:
    """Return the parameters of a layer after the removal whose values were their own places along one dimension."""
    places = copy.copy(layer)
    places._buffers = {}
    places._parameters = {key: None if p is None else _places(p, dim) for key, p in layer._parameters.items()}
    remake(places, removal)
    return {key: parameter.detach() for key, parameter in places._parameters.items() if parameter is not None}


def _places(parameter: nn.Parameter, dim: int) -> nn.Parameter:
    """Return the place of every element along a dimension, in double precision; expanded, so it takes no memory."""
    sizes = [-1 if d == dim else 1 for d in range(parameter.dim())]
    places = torch.arange(parameter.shape[dim] if dim < parameter.dim() else 1, dtype=torch.float64)
    return nn.Parameter(places.reshape(sizes).expand(parameter.shape), requires_grad=False)


def _along(places: torch.Tensor, dim: int) -> torch.Tensor:
    return places.movedim(dim, 0).reshape(places.shape[dim], -1)[:, 0].long()
