"""Checkpoints of one or many files: a file, an index of shards, or a folder with either."""

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch

from prune_adapters.checkpoint.formats import tensors_in
from prune_adapters.checkpoint.stored import StoredTensor
from prune_adapters.errors import CheckpointError

__all__ = ["Checkpoint", "open_checkpoint"]

FOLDER_FILES = ("*.safetensors.index.json", "*.safetensors", "*.bin.index.json", "*.bin", "*.pt", "*.pth")
"""What is looked for in a folder; the first kind that is there is taken."""


class Checkpoint(Mapping[str, StoredTensor]):
    """The tensors of a checkpoint by name; they stay on disk until one is asked for.

    Parameters
    ----------
    path : Path
        File, index or folder.
    tensors : mapping of str to StoredTensor

    Examples
    --------
    See `open_checkpoint`.
    """

    def __init__(self, path: Path, tensors: Mapping[str, StoredTensor]) -> None:
        self.path = path
        self._tensors = dict(tensors)

    def __getitem__(self, name: str) -> StoredTensor:
        return self._tensors[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._tensors)

    def __len__(self) -> int:
        return len(self._tensors)

    def __repr__(self) -> str:
        return f"Checkpoint: {self.path}, {len(self)} tensors, {self.nbytes:,} bytes"

    @property
    def nbytes(self) -> int:
        """Bytes of all tensors together."""
        return sum(stored.nbytes for stored in self.values())

    def tensor(self, name: str) -> torch.Tensor:
        """Return one tensor, read from its file."""
        return self[name].tensor()


def open_checkpoint(path: str | os.PathLike[str]) -> Checkpoint:
    """Return the tensors of a checkpoint by name, without reading their values.

    Parameters
    ----------
    path : path-like
        A safetensors file; a state dict written by ``torch.save``, itself or under "state_dict", "model_state_dict" or
        "model"; an index of several such files, as Hugging Face writes it (``*.index.json``); or a folder that holds
        one of these.

    Returns
    -------
    Checkpoint

    Raises
    ------
    CheckpointError
        A file is damaged or cut short, a shard is missing, two shards hold the same tensor, or a folder holds no
        checkpoint or several.
    OSError
        There is no such file, or it cannot be opened.

    Examples
    --------
    >>> import tempfile
    >>> from safetensors.torch import save_file
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_file({"w": torch.ones(2, 3)}, folder + "/model.safetensors")
    ...     opened = open_checkpoint(folder)
    ...     opened["w"].shape, opened.tensor("w").sum().item()
    ((2, 3), 6.0)
    """
    chosen = Path(path)
    if chosen.is_dir():
        chosen = _in_folder(chosen)
    tensors = _sharded(chosen) if chosen.suffix == ".json" else tensors_in(chosen)
    return Checkpoint(chosen, tensors)


def _in_folder(folder: Path) -> Path:
    for pattern in FOLDER_FILES:
        found = sorted(folder.glob(pattern))
        if len(found) > 1:
            names = ", ".join(path.name for path in found[:5])
            raise CheckpointError(f"{folder}: expected one {pattern}, got {len(found)} ({names}); name the one to open")
        if found:
            return found[0]
    raise CheckpointError(f"{folder}: no checkpoint there; expected one of {', '.join(FOLDER_FILES)}")


def _sharded(index: Path) -> dict[str, StoredTensor]:
    """Return the tensors of all files that an index names."""
    placed = _weight_map(index)
    tensors: dict[str, StoredTensor] = {}
    for shard in dict.fromkeys(placed.values()):
        held = tensors_in(_shard(index, shard))
        absent = [name for name, home in placed.items() if home == shard and name not in held]
        if absent:
            raise CheckpointError(f"{index}: {shard} should hold {absent[0]!r} and does not; fetch both files anew")
        for name, stored in held.items():
            if name in tensors:
                raise CheckpointError(f"{index}: {name!r} lies in both {tensors[name].path.name} and {shard}")
            tensors[name] = stored
    return tensors


def _weight_map(index: Path) -> dict[str, str]:
    try:
        placed = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
        return {str(name): str(shard) for name, shard in placed.items()}
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise CheckpointError(f"{index}: expected a JSON object with a weight_map from names to files") from error


def _shard(index: Path, name: str) -> Path:
    """Return the path of a shard, which lies beside its index and nowhere else."""
    if name in ("", ".", "..") or Path(name).name != name:
        raise CheckpointError(f"{index}: expected names of files beside it, got {name!r}")
    path = index.parent / name
    if not path.is_file():
        raise CheckpointError(f"{index}: names {name}, which is not there; fetch the missing shard")
    return path
