"""Masks on disk: one safetensors file, one bit a weight, read without pickle.

Each mask is a tensor of bytes: the elements in flat order, eight to a byte, least significant bit first. The header of
the file holds, as JSON, the shape, the number of kept elements and a checksum of each mask, and what the caller adds.
"""

import json
import os
import zlib
from collections.abc import Mapping

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save
from torch import nn

from netgraph.storage import replacing
from prune_adapters.errors import MaskError, MaskFileError
from prune_adapters.masks import check_masks

__all__ = ["VERSION", "StoredMasks", "load_masks", "save_masks"]

VERSION = 1
"""Version of the file format that `save_masks` writes."""
FORMAT = "prune_adapters.masks"
DAMAGE = (SafetensorError, ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError)
"""What safetensors, numpy, json and the look-ups below raise when they are given a damaged file."""


class StoredMasks(dict[str, torch.Tensor]):
    """Masks that were read from a file, and what was saved beside them.

    Parameters
    ----------
    masks : mapping of str to Tensor of bool
        True = kept.
    metadata : mapping of str to object
        What `save_masks` was given, as JSON returns it: tuples have become lists.

    Examples
    --------
    >>> stored = StoredMasks({"weight": torch.tensor([True, False])}, {"seed": 1})
    >>> stored["weight"], stored.metadata
    (tensor([ True, False]), {'seed': 1})
    """

    def __init__(self, masks: Mapping[str, torch.Tensor], metadata: Mapping[str, object]) -> None:
        super().__init__(masks)
        self.metadata = dict(metadata)


def save_masks(path: str | os.PathLike[str], masks: Mapping[str, torch.Tensor], **metadata: object) -> None:
    """Write masks to a file; an older file of that name is replaced only once the new one is complete.

    Parameters
    ----------
    path : path-like
        Name of the file, as given.
    masks : mapping of str to Tensor of bool
        On any device. Those of a model are ``remembered_masks(model)``.
    **metadata : object
        Anything that JSON can hold; comes back in `StoredMasks.metadata`.

    Raises
    ------
    MaskError
        A mask is no bool tensor.
    ValueError
        JSON cannot hold the metadata.

    Examples
    --------
    >>> import os, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "masks.safetensors")
    ...     save_masks(path, {"weight": torch.tensor([[True, False]])}, sparsity=0.5)
    ...     stored = load_masks(path)
    >>> stored, stored.metadata
    ({'weight': tensor([[ True, False]])}, {'sparsity': 0.5})
    """
    packed = {name: _packed(name, mask) for name, mask in masks.items()}
    records = {name: _record(name, mask, packed[name]) for name, mask in masks.items()}
    head = {"format": FORMAT, "version": str(VERSION), "masks": json.dumps(records), "metadata": _json(metadata)}
    content = save(packed, metadata=head)
    with replacing(path, "wb") as file:
        file.write(content)


def load_masks(path: str | os.PathLike[str], *, model: nn.Module | None = None) -> StoredMasks:
    """Return the masks that `save_masks` wrote, bit for bit and in the same order.

    Parameters
    ----------
    path : path-like
    model : Module, optional
        The masks are checked against its parameters, and come under the names that these go by.

    Returns
    -------
    StoredMasks
        A dictionary of bool tensors on the CPU, with the metadata that was saved beside them.

    Raises
    ------
    MaskFileError
        The file holds no masks, is damaged, or has a format version that this package cannot read.
    MaskError
        The masks are those of another model: the name of a parameter or its shape does not fit.
    OSError
        There is no such file, or it cannot be opened.

    Examples
    --------
    See `save_masks`.
    """
    with open(path, "rb"):
        pass  # A missing file, a folder or a lack of rights is an OSError here, whatever safetensors says.
    try:
        stored = _read(os.fspath(path))
    except MaskFileError as error:
        raise MaskFileError(f"{os.fspath(path)}: {error}") from None
    except DAMAGE as error:
        raise MaskFileError(f"{os.fspath(path)}: damaged, or no file of save_masks ({error})") from error
    if model is None:
        return stored
    try:
        return StoredMasks(check_masks(model, stored), stored.metadata)
    except MaskError as error:
        raise MaskError(f"{os.fspath(path)}: masks of another model: {error}") from error


def _packed(name: str, mask: torch.Tensor) -> np.ndarray:
    if not isinstance(mask, torch.Tensor) or mask.dtype != torch.bool:
        found = mask.dtype if isinstance(mask, torch.Tensor) else type(mask).__name__
        raise MaskError(f"mask for {name!r}: expected a tensor of dtype torch.bool, got {found}; use mask != 0")
    return np.packbits(mask.detach().cpu().numpy().reshape(-1), bitorder="little")


def _record(name: str, mask: torch.Tensor, packed: np.ndarray) -> dict[str, object]:
    kept = int(torch.count_nonzero(mask))
    return {"shape": list(mask.shape), "kept": kept, "crc32": _checksum(name, list(mask.shape), packed)}


def _checksum(name: str, shape: list[int], packed: np.ndarray) -> int:
    """Return a number that almost certainly changes with any of the three."""
    return zlib.crc32(packed.tobytes(), zlib.crc32(json.dumps([name, shape]).encode()))


def _json(metadata: Mapping[str, object]) -> str:
    try:
        return json.dumps(metadata, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"metadata: expected what JSON can hold, got {sorted(metadata)} ({error})") from error


def _read(path: str) -> StoredMasks:
    with safe_open(path, framework="numpy") as file:
        head = file.metadata() or {}
        if head.get("format") != FORMAT:
            raise MaskFileError(f"no file of save_masks (a safetensors file with format {head.get('format')!r})")
        if head["version"] != str(VERSION):
            raise MaskFileError(
                f"expected format version {VERSION}, got {head['version']}; update prune_adapters to read it"
            )
        records = json.loads(head["masks"])
        if set(records) != set(file.keys()):
            raise MaskFileError(f"damaged: the header lists {sorted(records)}, the file holds {sorted(file.keys())}")
        masks = {name: _mask(name, file.get_tensor(name), record) for name, record in records.items()}
    return StoredMasks(masks, json.loads(head["metadata"]))


def _mask(name: str, packed: np.ndarray, record: Mapping[str, object]) -> torch.Tensor:
    shape = record["shape"]
    if not isinstance(shape, list) or _checksum(name, shape, packed) != record["crc32"]:
        raise MaskFileError(f"mask for {name!r}: damaged, the checksum does not fit")
    size = int(np.prod(shape, dtype=np.int64))
    if packed.size != -(-size // 8):
        raise MaskFileError(f"mask for {name!r}: damaged, {packed.size} bytes do not hold the shape {shape}")
    return torch.from_numpy(np.unpackbits(packed, count=size, bitorder="little").view(bool).reshape(shape))
