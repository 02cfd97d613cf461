"""What lies where in one file: safetensors, and the zip files of ``torch.save``."""

import json
import os
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch._subclasses.fake_tensor import FakeTensorMode

from prune_adapters.checkpoint.stored import StoredTensor
from prune_adapters.errors import CheckpointError

__all__ = ["tensors_in"]

DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}
"""The types that safetensors files name; see https://huggingface.co/docs/safetensors."""
WRAPPED = ("state_dict", "model_state_dict", "model")
"""Under which keys training scripts and Lightning put the parameters."""


def tensors_in(path: Path) -> dict[str, StoredTensor]:
    """Return the tensors of one file by name; none is read.

    Parameters
    ----------
    path : Path
        Its first bytes decide what it is, not its name.

    Raises
    ------
    CheckpointError
        The file is damaged, cut short, or of another format.
    OSError
        There is no such file, or it cannot be opened.
    """
    with open(path, "rb") as file:
        is_zip = file.read(4) == b"PK\x03\x04"
    return _of_torch(path) if is_zip else _of_safetensors(path)


def _of_safetensors(path: Path) -> dict[str, StoredTensor]:
    try:
        with safe_open(path, framework="numpy"):
            pass  # Checks the header: names, types, and that the tensors fill the file without gaps or overlaps.
    except SafetensorError as error:
        raise CheckpointError(
            f"{os.fspath(path)}: cut short, damaged, or neither safetensors nor a zip file of torch.save ({error})"
        ) from error
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
        head = json.loads(file.read(length))
    head.pop("__metadata__", None)
    return {name: _record(path, name, record, 8 + length) for name, record in head.items()}


def _record(path: Path, name: str, record: Mapping, data: int) -> StoredTensor:
    if record["dtype"] not in DTYPES:
        raise CheckpointError(
            f"{os.fspath(path)}: tensor {name!r}: expected a type among {', '.join(DTYPES)}, got {record['dtype']}"
        )
    shape, begin = tuple(record["shape"]), record["data_offsets"][0]
    return StoredTensor(name, path, DTYPES[record["dtype"]], shape, data + begin)


def _of_torch(path: Path) -> dict[str, StoredTensor]:
    """Return the tensors of a zip file of torch.save.

    Fake tensors take no memory, and their storages know their place in the file (torch 2.6 and later).
    """
    try:
        with FakeTensorMode():
            loaded = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch.load lets through whatever zip and pickle raise on damaged files
        first = str(error).strip().splitlines()[0]
        raise CheckpointError(
            f"{os.fspath(path)}: cut short, damaged, or more than tensors in plain containers ({first})"
        ) from error
    tensors = {name: value for name, value in _state(path, loaded).items() if isinstance(value, torch.Tensor)}
    return {name: _placed(path, name, tensor) for name, tensor in tensors.items()}


def _state(path: Path, loaded: object) -> Mapping[str, object]:
    """Return the state dict: what was saved itself, or what lies under a usual key."""
    if not isinstance(loaded, Mapping):
        raise CheckpointError(f"{os.fspath(path)}: expected a state dict, got {type(loaded).__name__}")
    for key in WRAPPED:
        if isinstance(loaded.get(key), Mapping):
            return loaded[key]
    if not any(isinstance(value, torch.Tensor) for value in loaded.values()):
        raise CheckpointError(
            f"{os.fspath(path)}: expected a state dict, itself or under {', '.join(map(repr, WRAPPED))}; "
            f"got keys {', '.join(map(repr, list(loaded)[:5]))}"
        )
    return loaded


def _placed(path: Path, name: str, tensor: torch.Tensor) -> StoredTensor:
    begin = tensor.untyped_storage()._checkpoint_offset
    if tensor.layout != torch.strided or begin is None:
        raise CheckpointError(f"{os.fspath(path)}: tensor {name!r}: expected a plain tensor, got {tensor.layout}")
    strides = None if tensor.is_contiguous() else tuple(tensor.stride())
    offset = begin + int(tensor.storage_offset()) * tensor.dtype.itemsize
    return StoredTensor(name, path, tensor.dtype, tuple(tensor.shape), offset, strides)
