"""Selective weight decay of whole channels, by the scales of their batch norms."""

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import nn

from prune_adapters.groups import ChannelGroup, silenced
from prune_adapters.masks import bare_module, parameter_owners
from prune_adapters.methods.decay.term import GrowingDecay
from prune_adapters.methods.method import Setting
from prune_adapters.select import Selection
from prune_adapters.shards import local, own_part, whole

__all__ = ["SelectiveChannelDecay"]

BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)


@dataclass(eq=False)
class SelectiveChannelDecay(GrowingDecay):
    """Decays the batch norms of the channels that pruning to the final size would remove now, ever more.

    The structured form of `SelectiveWeightDecay` [1]_: ``remove_channels(model, method.removed, example_inputs)`` makes
    the smaller network after `finish`. The criterion of a group of coupled channels is the largest of the absolute
    scales of its batch norms: so a channel of a residual stream goes only when no block writes to it any more, and the
    threshold means the same for groups of all sizes. Groups without a batch norm stay.

    Parameters
    ----------
    model, steps, optimizer, seed
        As every `Method` takes them.
    sparsity : float
        Fraction of all parameters of the network to remove in the end, in [0, 1]. As whole channels go, the largest
        number of parameters is kept that is not above ``n - round(sparsity * n)``.
    groups : sequence of ChannelGroup
        Of ``coupled_channels(model, example_inputs)``.
    filters : bool
        Decay the filters of these channels too, and the weights that read them: all that `remove_channels` removes.
    a_min, a_max, weight_decay, refresh, term
        As `SelectiveWeightDecay` takes them. Batch norms must be under weight decay, or `weight_decay` be given.
    graph, parameters, scope, target, consistent
        At their defaults: they say nothing about channels.

    Notes
    -----
    The last channel of a layer is never removed: there would be no network without it. What a removal makes dead
    besides leaves too, so `remove_channels` may go below the size that is counted here.

    References
    ----------
    .. [1] Tessier et al., Rethinking Weight Decay for Efficient Neural Network Pruning, J. Imaging 8(3):64, 2022.

    Examples
    --------
    >>> from prune_adapters.groups import coupled_channels
    >>> model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 2)).eval()
    >>> _ = model[1].weight.data.copy_(torch.tensor([1.0, 1e-6, 2.0, 1e-5]))
    >>> groups = coupled_channels(model, torch.ones(1, 3))
    >>> method = SelectiveChannelDecay(model, sparsity=0.4, steps=100, groups=groups, weight_decay=5e-4)
    >>> [group.outputs["1"] for group in method.removed], method.finish()
    ([(1,), (3,)], Selection: 18 of 34 weights kept, 20 requested (direct))
    """

    groups: Sequence[ChannelGroup] = field(kw_only=True, repr=False)
    filters: bool = field(default=False, kw_only=True)

    def __post_init__(self) -> None:
        self._table = _Table(self.model, self.groups)
        self._gone: dict[str, torch.Tensor] = {}
        self._last = np.zeros(0, dtype=np.int64)
        super().__post_init__()
        self._check_channels()

    @property
    def removed(self) -> tuple[ChannelGroup, ...]:
        """The groups that pruning removes, now or at the end."""
        places = self._places() if self._chosen is None else self._last
        return tuple(self._table.groups[place] for place in places)

    @property
    def settings(self) -> dict[str, Setting]:
        """The arguments of the method that are numbers and words: with the name of its class, its recipe."""
        return {name: value for name, value in super().settings.items() if name != "groups"}

    def _acts(self) -> list[str]:
        return self._table.touched if self.filters else self._table.norms

    def _select(self) -> None:
        self._gone = self._table.gone(self._places(), self._acts())

    def _part(self, name: str, weight: torch.Tensor) -> torch.Tensor | None:
        return torch.where(own_part(self._gone[name], weight), local(weight), 0.0) if name in self._gone else None

    def _wanted(self) -> Selection:
        self._last = self._places()
        gone = self._table.gone(self._last, self._table.touched)
        weights = self._weights(parameter_owners(self.model))
        masks = {name: torch.ones(w.shape, dtype=torch.bool, device=w.device) for name, w in weights.items()}
        masks.update({name: ~mask for name, mask in gone.items()})
        return Selection(masks, target="direct", requested=self._requested)

    @property
    def _requested(self) -> int:
        return self._table.total - round(self.sparsity * self._table.total)

    def _places(self) -> np.ndarray:
        """Return the places of the groups to remove: the fewest of the smallest that leave a network small enough."""
        order = self._table.removal_order()
        number = bisect_left(range(len(order)), -self._requested, key=lambda n: -self._table.left(order[:n]))
        return np.sort(order[:number])

    def _own_state(self) -> dict[str, object]:
        return super()._own_state() | {"gone": dict(self._gone), "last": self._last.tolist()}

    def _load_own_state(self, own: Mapping[str, Any]) -> None:
        super()._load_own_state(own)
        self._gone, self._last = self._placed(own["gone"]), np.array(own["last"], dtype=np.int64)

    def _check_channels(self) -> None:
        given = self.parameters, self.scope, self.target, self.consistent
        if given != (None, "global", "direct", False):
            raise ValueError(
                "SelectiveChannelDecay: expected parameters, scope, target and consistent at their defaults: its "
                f"budget counts all parameters of the network; got {', '.join(map(repr, given))}"
            )
        least = self._table.left(self._table.removal_order())
        if least > self._requested:
            raise ValueError(
                f"SelectiveChannelDecay: sparsity: expected at most {1 - least / self._table.total:.4f}, at which "
                f"one channel a layer and {least} of {self._table.total} parameters stay, got {self.sparsity}"
            )


