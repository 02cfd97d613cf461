"""The state of a method in one file without pickle: tensors as safetensors, all else as JSON in the header.

Masks, step and settings are there, so that the file says how the run was set up, and can be gone on with.
"""

import json
import os
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import nn

from netgraph.storage import replacing
from prune_adapters.errors import MethodStateError
from prune_adapters.methods.method import Method, State

__all__ = ["VERSION", "load_method", "read_method", "restore_method", "save_method"]

VERSION = 1
"""Version of the file format that `save_method` writes."""
FORMAT = "prune_adapters.method"
DAMAGE = (SafetensorError, ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError, RuntimeError)
"""What safetensors, torch, json and the look-ups below raise when they are given a damaged file."""
TENSOR, TUPLE, ITEMS = "$tensor", "$tuple", "$items"
"""How JSON says what it has no word for: a tensor by its name, a tuple, a dictionary with keys that are no strings."""

Tensors = dict[str, torch.Tensor]
Json = Any


def save_method(path: str | os.PathLike[str], method: Method) -> None:
    """Write the state of a method; an older file of that name is replaced only once the new one is complete.

    Parameters
    ----------
    path : path-like
        Name of the file, as given.
    method : Method
        Weights and the state of the optimizer are not part of it: save them as ever.

    Raises
    ------
    ValueError
        The state holds something that is no number, word or tensor, such as a function of a scheduler.

    Examples
    --------
    See `load_method`.
    """
    tensors: Tensors = {}
    text = json.dumps(_to_json(method.state_dict(), tensors))
    head = {"format": FORMAT, "version": str(VERSION), "state": text, "crc32": str(_checksum(text, tensors))}
    content = save(tensors, metadata=head)
    with replacing(path, "wb") as file:
        file.write(content)


def load_method(path: str | os.PathLike[str], method: Method) -> Method:
    """Return `method` with the state of a file; weights and optimizer load theirs, before or after.

    Parameters
    ----------
    path : path-like
        File of `save_method`.
    method : Method
        Of the same class, made with the same settings (`read_method` tells them).

    Returns
    -------
    Method
        `method` itself. The run goes on from there to the bits of one that was never interrupted.

    Raises
    ------
    MethodStateError
        The file is damaged, holds no method, or one of another class or other settings; `method` is as before.
    OSError
        There is no such file, or it cannot be opened.

    Examples
    --------
    >>> import tempfile
    >>> from prune_adapters.methods.magnitude import GradualPruning
    >>> def start():
    ...     torch.manual_seed(0)
    ...     return GradualPruning(torch.nn.Linear(4, 4), sparsity=0.5, steps=10, every=1)
    >>> method = start()
    >>> for _ in range(5):
    ...     method.after_step()
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_method(folder + "/method.safetensors", method)
    ...     again = load_method(folder + "/method.safetensors", start())
    >>> again.step, int((again.model.weight == 0).sum()) == int((method.model.weight == 0).sum())
    (5, True)
    """
    method.load_state_dict(read_method(path))
    return method


def read_method(path: str | os.PathLike[str]) -> State:
    """Return the state that a file holds: under "method" the name of the class, under "settings" its arguments.

    Parameters
    ----------
    path : path-like
        File of `save_method`.

    Returns
    -------
    dict

    Raises
    ------
    MethodStateError
        The file is damaged, or holds no method.
    OSError
        There is no such file, or it cannot be opened.

    Examples
    --------
    >>> import tempfile
    >>> from prune_adapters.methods.magnitude import OneShotPruning
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_method(folder + "/method", OneShotPruning(torch.nn.Linear(2, 2), sparsity=0.5, steps=10))
    ...     state = read_method(folder + "/method")
    >>> state["method"], state["settings"]["sparsity"]
    ('OneShotPruning', 0.5)
    """
    with open(path, "rb"):
        pass  # A missing file, a folder or a lack of rights is an OSError here, whatever safetensors says.
    try:
        return _read(os.fspath(path))
    except MethodStateError as error:
        raise MethodStateError(f"{os.fspath(path)}: {error}") from None
    except DAMAGE as error:
        raise MethodStateError(f"{os.fspath(path)}: damaged, or no file of save_method ({error})") from error


