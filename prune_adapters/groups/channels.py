"""Channel groups: which channels of which layers can only be removed together, and why."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from prune_adapters.groups.attention import attention_layers, columns_of_heads
from prune_adapters.groups.coupled import coupled_slots, rebuildable
from prune_adapters.groups.layers import CHANNELWISE, COUNTED, kept_pairs
from prune_adapters.groups.movements import moves_alike
from prune_adapters.groups.raw import raw_parameters
from prune_adapters.groups.step import Facts, Recorder
from prune_adapters.masks import bare_module
from prune_adapters.trace.example import ExampleInputs
from prune_adapters.trace.tape import Tape
from prune_adapters.trace.tracer import capture

__all__ = ["ChannelGroup", "all_groups", "coupled_channels", "groups_of", "recorded"]

Members = dict[int, dict[str, list[int]]]

LIVE = 2
"""The class that each input is taken for, as no mask is asked."""


@dataclass(frozen=True, slots=True)
class ChannelGroup:
    """Channels that can only be removed together.

    Parameters
    ----------
    number : int
        Place among the groups of the model.
    outputs, inputs : mapping of str to tuple of int
        The output channels and the input channels of each layer that belong to the group, by module path. A norm
        is listed by its outputs.
    parameters : mapping of str to (int, tuple of int)
        Dimension and entries along it of parameters that a forward uses by itself, by name: class tokens, position
        tables, layer scales.
    reason : str
        Why they go together.
    obstacle : str
        Why the group cannot be removed, empty if it can.
    """

    number: int
    outputs: Mapping[str, tuple[int, ...]]
    inputs: Mapping[str, tuple[int, ...]]
    parameters: Mapping[str, tuple[int, tuple[int, ...]]]
    reason: str
    obstacle: str = ""

    @property
    def removable(self) -> bool:
        """Whether the group can be removed by itself."""
        return not self.obstacle

    @property
    def layers(self) -> tuple[str, ...]:
        """Paths of all layers with a channel in the group, each once."""
        return tuple(dict.fromkeys((*self.outputs, *self.inputs)))

    def __str__(self) -> str:
        parts = [f"{path}[{_ranges(channels)}]" for path, channels in self.outputs.items()]
        parts += [f"{path}[:, {_ranges(channels)}]" for path, channels in self.inputs.items()]
        parts += [f"{name}[{':, ' * d}{_ranges(entries)}]" for name, (d, entries) in self.parameters.items()]
        end = f"; stays: {self.obstacle}" if self.obstacle else ""
        return f"group {self.number}: {', '.join(parts)}; {self.reason}{end}"


def coupled_channels(model: nn.Module, example_inputs: ExampleInputs) -> tuple[ChannelGroup, ...]:
    """Return the sets of channels that must go together, with the reason in words.

    Two channels are coupled where an operator needs them at one index: the terms of a residual sum, the factors of a
    product, a norm and what it normalises, the channels of one group of a grouped convolution. A channel and what
    reads it are coupled too. Concatenation, flattening, splitting and channel shuffles are followed.

    Parameters
    ----------
    model : Module
        Not changed; weights and masks do not count. Wrappers are seen through.
    example_inputs : Tensor, tuple or dict
        As for `to_graph`. A model is needed and not its graph, as a graph of units does not say which tensors meet
        along which dimension.

    Returns
    -------
    tuple of ChannelGroup
        In the order in which the model makes the channels, then the heads of ``nn.MultiheadAttention``: the rows of
        the joint projection and the columns that read them. Inputs of the model and tokens are in no group.

    Raises
    ------
    TraceError
        The model cannot be followed.

    Examples
    --------
    >>> import torch, prune_adapters as pa
    >>> model = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.ReLU(), torch.nn.Linear(2, 1))
    >>> for group in pa.coupled_channels(model, torch.ones(1, 3)):
    ...     print(group)
    group 0: 0[0], 2[:, 0]; '0' feeds '2'
    group 1: 0[1], 2[:, 1]; '0' feeds '2'
    group 2: 2[0]; '2' feeds no layer; stays: linear in '2' has only this channel
    """
    bare = bare_module(model)
    tape = capture(bare, example_inputs)
    return all_groups(tape, bare)


def all_groups(tape: Tape, model: nn.Module) -> tuple[ChannelGroup, ...]:
    """Return the groups of a captured bare module: those of its channels, then the heads of its attention layers.

    Parameters
    ----------
    tape : Tape
    model : Module
    """
    groups = groups_of(recorded(tape, rebuildable(tape, model), raw_parameters(tape, model)))
    return (*groups, *_heads(tape, model, len(groups)))


def _heads(tape: Tape, model: nn.Module, number: int) -> Iterator[ChannelGroup]:
    for path, attention in attention_layers(tape, model).items():
        for head in range(attention.num_heads):
            columns = columns_of_heads(attention, [head]).tolist()
            rows = tuple(column + part * attention.embed_dim for part in range(3) for column in columns)
            obstacle = "it is the only head" if attention.num_heads == 1 else ""
            out = f"{path}.out_proj".lstrip(".")
            yield ChannelGroup(number, {path: rows}, {out: tuple(columns)}, {}, f"head {head} of {path!r}", obstacle)
            number += 1


def recorded(tape: Tape, modules: Mapping[str, nn.Module], raw: Mapping[str, tuple[int, ...]]) -> Recorder:
    """Return the slots of a captured model, every weight kept and every input live."""
    return coupled_slots(tape, modules, {path: _dense_facts(m) for path, m in modules.items() if _has_facts(m)}, raw)


def groups_of(recorder: Recorder) -> tuple[ChannelGroup, ...]:
    """Return the groups that the slots of a model form.

    Parameters
    ----------
    recorder : Recorder
    """
    coupling = recorder.coupling
    outputs: Members = {}
    inputs: Members = {}
    for layer in recorder.layers:
        _add(outputs, layer.path, coupling.roots(layer.outputs))
        if layer.inputs is not layer.outputs:
            _add(inputs, layer.path, coupling.roots(layer.inputs))
    parameters: Members = {}
    for name, held in recorder.raw.met.items():
        _add(parameters, name, coupling.roots(held.numbers))
    obstacles = _cuts(recorder)
    return tuple(
        ChannelGroup(
            number,
            written := _frozen(outputs[root]),
            read := _frozen(inputs.get(root, {})),
            {n: (recorder.raw.met[n].axis, tuple(entries)) for n, entries in parameters.get(root, {}).items()},
            "; ".join(coupling.joints(root)) or _plain(written, read),
            coupling.reason(root) or obstacles.get(root, ""),
        )
        for number, root in enumerate(sorted(outputs))
    )


def _add(members: Members, path: str, roots: np.ndarray) -> None:
    for channel, root in enumerate(roots.tolist()):
        members.setdefault(root, {}).setdefault(path, []).append(channel)


def _plain(written: Mapping[str, tuple[int, ...]], read: Mapping[str, tuple[int, ...]]) -> str:
    return f"{next(iter(written))!r} feeds {' and '.join(map(repr, read)) or 'no layer'}"


def _cuts(recorder: Recorder) -> dict[int, str]:
    """Return the classes without which a call with fixed numbers no longer fits, and which call."""
    roots = recorder.coupling.roots(np.arange(len(recorder.coupling)))
    found: dict[int, str] = {}
    for movement in recorder.movements:
        for root in np.unique(roots[movement.source.numbers]).tolist():
            if root not in found and not moves_alike(movement, roots == root):
                found[root] = f"{movement.label} cuts at fixed places"
    return found


def _has_facts(module: nn.Module) -> bool:
    return not isinstance(module, CHANNELWISE)


def _dense_facts(module: nn.Module) -> Facts:
    if isinstance(module, COUNTED):
        groups = module.num_groups if isinstance(module, nn.GroupNorm) else 1
        size = (module.num_channels if isinstance(module, nn.GroupNorm) else module.normalized_shape[-1]) // groups
        kept = np.broadcast_to(np.True_, (groups, size, size))
    else:
        kept = kept_pairs(torch.ones((), dtype=torch.bool).expand(module.get_parameter("weight").shape), module)
    n_inputs = kept.shape[0] * kept.shape[2]
    return Facts(kept, np.full(n_inputs, LIVE, dtype=np.uint8), np.full(n_inputs, np.nan))


def _frozen(members: Mapping[str, list[int]]) -> dict[str, tuple[int, ...]]:
    return {path: tuple(channels) for path, channels in members.items()}


def _ranges(channels: tuple[int, ...]) -> str:
    """Return channels in few words: runs as ``first-last``.

    Examples
    --------
    >>> _ranges((0, 1, 2, 5))
    '0-2, 5'
    """
    runs: list[list[int]] = []
    for channel in channels:
        if runs and runs[-1][-1] == channel - 1:
            runs[-1][1:] = [channel]
        else:
            runs.append([channel])
    return ", ".join("-".join(map(str, run)) for run in runs)
