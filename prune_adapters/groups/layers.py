"""How slots pass through layers that can be rebuilt: those with weights, and norms that follow the channel."""

from math import prod

import numpy as np
import torch
from torch import nn

from prune_adapters.groups.rules import FIXED, Results, rule
from prune_adapters.groups.slots import Slots, Whole
from prune_adapters.groups.step import LayerSlots, Step

__all__ = [
    "CHANNELWISE",
    "CONVOLUTIONS",
    "COUNTED",
    "COUNTED_NORMS",
    "REBUILT",
    "TRANSPOSED",
    "counted",
    "embedding",
    "is_zero_padded",
    "kept_pairs",
    "normed",
    "prelu",
    "weighted",
]

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
CHANNELWISE = (
    nn.BatchNorm1d,
    nn.BatchNorm2d,
    nn.BatchNorm3d,
    nn.InstanceNorm1d,
    nn.InstanceNorm2d,
    nn.InstanceNorm3d,
    nn.PReLU,
)
COUNTED = (nn.LayerNorm, nn.RMSNorm, nn.GroupNorm)
"""Norms with statistics over channels: the number that there were at first goes on counting."""

COUNTED_NORMS = "layer_norm native_layer_norm rms_norm _fused_rms_norm group_norm native_group_norm"
"""The operators that they call."""

REBUILT = (nn.Linear, nn.Embedding, *CONVOLUTIONS, *TRANSPOSED, *CHANNELWISE, *COUNTED)
"""Types that can be rebuilt with fewer channels; subclasses may do anything, so they are left as they are."""

OWN_WEIGHT = "uses weights that are no layer's own, are shared, or lie in a layer that cannot be rebuilt"


def is_zero_padded(layer: nn.Module) -> bool:
    """Return whether a convolution sees zeros beside its input."""
    if not isinstance(layer, CONVOLUTIONS) or layer.padding_mode != "zeros":
        return False
    if isinstance(layer.padding, str):
        return layer.padding == "same" and any(size > 1 for size in layer.kernel_size)
    return any(layer.padding)


def kept_pairs(mask: torch.Tensor, layer: nn.Module) -> np.ndarray:
    """Return which channels a layer joins: ndarray of bool, shape (groups, outputs a group, inputs a group).

    Examples
    --------
    >>> kept_pairs(torch.tensor([[True, False], [True, True]]), nn.Linear(2, 2)).tolist()
    [[[True, False], [True, True]]]
    """
    pairs = mask.flatten(2).any(dim=2) if mask.dim() > 2 else mask
    groups = layer.groups if isinstance(layer, (*CONVOLUTIONS, *TRANSPOSED)) else 1
    blocks = pairs.reshape(groups, -1, pairs.shape[1])
    return (blocks.transpose(1, 2) if isinstance(layer, (*TRANSPOSED, nn.Embedding)) else blocks).cpu().numpy()


@rule("linear conv1d conv2d conv3d conv_transpose1d conv_transpose2d conv_transpose3d")
def weighted(step: Step) -> Results:
    """The outputs are new slots; inputs and outputs of one group of a grouped convolution are coupled."""
    layer, facts = step.recorder.modules.get(step.module), step.recorder.facts.get(step.module)
    value = step.args[0]
    dim = (
        len(step.shape) - 1
        if isinstance(layer, nn.Linear)
        else len(step.shape) - len(getattr(layer, "kernel_size", ())) - 1
    )
    if layer is None or facts is None or (isinstance(value, Slots) and value.dim != dim):
        return step.refused(OWN_WEIGHT if layer is None or facts is None else "reads the channels as positions")
    inputs, uniform = _inputs(step, dim)
    groups, rows, columns = facts.kept.shape
    outputs = step.recorder.coupling.new(groups * rows)
    if groups > 1:
        _couple_groups(step, inputs.reshape(groups, columns), outputs.reshape(groups, rows))
    step.recorder.layers.append(LayerSlots(step.module, inputs, outputs, uniform))
    harmless = (facts.classes == 0) | (uniform & (facts.values == 0))
    if not is_zero_padded(layer) and not isinstance(layer, TRANSPOSED):
        harmless = harmless | uniform
    even = ~(facts.kept & ~harmless.reshape(groups, 1, columns)).any(axis=2).reshape(-1)
    return step.results(outputs, dim, even)


