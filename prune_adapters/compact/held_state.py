"""The state of a model as files hold it: tensors with memory of their own, shared ones once, and its way back."""

import json
import zlib
from collections.abc import Iterator, Mapping

import torch
from torch import nn

from prune_adapters.errors import RecipeError

__all__ = ["checksum", "held_state", "load_held_state"]


def held_state(model: nn.Module) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """Return the tensors of the state_dict on the CPU, and the later names of shared ones with the first name of each.

    Parameters
    ----------
    model : Module

    Returns
    -------
    tensors : dict of str to Tensor
    shared : dict of str to str

    Raises
    ------
    ValueError
        The state_dict holds something other than dense tensors with values.
    """
    shared = _shared(model)
    state: dict[str, object] = model.state_dict()
    return {name: _plain(name, tensor) for name, tensor in state.items() if name not in shared}, shared


def checksum(name: str, tensor: torch.Tensor) -> int:
    """Return a number that almost certainly changes with name, dtype, shape or any bit."""
    start = zlib.crc32(json.dumps([name, str(tensor.dtype), list(tensor.shape)]).encode())
    return zlib.crc32(tensor.reshape(-1).view(torch.uint8).numpy().data, start)


def load_held_state(model: nn.Module, tensors: Mapping[str, torch.Tensor], shared: Mapping[str, str]) -> None:
    """Give a model the state that `held_state` returned, of the same names, shapes and ties; dtypes become its own.

    Parameters
    ----------
    model : Module
        Changed in place; untouched where an error is raised.
    tensors, shared : mapping
        What `held_state` returned.

    Raises
    ------
    RecipeError
        A name, a shape or a tie does not fit.
    """
    _check_names(model, tensors, shared)
    _make_room(model, tensors, shared)
    model.load_state_dict({**tensors, **{later: tensors[name] for later, name in shared.items()}})


def _plain(name: str, tensor: object) -> torch.Tensor:
    """Return a tensor of the state_dict with memory of its own."""
    if not isinstance(tensor, torch.Tensor) or tensor.layout != torch.strided or tensor.is_quantized:
        raise ValueError(f"{name!r}: expected a dense tensor in the state_dict, got {type(tensor).__name__}")
    if tensor.is_meta:
        raise ValueError(f"{name!r}: expected a tensor with values, got one on the meta device; load values first")
    return tensor.detach().cpu().contiguous().clone()


def _held(model: nn.Module) -> Iterator[tuple[str, nn.Module, str, torch.Tensor]]:
    """Yield each name of each parameter and buffer with the module and the attribute that hold it."""
    for path, module in model.named_modules(remove_duplicate=False):
        for key, tensor in [*module._parameters.items(), *module._buffers.items()]:
            if tensor is not None:
                yield f"{path}.{key}" if path else key, module, key, tensor


def _shared(model: nn.Module) -> dict[str, str]:
    """Return the later names of shared tensors in the state_dict, each with the first name."""
    first: dict[int, str] = {}
    saved = model.state_dict().keys()
    names = {name: first.setdefault(id(tensor), name) for name, _, _, tensor in _held(model) if name in saved}
    return {name: original for name, original in names.items() if name != original}


def _check_names(model: nn.Module, tensors: Mapping[str, torch.Tensor], shared: Mapping[str, str]) -> None:
    """Raise `RecipeError` unless the state_dict of the model has the names, shapes and ties of the file."""
    state, own = model.state_dict(), _shared(model)
    found = {*tensors, *shared}
    for name in [*state, *sorted(found - set(state))]:
        if name not in found or name not in state:
            here, there = ("file", "model") if name in found else ("model", "file")
            raise RecipeError(f"the {here} has a tensor {name!r}, which the {there} has not")
        if own.get(name) != shared.get(name):
            ties = [repr(tied[name]) if name in tied else "nothing" for tied in (own, shared)]
            raise RecipeError(f"{name!r} is tied to {ties[0]} in the model, to {ties[1]} in the file; tie them alike")
        shape = tensors[shared.get(name, name)].shape
        if state[name].shape != shape:
            raise RecipeError(f"{name!r}: expected shape {tuple(shape)} as in the file, got {tuple(state[name].shape)}")
    for name, _, _, tensor in _held(model):
        if tensor.is_meta and name not in found:
            raise RecipeError(f"the buffer {name!r} is not saved; build the dense model on a device that has values")


def _make_room(model: nn.Module, tensors: Mapping[str, torch.Tensor], shared: Mapping[str, str]) -> None:
    """Give the model empty tensors where its own are on the meta device or of another dtype than those of the file."""
    new: dict[int, torch.Tensor] = {}
    for name, module, key, tensor in list(_held(model)):
        given = tensors.get(shared.get(name, name))
        if given is not None and (tensor.is_meta or tensor.dtype != given.dtype):
            place = module._parameters if key in module._parameters else module._buffers
            place[key] = new.setdefault(id(tensor), _empty(tensor, given.dtype))  # type: ignore[assignment]


def _empty(tensor: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    room = torch.empty(tensor.shape, dtype=dtype, device="cpu" if tensor.is_meta else tensor.device)
    return nn.Parameter(room, tensor.requires_grad) if isinstance(tensor, nn.Parameter) else room
