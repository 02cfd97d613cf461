"""Networks with masks, what is left of them after `compact`, and how far the outputs of the two differ."""

import copy
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves, tree_map

import prune_adapters as pa
from networks import edge_names
from oracle import call, random_masks

__all__ = [
    "compacted",
    "drawn",
    "error",
    "is_defined",
    "masked",
    "masks_for",
    "padded_pair",
    "perceptron",
    "randomized",
]


def randomized(model: nn.Module, seed: int) -> nn.Module:
    """Give every bias, gain and running statistic a random value, in place."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, p in model.named_parameters():
            if p.dim() <= 1:
                p.copy_(torch.randn(p.shape, generator=generator) * 0.5 + name.endswith("weight"))
        for name, buffer in model.named_buffers():
            if name.endswith("running_mean"):
                buffer.copy_(torch.randn(buffer.shape, generator=generator) * 0.3)
            elif name.endswith("running_var"):
                buffer.copy_(torch.rand(buffer.shape, generator=generator) + 0.5)
    return model


def masked(model: nn.Module, masks: Mapping[str, Tensor]) -> nn.Module:
    """Return a copy with its removed weights 0, made without `apply_masks`."""
    model = copy.deepcopy(model).eval()
    with torch.no_grad():
        for name, mask in masks.items():
            model.get_parameter(name).mul_(mask)
    return model


def drawn(example: object, seed: int, longer: int = 0) -> object:
    """Return random inputs like the example; real ones get `longer` more positions along the last dimension."""
    generator = torch.Generator().manual_seed(seed)

    def like(t: Tensor) -> Tensor:
        if not t.is_floating_point():
            return t
        return torch.randn((*t.shape[:-1], t.shape[-1] + longer), generator=generator, dtype=torch.float64).to(t.dtype)

    return tree_map(like, example)


def error(model: nn.Module, small: nn.Module, inputs: object) -> float:
    """Return the largest max|dy| / max|y| of all outputs."""
    with torch.no_grad():
        old, new = (tree_leaves(call(m, inputs)) for m in (model, small))
    return max(float((a - b).abs().max() / a.abs().max().clamp_min(1e-30)) for a, b in zip(old, new, strict=True))


def compacted(model: nn.Module, masks: Mapping[str, Tensor], inputs: object) -> nn.Module:
    return pa.compact(model, pa.to_graph(model, inputs, masks=masks), inputs)


def masks_for(model: nn.Module, how: str, sparsity: float, seed: int) -> Mapping[str, Tensor]:
    names = edge_names(model)
    if how == "random":
        return random_masks(model, names, 1 - sparsity, seed=seed)
    scores = {name: score for name, score in pa.magnitude_scores(model).items() if name in names}
    return pa.masks_from_scores(scores, sparsity=sparsity)


def is_defined(name: str, sparsity: float) -> bool:
    """Return whether the masked model has numbers: weight norm divides rows without a kept weight by 0."""
    return name != "weight_norm" or sparsity < 0.5


def perceptron() -> tuple[nn.Sequential, dict[str, Tensor]]:
    """Unit 0 is live, unit 1 a constant, unit 2 is read by no one, unit 3 is zero but for its bias of -1."""
    model = nn.Sequential(nn.Linear(2, 4), nn.ReLU(), nn.Linear(4, 2))
    values = [[[1.0, 2.0], [5.0, 5.0], [3.0, 3.0], [5.0, 5.0]], [0.0, 0.5, 9.0, -1.0]]
    values += [[[1.0, 4.0, 7.0, 2.0], [1.0, 0.0, 7.0, 2.0]], [10.0, 20.0]]
    for parameter, value in zip(model.parameters(), values, strict=True):
        parameter.data = torch.tensor(value)
    hidden = torch.tensor([[True, True], [False, False], [True, True], [False, False]])
    read = torch.tensor([[True, True, False, True], [True, False, False, True]])
    return model, {"0.weight": hidden, "2.weight": read}


def padded_pair() -> tuple[nn.Sequential, dict[str, Tensor]]:
    """Channel 1 of 2 is the constant 0.7 in front of a convolution that pads with zeros."""
    model = nn.Sequential(nn.Conv2d(1, 2, 1), nn.Conv2d(2, 1, 3, padding=1)).double()
    with torch.no_grad():
        model[0].bias.copy_(torch.tensor([0.2, 0.7], dtype=torch.float64))
        model[1].weight.fill_(1.0)
        model[1].bias.zero_()
    return model, {"0.weight": torch.tensor([True, False]).reshape(2, 1, 1, 1)}
