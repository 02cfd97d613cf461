"""The optimizer and the masks of a model go on with the compacted model, cut to the weights that stay."""

from collections.abc import Mapping

import torch
from torch import nn
from torch.optim import LBFGS, Adagrad, Muon, Optimizer

from prune_adapters.compact.counterparts import (
    Counterpart,
    NewParameter,
    counterparts,
    new_parameters,
    recipe_between,
)
from prune_adapters.compact.recipe import Recipe
from prune_adapters.errors import RecipeError
from prune_adapters.masks import bare_module, check_masks

__all__ = ["carry_masks", "carry_optimizer"]


def carry_optimizer(optimizer: Optimizer, model: nn.Module, small: nn.Module) -> None:
    """Let the optimizer of `model` go on with `small`, what `compact` made of it, in place.

    In every group each parameter is replaced by its smaller counterpart, and its state (momentum, averages: each
    tensor of the parameter's shape) by the elements that stay; numbers such as the step are kept. So schedulers, hooks
    and gradient scalers that hold the optimizer stay valid.

    Parameters
    ----------
    optimizer : Optimizer
        Holds parameters of `model`; what else it holds stays. Changed in place, at once or, on an error, not at all.
    model : Module
        What was compacted, or an earlier stage of it. Not changed.
    small : Module
        What `compact` made of it, or a copy. Values are not compared.

    Raises
    ------
    RecipeError
        `small` was not made of `model`.
    ValueError
        `small` was not compacted; the optimizer holds no parameter of `model`; or its state cannot be cut to size, as
        the history of LBFGS or the row and column averages of Adafactor.

    Notes
    -----
    A parameter that `compact` added (a bias, or ``ones_weight``, that takes constants over) joins the group of its
    layer's weight, behind what comes before it in the layer, and begins without state. Where the optimizer does not
    hold the weight it is left out. Gradients are not carried, so call this between two steps.

    `small` is dense: a removed weight between two channels that stay is a 0 there, with the state that it had, and is
    trained from now on, unless ``apply_masks(small, carry_masks(masks, model, small))`` and `keep_masks` say otherwise.
    With them, and where every removed channel was dead (none a constant), the losses go on as those of the masked model
    would, up to rounding, if norms are in eval mode. A `keep_masks` of the model has nothing more to do.

    Examples
    --------
    >>> import torch, prune_adapters as pa
    >>> model = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.ReLU(), torch.nn.Linear(3, 1))
    >>> optimizer, x = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9), torch.ones(1, 2)
    >>> model(x).sum().backward()
    >>> optimizer.step()
    >>> keep = {"0.weight": torch.tensor([[True, True], [True, False], [False, False]])}
    >>> small = pa.compact(model, pa.to_graph(model, x, masks=keep), x)
    >>> pa.carry_optimizer(optimizer, model, small)
    >>> optimizer.state[small[0].weight]["momentum_buffer"].shape
    torch.Size([2, 2])
    """
    recipe, pairs = _pairs(optimizer, model, small)
    added = new_parameters(model, small, recipe)
    groups = [_group(group, pairs, added) for group in optimizer.param_groups]
    _replace(optimizer, pairs, groups, _states(optimizer, pairs, groups))


def carry_masks(masks: Mapping[str, torch.Tensor], model: nn.Module, small: nn.Module) -> dict[str, torch.Tensor]:
    """Return the masks of `model` cut to the weights that `small`, what `compact` made of it, still has.

    Parameters
    ----------
    masks : mapping of str to Tensor of bool
        True = kept. Those of a model are ``remembered_masks(model)``.
    model, small : Module
        As in `carry_optimizer`.

    Returns
    -------
    dict of str to Tensor of bool
        For ``apply_masks(small, ...)``, with which removed weights between channels that stayed are not trained.

    Raises
    ------
    RecipeError
        `small` was not made of `model`.
    MaskError
        The masks are those of another model.

    Examples
    --------
    >>> import torch, prune_adapters as pa
    >>> model = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.ReLU(), torch.nn.Linear(3, 1))
    >>> keep = {"0.weight": torch.tensor([[True, True], [True, False], [False, False]])}
    >>> x = torch.ones(1, 2)
    >>> pa.carry_masks(keep, model, pa.compact(model, pa.to_graph(model, x, masks=keep), x))
    {'0.weight': tensor([[ True,  True],
            [ True, False]])}
    """
    _, pairs = _counterparts("carry_masks", model, small)
    checked = check_masks(bare_module(model), masks)
    return {p.name: p.smaller(checked[p.name]) for p in pairs if p.name in checked and p.new is not None}


def _pairs(optimizer: Optimizer, model: nn.Module, small: nn.Module) -> tuple[Recipe, list[Counterpart]]:
    """Return what made the smaller model, and what became of the parameters that the optimizer holds."""
    recipe, pairs = _counterparts("carry_optimizer", model, small)
    held = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
    pairs = [pair for pair in pairs if id(pair.old) in held]
    if not pairs:
        raise ValueError("carry_optimizer: the optimizer holds no parameter of the model; give the one that trains it")
    return recipe, pairs


