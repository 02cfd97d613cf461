"""Weights on disk without their zeros: one safetensors file, read without pickle.

A tensor that is smaller so is written as its elements that are not 0, under its own name, and their places as bytes
under its name with "/bits" or "/gaps" after it; every other tensor lies there as in any safetensors file. The header
says, as JSON, the shape, the form and a checksum of each.
"""

import json
import os
import zlib
from collections.abc import Iterator, Mapping

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import nn

from netgraph.storage import replacing
from prune_adapters.compact.held_state import checksum, held_state, load_held_state
from prune_adapters.errors import RecipeError, SparseFileError
from prune_adapters.export.forms import FORMS, Packed, packed, unpacked
from prune_adapters.masks import bare_module

__all__ = ["VERSION", "export_sparse", "load_sparse"]

VERSION = 1
"""Version of the file format that `export_sparse` writes."""
FORMAT = "prune_adapters.sparse"
TEXTS = ("tensors", "shared")
DAMAGE = (
    *(SafetensorError, ValueError, TypeError, KeyError, IndexError, AttributeError),
    *(OverflowError, RecursionError, RuntimeError, MemoryError),
)
"""What safetensors, torch, json and the look-ups below raise when they are given a damaged file."""


def export_sparse(model: nn.Module, path: str | os.PathLike[str]) -> None:
    """Write the weights of a model without their zeros; an older file is replaced only once the new one is complete.

    Parameters
    ----------
    model : Module
        Masked, compacted, sparsified or none of it; on any device, of any dtype. What is written is its state_dict; an
        element counts as 0 if all of its bits are 0, whether a mask removed it or not.
    path : path-like
        Name of the file, as given.

    Raises
    ------
    ValueError
        The state_dict holds something other than dense tensors with values.

    Notes
    -----
    Each tensor takes the smallest of three forms: dense; kept values and one bit for each element; kept values and the
    gaps between them, mostly one byte each. Of weights that are removed at random there is left in float32 23 % at 80 %
    sparsity, 12.5 % at 90 % and 1.3 % at 99 %, in bfloat16 26, 15 and 1.6 %. Masks are not in the file; `save_masks`
    writes those.

    Examples
    --------
    >>> import os, tempfile, torch, prune_adapters as pa
    >>> model = pa.apply_masks(torch.nn.Linear(64, 64), {"weight": torch.eye(64, dtype=torch.bool)})
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     pa.export_sparse(model, folder + "/model.safetensors")
    ...     size = os.path.getsize(folder + "/model.safetensors")
    ...     again = pa.load_sparse(folder + "/model.safetensors", torch.nn.Linear(64, 64))
    >>> size < 64 * 64, torch.equal(again.weight, model.weight)
    (True, True)
    """
    tensors, shared = held_state(bare_module(model))
    written = {name: packed(tensor) for name, tensor in tensors.items()}
    records = {name: [list(t.shape), written[name].form, checksum(name, t)] for name, t in tensors.items()}
    texts = {"tensors": json.dumps(records), "shared": json.dumps(shared)}
    head = {"format": FORMAT, "version": str(VERSION), **texts, "crc32": _checksum_of(texts)}
    content = save(dict(_entries(written)), metadata=head)
    with replacing(path, "wb") as file:
        file.write(content)


def load_sparse(path: str | os.PathLike[str], model: nn.Module) -> nn.Module:
    """Return `model` with the weights that `export_sparse` wrote, bit for bit.

    Parameters
    ----------
    path : path-like
    model : Module
        Of the names and shapes that were written; a compacted model is made by `rebuild` first. Changed in place: its
        dtypes become those of the file, tensors on the meta device are put on the CPU, masks that it remembers are
        applied again.

    Returns
    -------
    Module
        `model` itself.

    Raises
    ------
    SparseFileError
        The file was not written by `export_sparse`, is damaged, has a format version that this package cannot read, or
        is of another model: a name, a shape or a shared parameter does not fit. `model` is as it was then.
    OSError
        There is no such file, or it cannot be opened.

    Examples
    --------
    See `export_sparse`.
    """
    where = os.fspath(path)
    with open(path, "rb"):
        pass  # A missing file, a folder or a lack of rights is an OSError here, whatever safetensors says.
    try:
        tensors, shared = _read(where)
    except SparseFileError as error:
        raise SparseFileError(f"{where}: {error}") from None
    except DAMAGE as error:
        raise SparseFileError(f"{where}: damaged, or no file of export_sparse ({error})") from error
    try:
        load_held_state(bare_module(model), tensors, shared)
    except RecipeError as error:
        raise SparseFileError(f"{where}: of another model: {error}") from error
    return model


def _entries(written: Mapping[str, Packed]) -> Iterator[tuple[str, torch.Tensor]]:
    """Yield what the file holds by name."""
    for name, stored in written.items():
        yield name, stored.values
        if stored.places is not None:
            places = f"{name}/{stored.form}"
            if places in written:
                raise ValueError(f"export_sparse: the model has a tensor {places!r}, a name that the file needs")
            yield places, stored.places


def _checksum_of(texts: Mapping[str, str]) -> str:
    return str(zlib.crc32("\n".join(texts[name] for name in TEXTS).encode()))


def _read(path: str) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    with safe_open(path, framework="pt") as file:
        head = file.metadata() or {}
        if head.get("format") != FORMAT:
            raise SparseFileError(f"no file of export_sparse (a safetensors file with format {head.get('format')!r})")
        if head["version"] != str(VERSION):
            raise SparseFileError(
                f"expected format version {VERSION}, got {head['version']}; update prune_adapters to read it"
            )
        if head["crc32"] != _checksum_of(head):
            raise SparseFileError("damaged, the checksum of the header does not fit")
        records, shared = json.loads(head["tensors"]), json.loads(head["shared"])
        places = {f"{name}/{form}" for name, (_, form, _) in records.items() if form in FORMS}
        if {*records, *places} != set(file.keys()):
            raise SparseFileError("damaged, the tensors of the file are not those that its header lists")
        tensors = {}
        for name, (shape, form, number) in records.items():
            stored = file.get_tensor(f"{name}/{form}") if form in FORMS else None
            tensors[name] = _tensor(name, Packed(form, file.get_tensor(name), stored), tuple(shape), number)
    return tensors, shared


def _tensor(name: str, stored: Packed, shape: tuple[int, ...], number: int) -> torch.Tensor:
    try:
        tensor = unpacked(stored, shape)
    except DAMAGE as error:
        raise SparseFileError(f"tensor {name!r}: damaged, it cannot be unpacked ({error})") from error
    if checksum(name, tensor) != number:
        raise SparseFileError(f"tensor {name!r}: damaged, the checksum does not fit")
    return tensor
