"""Which tensor of a checkpoint is which parameter of a model.

Names may differ by what wrappers and heads put before them: ``module.`` (data parallel), ``_orig_mod.``
(torch.compile), ``model.`` (Lightning, or a model with a head around the model without).
"""

from collections.abc import Callable, Mapping

import torch
from torch import nn

from netgraph.describe import some_names
from prune_adapters.checkpoint.stored import CHUNK_BYTES, StoredTensor
from prune_adapters.errors import CheckpointError
from prune_adapters.masks import parameter_names, parameter_owners

__all__ = ["Found", "find_parameters"]

Tensors = Mapping[str, StoredTensor]


class Found:
    """The tensors of a checkpoint under the names of a model.

    Parameters
    ----------
    parameters : dict of str to StoredTensor
        One for each name of ``named_parameters()``.
    buffers : dict of str to StoredTensor
        Those that the checkpoint has.
    unexpected : list of str
        Names in the file that the model has no use for.
    """

    def __init__(self, parameters: Tensors, buffers: Tensors, unexpected: list[str]) -> None:
        self.parameters = dict(parameters)
        self.buffers = dict(buffers)
        self.unexpected = unexpected


def find_parameters(model: nn.Module, tensors: Tensors, *, strict: bool = True) -> Found:
    """Return the tensor of each parameter of a model.

    Parameters
    ----------
    model : Module
        On any device, meta too. A parameter under several names (tied) may be in the file under any of them.
    tensors : mapping of str to StoredTensor
    strict : bool
        Whether tensors that the model has no use for are an error.

    Raises
    ------
    CheckpointError
        A parameter is missing, has another shape or is no float, a tensor is unexpected, or a parameter that is tied in
        the model has two different values in the file.
    """
    names = parameter_names(model)
    buffers = {_unwrapped(name) for name, _ in model.named_buffers(remove_duplicate=False)}
    renamed = _renamed(tensors, {*names, *buffers})
    aliases: dict[str, list[str]] = {}
    for name, first in names.items():
        aliases.setdefault(first, []).append(name)
    held = {first: [renamed[name] for name in group if name in renamed] for first, group in aliases.items()}
    unexpected = [stored.name for name, stored in renamed.items() if name not in names and name not in buffers]
    _check_names([first for first, found in held.items() if not found], unexpected if strict else [], names)
    for first, owners in parameter_owners(model).items():
        _check_values(first, held[first], tuple(owners[0][0].get_parameter(owners[0][1]).shape))
    parameters = {first: found[0] for first, found in held.items()}
    return Found(parameters, {name: renamed[name] for name in buffers if name in renamed}, unexpected)


def _renamed(tensors: Tensors, wanted: set[str]) -> dict[str, StoredTensor]:
    """Return the tensors under the names that most of the wanted ones have, changed no more than that takes."""
    best: dict[str, StoredTensor] = dict(tensors)
    for inner, outer in CHANGES:
        renamed = {outer(inner(name)): stored for name, stored in tensors.items()}
        if len(renamed) == len(tensors) and len(wanted & set(renamed)) > len(wanted & set(best)):
            best = renamed
    return best


def _unwrapped(name: str) -> str:
    return name.replace("_orig_mod.", "")


def _unparallel(name: str) -> str:
    return _unwrapped(name).removeprefix("module.")


def _same_name(name: str) -> str:
    return name


def _without_model(name: str) -> str:
    return name.removeprefix("model.")


def _with_model(name: str) -> str:
    return f"model.{name}"


Change = Callable[[str], str]
CHANGES: list[tuple[Change, Change]] = [
    (inner, outer) for inner in (_unwrapped, _unparallel) for outer in (_same_name, _without_model, _with_model)
]
"""Ways to change a name, the smallest change first: an inner one, then an outer one."""


def _check_names(missing: list[str], unexpected: list[str], known: Mapping[str, str]) -> None:
    problems = []
    if missing:
        problems.append(f"{len(missing)} of its parameters are missing: {some_names(missing)}")
    if unexpected:
        problems.append(f"{len(unexpected)} tensors are unexpected: {some_names(unexpected)}")
    if not problems:
        return
    remedies = ["is it another architecture, or one whose output is tied to its embedding?"] if missing else []
    remedies += ["strict=False leaves unexpected tensors aside"] if unexpected else []
    raise CheckpointError(f"not a checkpoint of this model: {'; '.join(problems)}; {'; '.join(remedies)}")


def _check_values(name: str, found: list[StoredTensor], shape: tuple[int, ...]) -> None:
    for stored in found:
        if stored.shape != shape:
            raise CheckpointError(f"tensor {stored.name!r}: expected shape {shape}, got {stored.shape}")
        if not stored.dtype.is_floating_point:
            raise CheckpointError(
                f"tensor {stored.name!r}: expected floating point numbers, got {stored.dtype}; a quantised checkpoint "
                "does not tell by its zeros which weights are 0, so save it dequantised"
            )
    for other in found[1:]:
        if not _same(found[0], other):
            raise CheckpointError(
                f"tensors {found[0].name!r} and {other.name!r} differ, but {name!r} is one parameter under both names; "
                "build the model without tying them"
            )


def _same(first: StoredTensor, second: StoredTensor) -> bool:
    place = (first.path, first.offset, first.strides, first.dtype)
    if place == (second.path, second.offset, second.strides, second.dtype):
        return True
    if first.dtype != second.dtype:
        return False
    step = CHUNK_BYTES // first.dtype.itemsize
    pairs = zip(first.chunks(0, first.size, step), second.chunks(0, second.size, step), strict=True)
    return all(torch.equal(a.view(torch.uint8), b.view(torch.uint8)) for a, b in pairs)
