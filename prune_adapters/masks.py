"""Masks: which weights are kept.

A set of masks is a dictionary ``{parameter name: bool tensor of the parameter's shape}``, True = kept. Names are those
of ``named_parameters()`` of the bare module: ``module.`` of data parallel wrappers and ``_orig_mod.`` of
``torch.compile`` are left out, and a parameter that several modules share goes by its first name. A parameter without
a mask is kept whole.
"""

from collections.abc import Iterator, Mapping

import torch
from torch import nn

from netgraph import NetGraph
from netgraph.describe import some_names
from prune_adapters.errors import MaskError
from prune_adapters.shards import resharded

__all__ = [
    "bare_module",
    "check_masks",
    "density",
    "parameter_names",
    "parameter_owners",
    "resolve_name",
    "sparsity",
    "to_masks",
]

COMPILED = "_orig_mod"
PARALLEL = (nn.DataParallel, nn.parallel.DistributedDataParallel)


def to_masks(graph: NetGraph) -> dict[str, torch.Tensor]:
    """Return one mask for each parameter that has at least one edge in `graph`.

    An element with several uses is kept if any use keeps it. Biases, norms and tables get no mask.

    Parameters
    ----------
    graph : NetGraph

    Returns
    -------
    dict of str to Tensor of bool
        Shape of the parameter, True = kept, on the CPU.

    Examples
    --------
    >>> import netgraph as ng
    >>> full = ng.Connection("w", "x", "y", rows=2, columns=2, index=ng.ElementIndex(0, (4, 2, 1, 1)))
    >>> graph = ng.NetGraph({"x": 2, "y": 2}, [full], bits=[0b1101], inputs=[0, 1], outputs=[2, 3])
    >>> to_masks(graph)
    {'w': tensor([ True, False,  True,  True])}
    """
    return {name: torch.from_numpy(mask) for name, mask in graph.masks().items()}


def bare_module(model: nn.Module) -> nn.Module:
    """Return the module inside the wrappers of ``torch.compile``, DataParallel and DistributedDataParallel.

    Parameters
    ----------
    model : Module

    Returns
    -------
    Module
        `model` itself where there is no wrapper.

    Examples
    --------
    >>> layer = nn.Linear(2, 2)
    >>> bare_module(nn.DataParallel(layer)) is layer
    True
    """
    while isinstance(model, PARALLEL) or COMPILED in model._modules:
        model = model.get_submodule("module" if isinstance(model, PARALLEL) else COMPILED)
    return model


def parameter_names(model: nn.Module) -> dict[str, str]:
    """Return every name of every parameter, with the name it goes by.

    Parameters
    ----------
    model : Module

    Returns
    -------
    dict of str to str
        In the order of ``named_parameters()``. The values are the keys, but for the later names of a shared parameter.

    Examples
    --------
    >>> model = nn.Sequential(nn.Linear(2, 2, bias=False), nn.Linear(2, 2, bias=False))
    >>> model[1].weight = model[0].weight
    >>> parameter_names(model)
    {'0.weight': '0.weight', '1.weight': '0.weight'}
    """
    first: dict[int, str] = {}
    return {name: first.setdefault(id(module._parameters[key]), name) for name, module, key in _places(model)}


def parameter_owners(model: nn.Module) -> dict[str, list[tuple[nn.Module, str]]]:
    """Return the modules that hold each parameter, with the attribute they hold it under.

    Parameters
    ----------
    model : Module

    Returns
    -------
    dict of str to list of (Module, str)
        In the order of ``named_parameters()``. More than one pair where several modules share the parameter.

    Examples
    --------
    >>> parameter_owners(nn.Sequential(nn.Linear(2, 3, bias=False)))
    {'0.weight': [(Linear(in_features=2, out_features=3, bias=False), 'weight')]}
    """
    names = parameter_names(model)
    owners: dict[str, list[tuple[nn.Module, str]]] = {}
    for name, module, key in _places(model):
        held = owners.setdefault(names[name], [])
        if (module, key) not in held:
            held.append((module, key))
    return owners


