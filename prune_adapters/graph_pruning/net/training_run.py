"""What the training of a `PruningNet` is resumed from."""

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from netgraph.storage import replacing
from prune_adapters.errors import CheckpointError
from prune_adapters.graph_pruning.net.pruning_net import PruningNet

__all__ = ["Setting", "TrainingRun"]

Setting = int | float | bool
DAMAGE = (pickle.UnpicklingError, RuntimeError, EOFError, ValueError)


class TrainingRun:
    """A net, its optimizer and its schedule, with the settings of the run and the losses so far.

    Parameters
    ----------
    net : PruningNet
    optimizer : Optimizer
    scheduler : LRScheduler or None
    settings : mapping of str to number
        What a resumed run must have in common with the one that it goes on with.
    """

    def __init__(
        self, net: PruningNet, optimizer: Optimizer, scheduler: LRScheduler | None, settings: Mapping[str, Setting]
    ) -> None:
        parts: dict[str, Any] = {"net": net, "optimizer": optimizer, "scheduler": scheduler}
        self.parts = {name: part for name, part in parts.items() if part is not None}
        self.settings = dict(settings)
        self.losses: list[float] = []

    def save(self, path: Path) -> None:
        """Write a file, whole or not at all.

        Parameters
        ----------
        path : Path
        """
        content: dict[str, object] = {name: part.state_dict() for name, part in self.parts.items()}
        with replacing(path, "wb") as file:
            torch.save(content | {"losses": self.losses, "settings": self.settings}, file)

    def load(self, path: Path, *, any_seed: bool) -> None:
        """Set net, optimizer and schedule to what a file holds.

        Parameters
        ----------
        path : Path
        any_seed : bool
            Take over the seed of the file.

        Raises
        ------
        CheckpointError
            The file is no checkpoint, or one of another run.
        """
        content = _read(path, {*self.parts, "losses", "settings"})
        found = content["settings"]
        for name, own in self.settings.items():
            if found.get(name) != own and not (any_seed and name == "seed"):
                raise CheckpointError(f"{path}: begun with {name} {found.get(name)}, got {own}")
        try:
            for name, part in self.parts.items():
                part.load_state_dict(content[name])
        except (KeyError, RuntimeError, ValueError) as error:
            raise CheckpointError(f"{path}: does not fit: {error}") from error
        self.settings, self.losses = found, content["losses"]


def _read(path: Path, expected: set[str]) -> dict:
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except DAMAGE as error:
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise CheckpointError(f"{path}: not a checkpoint: {reason}") from error
    if not isinstance(content, dict) or set(content) != expected or not isinstance(content["settings"], dict):
        found = sorted(content) if isinstance(content, dict) else type(content).__name__
        raise CheckpointError(f"{path}: expected {sorted(expected)}, got {found}")
    return content