class _Table:
    """Which entries of which parameters go with each group that has a batch norm."""

    def __init__(self, model: nn.Module, groups: Iterable[ChannelGroup]) -> None:
        self.model = bare_module(model)
        self.groups = [group for group in groups if group.removable and self._scales(group)]
        if not self.groups:
            raise ValueError(
                "SelectiveChannelDecay: groups: expected removable ones with a batch norm that has a scale, got none; "
                "pass groups=coupled_channels(model, example_inputs)"
            )
        self.total = sum(weight.numel() for weight in self.model.parameters())
        self._owners: dict[str, dict[int, np.ndarray]] = {}
        """For each parameter and dimension the group that each entry goes with, or -1."""
        for place, group in enumerate(self.groups):
            for name, index in silenced(group, self.model):
                self._owner(name, len(index) - 1)[index[-1]] = place
        scales = {f"{path}.weight".lstrip(".") for group in self.groups for path in self._scales(group)}
        self.norms = [name for name in self._owners if f"{name.rpartition('.')[0]}.weight".lstrip(".") in scales]
        self.touched = list(self._owners)
        self._ranked = [(name, self._owners[name][0]) for name in self.norms if name in scales]
        self._layers = [np.flatnonzero([path in group.outputs for group in self.groups]) for path in self._paths()]
        self._count_sides()

    def left(self, removed: np.ndarray) -> int:
        """Return the number of parameters without some groups."""
        sides = np.add.reduceat(np.append(self._kept(removed), 1)[self._entries], self._sides)
        return self._fixed + int((np.multiply.reduceat(sides, self._firsts) * self._rests).sum())

    def gone(self, removed: np.ndarray, names: Iterable[str]) -> dict[str, torch.Tensor]:
        """Return which elements go with some groups, of the parameters of which any do."""
        kept = np.append(self._kept(removed), 1)
        found: dict[str, torch.Tensor] = {}
        for name in names:
            weight = self.model.get_parameter(name)
            for dim, owner in self._owners[name].items():
                if (entries := np.flatnonzero(kept[owner] == 0)).size:
                    mask = found.setdefault(name, torch.zeros(weight.shape, dtype=torch.bool, device=weight.device))
                    mask.index_fill_(dim, torch.from_numpy(entries).to(weight.device), True)
        return found

    def removal_order(self) -> np.ndarray:
        """Return the groups from the first to go to the last; the best of each layer is left out, for it stays."""
        ranks = np.argsort(-self._criterion(), kind="stable")
        place_of = np.argsort(ranks)
        may_go = np.ones(len(ranks), dtype=bool)
        may_go[[own[place_of[own].argmin()] for own in self._layers]] = False
        last_first = ranks[::-1]
        return last_first[may_go[last_first]]

    def _kept(self, removed: np.ndarray) -> np.ndarray:
        kept = np.ones(len(self.groups), dtype=np.int64)
        kept[removed] = 0
        return kept

    def _count_sides(self) -> None:
        """Lay out the entries along all dimensions in one row, so that one pass counts those that are kept."""
        owners = [owner for own in self._owners.values() for owner in own.values()]
        sizes = [self.model.get_parameter(name).numel() for name in self._owners]
        entries = [np.prod([owner.size for owner in own.values()], dtype=np.int64) for own in self._owners.values()]
        self._entries = np.concatenate(owners)
        self._sides = np.cumsum([0, *(owner.size for owner in owners[:-1])])
        self._firsts = np.cumsum([0, *(len(own) for own in self._owners.values())])[:-1]
        self._rests = np.array(sizes) // np.array(entries)
        self._fixed = self.total - sum(sizes)

    def _paths(self) -> list[str]:
        return list(dict.fromkeys(path for group in self.groups for path in group.outputs))

    def _criterion(self) -> np.ndarray:
        """Return the largest absolute scale of each group."""
        found = np.zeros(len(self.groups) + 1)
        for name, owner in self._ranked:
            scales = whole(self.model.get_parameter(name).detach())
            np.maximum.at(found, owner, scales.abs().double().cpu().numpy())
        return found[:-1]

    def _scales(self, group: ChannelGroup) -> list[str]:
        """Return the paths of the batch norms of a group that scale."""
        norms = {path: self.model.get_submodule(path) for path in group.outputs}
        return [path for path, norm in norms.items() if isinstance(norm, BATCH_NORMS) and norm.affine]

    def _owner(self, name: str, dim: int) -> np.ndarray:
        size = self.model.get_parameter(name).shape[dim]
        return self._owners.setdefault(name, {}).setdefault(dim, np.full(size, -1))
