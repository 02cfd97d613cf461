"""Modules that lend their forward to weights from elsewhere, in whatever shape these have."""

import copy
from collections import OrderedDict
from collections.abc import Mapping

import torch
from torch import nn

from prune_adapters.graph_pruning.space.space import WidthSpace
from prune_adapters.graph_pruning.space.widths import Counts
from prune_adapters.groups import CONVOLUTIONS

__all__ = ["BatchNorm", "Skeletons"]

BatchNorm = nn.modules.batchnorm._BatchNorm
"""What all batch norms of torch derive from."""
SIZES: dict[type[nn.Module], tuple[str, ...]] = {
    **dict.fromkeys(CONVOLUTIONS, ("out_channels", "in_channels")),
    **dict.fromkeys((nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d), ("num_features",)),
    nn.Linear: ("out_features", "in_features"),
    nn.PReLU: ("num_parameters",),
}
"""Layers that compute with weights of any size, and the attributes that tell the first sizes of the weight."""


class Skeletons:
    """The skeletons of a space: copies of its model whose own values do not count.

    Where all layers that widths shape compute with weights of any size, one copy serves for all sub-networks and only
    the sizes that its layers tell are set anew. Else each sub-network has a narrow copy, and those used last are held.
    Batch norms know no running statistics: they normalise by the batch in either mode.

    Parameters
    ----------
    space : WidthSpace
    held : int
        How many narrow copies to hold.

    Examples
    --------
    >>> from prune_adapters.graph_pruning.space.space import width_space
    >>> model = nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 2))
    >>> skeletons = Skeletons(width_space(model, torch.ones(1, 3)))
    >>> weights = {"0.weight": torch.ones(4, 3), "2.weight": torch.ones(2, 4)}
    >>> skeletons.of((4,), weights)[0]
    Linear(in_features=3, out_features=4, bias=True)
    """

    def __init__(self, space: WidthSpace, *, held: int = 8) -> None:
        self.space = space
        self.held = held
        self._elastic = _elastic_layers(space)
        self._held: OrderedDict[tuple[Counts, torch.device], nn.Module] = OrderedDict()

    def of(self, counts: Counts, weights: Mapping[str, torch.Tensor]) -> nn.Module:
        """Return a module for weights of these widths; the next call may change it.

        Parameters
        ----------
        counts : tuple of int
        weights : mapping of str to Tensor
            By name of parameter; their shapes and their device are those of the skeleton.
        """
        device = next(iter(weights.values())).device
        skeleton = self._copy(counts if self._elastic is None else self.space.full, device)
        for path, (names, width, groups) in (self._elastic or {}).items():
            layer, shape = skeleton.get_submodule(path), weights[f"{path}.weight".lstrip(".")].shape
            for name, size in zip(names, shape, strict=False):
                setattr(layer, name, size)
            if groups > 1:
                layer.groups = groups * shape[0] // width  # type: ignore[assignment]
                layer.in_channels = layer.groups * shape[1]  # type: ignore[assignment, operator]
        return skeleton

    def _copy(self, counts: Counts, device: torch.device) -> nn.Module:
        key = counts, device
        copied = self._held.pop(key, None)
        if copied is None:
            copied = _without_statistics(self.space.narrowed(counts)).to(device)
        self._held[key] = copied
        while len(self._held) > self.held:
            self._held.popitem(last=False)
        return copied

    def __deepcopy__(self, memo: dict) -> "Skeletons":
        return Skeletons(copy.deepcopy(self.space, memo), held=self.held)

    def __reduce__(self) -> tuple:
        return _emptied, (self.space, self.held)


def _emptied(space: WidthSpace, held: int) -> Skeletons:
    return Skeletons(space, held=held)


def _elastic_layers(space: WidthSpace) -> dict[str, tuple[tuple[str, ...], int, int]] | None:
    """Return by path the attributes to set, outputs and groups of all layers that widths shape; None if one is rigid.

    Layer norms are: without some channels they count as if these were there, which torch's do not.
    """
    found = {}
    for path in dict.fromkeys(path for width in space.widths for group in width.groups for path in group.layers):
        layer = space.model.get_submodule(path)
        if type(layer) not in SIZES:
            return None
        if getattr(layer, "weight", None) is not None:
            found[path] = SIZES[type(layer)], len(layer.get_parameter("weight")), getattr(layer, "groups", 1)
    return found


def _without_statistics(model: nn.Module) -> nn.Module:
    for norm in model.modules():
        if isinstance(norm, BatchNorm):
            norm.track_running_stats = False
            norm.running_mean = norm.running_var = norm.num_batches_tracked = None
    return model