def _counterparts(caller: str, model: nn.Module, small: nn.Module) -> tuple[Recipe, list[Counterpart]]:
    try:
        recipe = recipe_between(model, small)
        return recipe, counterparts(model, small, recipe)
    except RecipeError as error:
        raise RecipeError(f"{caller}: expected what compact made of this model: {error}") from error


def _states(
    optimizer: Optimizer, pairs: list[Counterpart], groups: list[dict[str, list]]
) -> dict[torch.Tensor, dict[str, object]]:
    """Return the state of every parameter that takes a place: cut to size, or what a new one begins with."""
    old = optimizer.state
    found: dict[torch.Tensor, dict[str, object]] = {
        pair.new: _state(optimizer, pair) for pair in pairs if pair.new is not None and pair.old in old
    }
    known = {id(p) for group in optimizer.param_groups for p in group["params"]} | {id(pair.new) for pair in pairs}
    fresh = [parameter for group in groups for parameter in group["params"] if id(parameter) not in known]
    return found | {parameter: state for parameter in fresh if (state := _first_state(optimizer, parameter))}


def _state(optimizer: Optimizer, pair: Counterpart) -> dict[str, object]:
    """Return the state of a parameter cut to the size of its counterpart."""
    state: Mapping[str, object] = optimizer.state[pair.old]
    if state and isinstance(optimizer, LBFGS):
        raise ValueError("carry_optimizer: LBFGS has one history of all parameters together; build a new optimizer")
    return {key: _smaller(key, value, pair) for key, value in state.items()}


def _smaller(key: str, value: object, pair: Counterpart) -> object:
    if pair.source is None or value is None or isinstance(value, (int, float, str)):
        return value
    if isinstance(value, torch.Tensor) and value.shape == pair.old.shape:
        return pair.smaller(value)
    if isinstance(value, torch.Tensor) and value.numel() == 1:
        return value
    found = tuple(value.shape) if isinstance(value, torch.Tensor) else type(value).__name__
    raise ValueError(
        f"carry_optimizer: state {key!r} of {pair.name!r}: expected a number or a tensor of shape "
        f"{tuple(pair.old.shape)}, got {found}; it cannot be cut to size, so build a new optimizer"
    )


def _group(group: Mapping[str, object], pairs: list[Counterpart], added: list[NewParameter]) -> dict[str, list]:
    """Return the parameters, and their names if it has any, that a group is to hold."""
    old = group["params"]
    assert isinstance(old, list)
    names = group.get("param_names", [""] * len(old))
    assert isinstance(names, list)
    become = {id(pair.old): pair.new for pair in pairs}
    entries = [(become.get(id(parameter), parameter), name) for parameter, name in zip(old, names, strict=True)]
    entries = [(parameter, name) for parameter, name in entries if parameter is not None]
    for new in added:
        _insert(entries, new)
    return {"params": [p for p, _ in entries], "param_names": [name for _, name in entries]}


def _insert(entries: list[tuple[nn.Parameter, str]], new: NewParameter) -> None:
    """Put a new parameter behind those of its layer, if its weight is in the group."""
    before = [id(parameter) for parameter in new.before]
    places = [place for place, (parameter, _) in enumerate(entries) if id(parameter) in before]
    weight = next((name for parameter, name in entries if id(parameter) == before[0]), None)
    if weight is not None:
        prefix, _, _ = weight.rpartition(".")
        key = new.name.rpartition(".")[2]
        entries.insert(max(places) + 1, (new.value, f"{prefix}.{key}" if prefix else key))


def _first_state(optimizer: Optimizer, parameter: nn.Parameter) -> dict[str, object]:
    """Return what an optimizer gives to a parameter at the beginning rather than in its first step."""
    if isinstance(optimizer, Muon) and parameter.dim() != 2:
        raise ValueError("carry_optimizer: Muon takes matrices only, and compact added a bias; build a new optimizer")
    if isinstance(optimizer, Adagrad):
        first = optimizer.defaults["initial_accumulator_value"]
        return dict(Adagrad([parameter], initial_accumulator_value=first).state[parameter])
    return {}


def _replace(
    optimizer: Optimizer,
    pairs: list[Counterpart],
    groups: list[dict[str, list]],
    states: Mapping[torch.Tensor, dict[str, object]],
) -> None:
    """Change the optimizer; the lists of its groups stay the same objects."""
    for pair in pairs:
        optimizer.state.pop(pair.old, None)
    optimizer.state.update(states)
    for group, new in zip(optimizer.param_groups, groups, strict=True):
        group["params"][:] = new["params"]
        if "param_names" in group:
            group["param_names"][:] = new["param_names"]
