"""Layers made smaller in place: parameters sliced, constants folded into the bias."""

import numpy as np
import torch
from torch import nn

from prune_adapters.compact.border import with_constants
from prune_adapters.compact.counted import with_count
from prune_adapters.compact.heads import remove_heads
from prune_adapters.groups import CHANNELWISE, CONVOLUTIONS, COUNTED, TRANSPOSED, is_zero_padded

__all__ = ["can_fold", "shrink", "shrink_parameter"]

STATISTICS = ("weight", "bias", "running_mean", "running_var")


def shrink(layer: nn.Module, inputs: np.ndarray, outputs: np.ndarray, constants: np.ndarray | None = None) -> None:
    """Make a layer smaller in place.

    Parameters
    ----------
    layer : Module
        Linear, Embedding, a convolution, a norm, or attention, whose channels are its heads.
    inputs, outputs : ndarray of bool, shape (n_inputs,), (n_outputs,)
        The channels that stay.
    constants : ndarray of float64, shape (n_inputs,), optional
        Values of the input channels that go; 0 or NaN where there is nothing to fold.
    """
    keep_in, keep_out = torch.from_numpy(inputs), torch.from_numpy(outputs)
    if isinstance(layer, nn.MultiheadAttention):
        remove_heads(layer, keep_out)
        return
    if isinstance(layer, CHANNELWISE):
        _shrink_channels(layer, keep_out)
        return
    if isinstance(layer, COUNTED):
        _shrink_counted(layer, keep_out, constants)
        return
    if constants is not None and can_fold(layer):
        _fold(layer, torch.from_numpy(np.where(inputs, 0.0, np.nan_to_num(constants))))
    _set(layer, "bias", keep_out)
    _set(layer, "ones_weight", keep_out)
    _set(layer, "weight", *_weight_slices(layer, keep_in, keep_out))
    _resize(layer, keep_in, keep_out)


def shrink_parameter(model: nn.Module, name: str, dim: int, keep: np.ndarray) -> None:
    """Take entries out of a parameter in place.

    Parameters
    ----------
    model : Module
    name : str
    dim : int
    keep : ndarray of bool
        The entries along `dim` that stay.
    """
    path, _, last = name.rpartition(".")
    owner, everything = model.get_submodule(path), torch.ones(1, dtype=torch.bool)
    parameter = owner.get_parameter(last)
    if not keep.all():
        kept = [everything.expand(size) for size in parameter.shape[:dim]]
        _set(owner, last, *kept, torch.from_numpy(keep))


def can_fold(layer: nn.Module) -> bool:
    """Return whether a layer can take over the effect of a constant input.

    Linear layers and ungrouped convolutions can, and norms with statistics over channels.

    Examples
    --------
    >>> can_fold(nn.Conv2d(4, 4, 3)), can_fold(nn.ConvTranspose2d(4, 4, 3))
    (True, False)
    """
    return isinstance(layer, (nn.Linear, *COUNTED)) or (isinstance(layer, CONVOLUTIONS) and layer.groups == 1)


def _weight_slices(layer: nn.Module, keep_in: torch.Tensor, keep_out: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Return what stays along the first dimensions of the weight; groups go and stay as a whole."""
    if isinstance(layer, (*CONVOLUTIONS, *TRANSPOSED)) and layer.groups > 1:
        return (keep_in if isinstance(layer, TRANSPOSED) else keep_out,)
    return (keep_in, keep_out) if isinstance(layer, (*TRANSPOSED, nn.Embedding)) else (keep_out, keep_in)


def _resize(layer: nn.Module, keep_in: torch.Tensor, keep_out: torch.Tensor) -> None:
    """Set the sizes that a layer prints and computes with."""
    n_in, n_out = int(keep_in.sum()), int(keep_out.sum())
    if isinstance(layer, nn.Linear):
        layer.in_features, layer.out_features = n_in, n_out
    elif isinstance(layer, nn.Embedding):
        layer.num_embeddings, layer.embedding_dim = n_in, n_out
    elif isinstance(layer, (*CONVOLUTIONS, *TRANSPOSED)):
        layer.groups = max(layer.groups * n_in // layer.in_channels, 1)
        layer.in_channels, layer.out_channels = n_in, n_out


def _shrink_channels(layer: nn.Module, keep: torch.Tensor) -> None:
    for name in STATISTICS:
        _set(layer, name, keep)
    size = "num_parameters" if isinstance(layer, nn.PReLU) else "num_features"
    setattr(layer, size, int(keep.sum()))


def _shrink_counted(layer: nn.Module, keep: torch.Tensor, constants: np.ndarray | None) -> None:
    for name in ("weight", "bias"):
        _set(layer, name, keep)
    with_count(layer, keep, None if constants is None else torch.from_numpy(np.nan_to_num(constants)))


def _set(layer: nn.Module, name: str, *keep: torch.Tensor) -> None:
    """Put the slices of a parameter or buffer that stay in its place."""
    tensor = getattr(layer, name, None)
    if not isinstance(tensor, torch.Tensor):
        return
    smaller = tensor.detach()
    for dim, kept in enumerate(keep):
        smaller = smaller.index_select(dim, kept.nonzero().flatten().to(tensor.device))
    is_parameter = isinstance(tensor, nn.Parameter)
    setattr(layer, name, nn.Parameter(smaller.clone(), tensor.requires_grad) if is_parameter else smaller.clone())


def _fold(layer: nn.Module, values: torch.Tensor) -> None:
    """Add what constant inputs contribute to the bias or, where zeros are padded, as a channel of ones."""
    weight, bias = layer.get_parameter("weight"), layer._parameters["bias"]
    kernels = torch.einsum("oi...,i->o...", weight.detach().double(), values.to(weight.device))
    if not kernels.any():
        return
    if is_zero_padded(layer):
        with_constants(layer, kernels[:, None].to(weight.dtype))
        return
    added = kernels.flatten(1).sum(dim=1) if kernels.dim() > 1 else kernels
    total = added if bias is None else bias.detach().double() + added
    trained = (weight if bias is None else bias).requires_grad
    layer.register_parameter("bias", nn.Parameter(total.to(weight.dtype), trained))
