"""A compacted model in one file without pickle: the state_dict as safetensors, the recipe as JSON in the header.

A tensor that several names share is stored once, under the first of them. Every tensor has a checksum, and so has the
text of the header.
"""

import json
import os
import zlib
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import nn

from netgraph.storage import replacing
from prune_adapters.compact.attached import compact_recipe, rebuild
from prune_adapters.compact.held_state import checksum, held_state, load_held_state
from prune_adapters.compact.recipe import Recipe
from prune_adapters.errors import CompactFileError, RecipeError
from prune_adapters.masks import bare_module

__all__ = ["VERSION", "load_compacted", "save_compacted"]

VERSION = 1
"""Version of the file format that `save_compacted` writes."""
FORMAT = "prune_adapters.compacted"
TEXTS = ("recipe", "checksums", "shared")
DAMAGE = (SafetensorError, ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError, RuntimeError)
"""What safetensors, torch, json and the look-ups below raise when they are given a damaged file."""


@dataclass(frozen=True, eq=False)
class _Stored:
    """What a file holds: the later names of shared tensors are in `shared`, with the first name of each."""

    recipe: Recipe
    tensors: dict[str, torch.Tensor]
    shared: dict[str, str]


def save_compacted(path: str | os.PathLike[str], small: nn.Module) -> None:
    """Write a compacted model to a file; an older file of that name is replaced only once the new one is complete.

    Parameters
    ----------
    path : path-like
        Name of the file, as given.
    small : Module
        Has a recipe (see `compact_recipe`); on any device, of any dtype. Its state_dict is what is written.

    Raises
    ------
    ValueError
        The module was not compacted, or its state_dict holds something other than dense tensors with values.

    Examples
    --------
    See `load_compacted`.
    """
    bare = bare_module(small)
    recipe = compact_recipe(bare)
    tensors, shared = held_state(bare)
    checksums = {name: checksum(name, tensor) for name, tensor in tensors.items()}
    texts = {"recipe": recipe.to_json(), "checksums": json.dumps(checksums), "shared": json.dumps(shared)}
    head = {"format": FORMAT, "version": str(VERSION), **texts, "crc32": _checksum_of(texts)}
    content = save(tensors, metadata=head)
    with replacing(path, "wb") as file:
        file.write(content)


def load_compacted(path: str | os.PathLike[str], dense_model: nn.Module) -> nn.Module:
    """Return the compacted model that `save_compacted` wrote, bit for bit.

    Parameters
    ----------
    path : path-like
    dense_model : Module
        Of the class and the sizes that were compacted. Its values do not matter and it is not changed; built under
        ``torch.device("meta")`` it takes no memory.

    Returns
    -------
    Module
        Values and dtypes are those of the file; the device (the CPU instead of the meta device), the training mode and
        ``requires_grad`` are those of `dense_model`.

    Raises
    ------
    CompactFileError
        The file holds no compacted model, is damaged, or has a format version that this package cannot read.
    RecipeError
        `dense_model` is another model: a layer, or the name or shape of a tensor does not fit.
    OSError
        There is no such file, or it cannot be opened.

    Examples
    --------
    >>> import tempfile, torch, prune_adapters as pa
    >>> def build():
    ...     return torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.ReLU(), torch.nn.Linear(3, 1))
    >>> model, x = build(), torch.ones(1, 2)
    >>> keep = {"0.weight": torch.tensor([[True, True], [True, False], [False, False]])}
    >>> small = pa.compact(model, pa.to_graph(model, x, masks=keep), x)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     pa.save_compacted(folder + "/small.safetensors", small)
    ...     again = pa.load_compacted(folder + "/small.safetensors", build())
    >>> again[0], torch.equal(again(x), small(x))
    (Linear(in_features=2, out_features=2, bias=True), True)
    """
    with open(path, "rb"):
        pass  # A missing file, a folder or a lack of rights is an OSError here, whatever safetensors says.
    try:
        stored = _read(os.fspath(path))
    except CompactFileError as error:
        raise CompactFileError(f"{os.fspath(path)}: {error}") from None
    except DAMAGE as error:
        raise CompactFileError(f"{os.fspath(path)}: damaged, or no file of save_compacted ({error})") from error
    try:
        small = rebuild(dense_model, stored.recipe)
        load_held_state(small, stored.tensors, stored.shared)
    except RecipeError as error:
        raise RecipeError(f"{os.fspath(path)}: another model: {error}") from error
    return small


def _checksum_of(texts: Mapping[str, str]) -> str:
    return str(zlib.crc32("\n".join(texts[name] for name in TEXTS).encode()))


def _read(path: str) -> _Stored:
    with safe_open(path, framework="pt") as file:
        head = file.metadata() or {}
        if head.get("format") != FORMAT:
            raise CompactFileError(f"no file of save_compacted (a safetensors file with format {head.get('format')!r})")
        if head["version"] != str(VERSION):
            raise CompactFileError(
                f"expected format version {VERSION}, got {head['version']}; update prune_adapters to read it"
            )
        if head["crc32"] != _checksum_of(head):
            raise CompactFileError("damaged, the checksum of the header does not fit")
        recipe, checksums, shared = head["recipe"], json.loads(head["checksums"]), json.loads(head["shared"])
        if set(checksums) != set(file.keys()) or not set(shared.values()) <= set(checksums):
            raise CompactFileError(f"damaged: the header lists {sorted(checksums)}, the file has {sorted(file.keys())}")
        tensors = {name: _tensor(name, file.get_tensor(name), number) for name, number in checksums.items()}
    return _Stored(Recipe.from_json(recipe), tensors, shared)


def _tensor(name: str, tensor: torch.Tensor, number: object) -> torch.Tensor:
    if checksum(name, tensor) != number:
        raise CompactFileError(f"tensor {name!r}: damaged, the checksum does not fit")
    return tensor
