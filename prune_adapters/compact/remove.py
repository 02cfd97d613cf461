"""Live channels removed on purpose, group by group."""

from collections.abc import Iterable

import numpy as np
import torch
from torch import nn

from prune_adapters.apply import remembered_masks
from prune_adapters.compact.compact import smaller
from prune_adapters.compact.decide import Decision
from prune_adapters.errors import CompactError
from prune_adapters.groups import ChannelGroup, all_groups, silenced
from prune_adapters.masks import bare_module
from prune_adapters.trace.example import ExampleInputs
from prune_adapters.trace.tracer import capture

__all__ = ["remove_channels"]


def remove_channels(model: nn.Module, groups: Iterable[ChannelGroup], example_inputs: ExampleInputs) -> nn.Module:
    """Return a smaller model without the channels of some groups.

    It computes in eval mode what `model` computes after these are set to zero: for every output channel of a group
    its weights and bias, of a norm its scale and bias, for every input channel the weights that read it, and the
    entries of class tokens, position tables and scales. So the channels give 0 and are not listened to. A layer, RMS
    or group norm goes on counting what it has lost, as zeros. What becomes dead by the removal leaves as in `compact`,
    and `compact_report` tells of both.

    Parameters
    ----------
    model : Module
        Not changed. Masks that `apply_masks` remembers count too; weights that are 0 without a mask stay.
    groups : iterable of ChannelGroup
        Of `coupled_channels` for this model.
    example_inputs : Tensor, tuple or dict
        As for `to_graph`.

    Returns
    -------
    Module
        As of `compact`.

    Raises
    ------
    CompactError
        A group cannot be removed, by itself or with the others; the reason is told. Or as in `compact`.
    ValueError
        A group is not one of this model.
    TraceError
        The model cannot be followed.

    Examples
    --------
    >>> import torch, prune_adapters as pa
    >>> model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.ReLU(), torch.nn.Linear(4, 2))
    >>> x = torch.ones(1, 3)
    >>> hidden = [group for group in pa.coupled_channels(model, x) if group.removable]
    >>> weakest = min(hidden, key=lambda group: model[0].weight[list(group.outputs["0"])].norm().item())
    >>> pa.remove_channels(model, [weakest], x)
    Sequential(
      (0): Linear(in_features=3, out_features=3, bias=True)
      (1): ReLU()
      (2): Linear(in_features=3, out_features=2, bias=True)
    )
    """
    bare = bare_module(model)
    wanted = _checked(groups, all_groups(capture(bare, example_inputs), bare))
    masks = {name: mask.clone() for name, mask in remembered_masks(bare).items()}
    for group in wanted:
        for name, entries in silenced(group, bare):
            mask = masks.setdefault(name, torch.ones_like(bare.get_parameter(name), dtype=torch.bool))
            mask[entries] = False
    result, decision = smaller(bare, masks, example_inputs)
    for group in wanted:
        _check_gone(group, decision, bare)
    return result


def _checked(groups: Iterable[ChannelGroup], known: tuple[ChannelGroup, ...]) -> list[ChannelGroup]:
    wanted = list(groups)
    for group in wanted:
        if not isinstance(group, ChannelGroup):
            raise TypeError(f"groups: expected ChannelGroup of coupled_channels, got {type(group).__name__}")
        if group.number >= len(known) or group != known[group.number]:
            raise ValueError(f"{group}: not a group of this model; call coupled_channels on this very model")
        if not group.removable:
            raise CompactError(f"{_named(group)} cannot be removed: {group.obstacle}")
    return wanted


def _check_gone(group: ChannelGroup, decision: Decision, model: nn.Module) -> None:
    for layer in decision.recorder.layers:
        slots = layer.outputs[list(group.outputs.get(layer.path, ()))]
        staying = slots[~decision.gone[slots]]
        if len(staying):
            raise CompactError(f"{_named(group)} cannot be removed: {decision.reason(int(staying[0]))}")
    for path, rows in group.outputs.items():
        module = model.get_submodule(path)
        if isinstance(module, nn.MultiheadAttention) and not _is_gone(module, rows[0], decision.heads.get(path)):
            raise CompactError(f"{_named(group)} cannot be removed: one head must be left for {path!r}")


def _is_gone(attention: nn.MultiheadAttention, row: int, dead: tuple[np.ndarray, int] | None) -> bool:
    return dead is not None and bool(dead[0][row // attention.head_dim])


def _named(group: ChannelGroup) -> str:
    path, channels = next(iter(group.outputs.items()))
    return f"group {group.number} (channel {channels[0]} of {path!r})"