def _inputs(step: Step, dim: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the slots that a layer reads, and which of them are uniform."""
    value = step.args[0]
    if isinstance(value, Slots):
        return value.numbers, value.uniform
    assert isinstance(value, Whole)
    inputs = step.recorder.coupling.new(value.shape[dim])
    step.recorder.coupling.pin(inputs, f"{step.label} reads a tensor of fixed size")
    return inputs, np.zeros(len(inputs), dtype=bool)


def _couple_groups(step: Step, inputs: np.ndarray, outputs: np.ndarray) -> None:
    for i in range(inputs.shape[1]):
        step.recorder.coupling.join(inputs[:, 0], inputs[:, i], f"{step.label} has groups")
    for o in range(outputs.shape[1]):
        step.recorder.coupling.join(inputs[:, 0], outputs[:, o], f"{step.label} has groups")


@rule("embedding")
def embedding(step: Step) -> Results:
    """The tokens stay, the dimensions are new slots."""
    layer = step.recorder.modules.get(step.module)
    if not isinstance(layer, nn.Embedding):
        return step.refused(OWN_WEIGHT)
    coupling = step.recorder.coupling
    tokens, outputs = coupling.new(layer.num_embeddings), coupling.new(layer.embedding_dim)
    coupling.pin(tokens, f"{step.label} has a row for every token")
    step.recorder.layers.append(LayerSlots(step.module, tokens, outputs, np.zeros(len(tokens), dtype=bool)))
    return step.results(outputs, len(step.shape) - 1, np.ones(len(outputs), dtype=bool))


@rule("batch_norm instance_norm")
def normed(step: Step) -> Results:
    """Each channel has a scale, a bias and statistics of its own."""
    value, layer = step.args[0], step.recorder.modules.get(step.module)
    if layer is None or not isinstance(value, Slots) or value.dim != 1:
        return step.refused(OWN_WEIGHT if layer is None else FIXED)
    step.recorder.layers.append(LayerSlots(step.module, value.numbers, value.numbers, value.uniform))
    return step.uniform_if(value, True)


@rule(COUNTED_NORMS)
def counted(step: Step) -> Results:
    """A channel with a known value may leave if the statistics go on counting it; so it is in the right place still."""
    value, layer, path = step.args[0], step.recorder.modules.get(step.module), step.module
    over_dims = len(step.numbers("normalized_shape"))
    if isinstance(value, Slots) and over_dims and value.dim < len(step.shape) - over_dims:
        return step.uniform_if(value, False)
    dim = len(step.shape) - 1 if over_dims else 1
    if path not in step.recorder.facts or over_dims > 1 or not isinstance(value, Slots) or value.dim != dim:
        return step.refused("has its channels in its statistics")
    groups = layer.num_groups if isinstance(layer, nn.GroupNorm) else 1
    step.recorder.layers.append(LayerSlots(path, value.numbers, value.numbers, value.uniform))
    even = value.uniform.reshape(groups, -1).all(axis=1)
    return step.results(value.numbers, dim, np.repeat(even, len(value.numbers) // groups))


@rule("prelu")
def prelu(step: Step) -> Results:
    """One slope for all channels, or one for each."""
    value, layer = step.args[0], step.recorder.modules.get(step.module)
    slopes = prod(step.operands()[1].shape)
    if slopes == 1 and isinstance(value, Slots):
        return step.uniform_if(value, True)
    if layer is None or not isinstance(value, Slots) or value.dim != 1:
        return step.refused(OWN_WEIGHT)
    step.recorder.layers.append(LayerSlots(step.module, value.numbers, value.numbers, value.uniform))
    return step.uniform_if(value, True)