def restore_method(path: str | os.PathLike[str], model: nn.Module, **objects: object) -> Method:
    """Return the method that a file describes, made anew with its settings, in the state that it had.

    Parameters
    ----------
    path : path-like
        File of `save_method`.
    model : Module
        Its weights may be loaded before or after.
    **objects
        What no file can hold: the optimizer, the graph, a scheduler or a function of scores, as the class takes them.

    Returns
    -------
    Method
        Of the class whose name is in the file: one of this package, or one of the caller's that has been imported.

    Raises
    ------
    MethodStateError
        The file is damaged, holds no method, or one of a class or with settings that are not known here.
    OSError
        There is no such file, or it cannot be opened.

    Examples
    --------
    >>> import tempfile
    >>> from prune_adapters.methods.magnitude import GradualPruning
    >>> layer = torch.nn.Linear(4, 4)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_method(folder + "/method.safetensors", GradualPruning(layer, sparsity=0.5, steps=10))
    ...     restore_method(folder + "/method.safetensors", layer).settings["sparsity"]
    0.5
    """
    state = read_method(path)
    known: dict[str, Callable[..., Method]] = {cls.__name__: cls for cls in _descendants(Method)}
    if state["method"] not in known:
        raise MethodStateError(f"{os.fspath(path)}: no class {state['method']} is known; import it first")
    try:
        method = known[state["method"]](model, **state["settings"], **objects)
    except TypeError as error:
        raise MethodStateError(f"{os.fspath(path)}: its settings do not fit: {error}") from error
    method.load_state_dict(state)
    return method


def _descendants(cls: type[Method]) -> Iterator[type[Method]]:
    for below in cls.__subclasses__():
        yield below
        yield from _descendants(below)


def _read(path: str) -> State:
    with safe_open(path, framework="pt") as file:
        head = file.metadata() or {}
        if head.get("format") != FORMAT:
            raise MethodStateError(f"no file of save_method (a safetensors file with format {head.get('format')!r})")
        if head["version"] != str(VERSION):
            raise MethodStateError(
                f"expected format version {VERSION}, got {head['version']}; update prune_adapters to read it"
            )
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # no mapping
    if head["crc32"] != str(_checksum(head["state"], tensors)):
        raise MethodStateError("damaged: the checksum does not fit")
    return _from_json(json.loads(head["state"]), tensors)


def _to_json(value: object, tensors: Tensors) -> Json:
    """Return what JSON can hold, with the tensors put aside."""
    if isinstance(value, torch.Tensor):
        name = f"tensor{len(tensors)}"
        tensors[name] = value.detach().clone(memory_format=torch.contiguous_format)
        return {TENSOR: name}
    if isinstance(value, tuple):
        return {TUPLE: [_to_json(v, tensors) for v in value]}
    if isinstance(value, list):
        return [_to_json(v, tensors) for v in value]
    if isinstance(value, dict):
        if all(isinstance(key, str) and not key.startswith("$") for key in value):
            return {key: _to_json(v, tensors) for key, v in value.items()}
        return {ITEMS: [[_to_json(key, tensors), _to_json(v, tensors)] for key, v in value.items()]}
    if value is None or isinstance(value, str | bool | int | float):
        return value
    raise ValueError(f"save_method: expected a state of numbers, words and tensors, got {type(value).__name__}")


def _from_json(value: Json, tensors: Tensors) -> Json:
    if isinstance(value, list):
        return [_from_json(v, tensors) for v in value]
    if not isinstance(value, dict):
        return value
    if TENSOR in value:
        return tensors[value[TENSOR]]
    if TUPLE in value:
        return tuple(_from_json(v, tensors) for v in value[TUPLE])
    if ITEMS in value:
        return {_from_json(key, tensors): _from_json(v, tensors) for key, v in value[ITEMS]}
    return {key: _from_json(v, tensors) for key, v in value.items()}


def _checksum(text: str, tensors: Tensors) -> int:
    """Return a number that almost certainly changes with the text, or a name, shape, dtype or value of a tensor."""
    total = zlib.crc32(text.encode())
    for name in sorted(tensors):
        tensor = tensors[name].cpu()
        total = zlib.crc32(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode(), total)
        total = zlib.crc32(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes(), total)
    return total