def resolve_name(given: str, names: Mapping[str, str]) -> str:
    """Return the name that the parameter called `given` goes by.

    Parameters
    ----------
    given : str
        Any of its names, with or without the prefixes of wrappers.
    names : mapping of str to str
        What `parameter_names` returns.

    Returns
    -------
    str

    Raises
    ------
    MaskError
        No parameter has this name.

    Examples
    --------
    >>> resolve_name("module.weight", parameter_names(nn.Linear(2, 2)))
    'weight'
    """
    name = _bare_name(given)
    if name not in names:
        name = name.removeprefix("module.")
    if name not in names:
        raise MaskError(f"no parameter {given!r}; the model has {some_names(names)}")
    return names[name]


def check_masks(model: nn.Module, masks: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return `masks` under the names that the parameters of `model` go by, in the order of the parameters.

    Parameters
    ----------
    model : Module
    masks : mapping of str to Tensor of bool
        Any name of a shared parameter is good, and so are names with the prefixes of wrappers.

    Returns
    -------
    dict of str to Tensor of bool
        The same tensors.

    Raises
    ------
    MaskError
        A name is not a parameter of the model, a mask is no bool tensor or has another shape than its parameter, or
        two names of one shared parameter come with different masks.

    Examples
    --------
    >>> check_masks(nn.Linear(2, 3), {"weight": torch.ones(2, 3, dtype=torch.bool)})
    Traceback (most recent call last):
    prune_adapters.errors.MaskError: mask for 'weight': expected shape (3, 2), got (2, 3); linear weights are (out, in)
    """
    names = parameter_names(model)
    shapes = {name: owners[0][0].get_parameter(owners[0][1]).shape for name, owners in parameter_owners(model).items()}
    checked: dict[str, torch.Tensor] = {}
    for given, mask in masks.items():
        name = resolve_name(given, names)
        _check_mask(given, mask, shapes[name])
        if name in checked and not torch.equal(checked[name], mask):
            raise MaskError(f"mask for {given!r}: differs from the one for {name!r}, which is the same parameter")
        checked[name] = mask
    return {name: checked[name] for name in shapes if name in checked}


def density(masks: Mapping[str, torch.Tensor]) -> float:
    """Return the kept fraction of all elements of the masks: kept / all.

    Parameters
    ----------
    masks : mapping of str to Tensor of bool

    Returns
    -------
    float
        In [0, 1]; 1.0 when there is no element.

    Examples
    --------
    >>> density({"weight": torch.tensor([True, False, False, False])})
    0.25
    """
    total = sum(mask.numel() for mask in masks.values())
    return sum(int(torch.count_nonzero(mask)) for mask in masks.values()) / total if total else 1.0


def sparsity(masks: Mapping[str, torch.Tensor]) -> float:
    """Return the removed fraction of all elements of the masks: 1 - density.

    Parameters
    ----------
    masks : mapping of str to Tensor of bool

    Returns
    -------
    float
        In [0, 1], higher is sparser; 0.0 when there is no element.

    Examples
    --------
    >>> sparsity({"weight": torch.tensor([True, False, False, False])})
    0.75
    """
    return 1.0 - density(masks)


def _places(model: nn.Module) -> Iterator[tuple[str, nn.Module, str]]:
    """Yield each name of each parameter with the module and the attribute that hold it."""
    bare = bare_module(model)
    resharded(bare)
    for path, module in bare.named_modules(remove_duplicate=False):
        for key, parameter in module._parameters.items():
            if parameter is not None:
                yield _bare_name(f"{path}.{key}" if path else key), module, key


def _bare_name(name: str) -> str:
    """Drop the component that ``torch.compile`` puts into the names of a compiled submodule."""
    return name.replace(f"{COMPILED}.", "")


def _check_mask(name: str, mask: torch.Tensor, shape: torch.Size) -> None:
    if not isinstance(mask, torch.Tensor):
        raise MaskError(f"mask for {name!r}: expected a tensor, got {type(mask).__name__}; use torch.as_tensor(mask)")
    if mask.dtype != torch.bool:
        raise MaskError(f"mask for {name!r}: expected dtype torch.bool, got {mask.dtype}; use mask != 0")
    if mask.shape != shape:
        hint = "; linear weights are (out, in)" if len(shape) == 2 and mask.shape == shape[::-1] else ""
        raise MaskError(f"mask for {name!r}: expected shape {tuple(shape)}, got {tuple(mask.shape)}{hint}")
