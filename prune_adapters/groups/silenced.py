"""What becomes zero so that the channels of a group give 0 and are not listened to."""

from collections.abc import Iterator

from torch import nn

from prune_adapters.groups.channels import ChannelGroup
from prune_adapters.groups.layers import TRANSPOSED

__all__ = ["Place", "silenced"]

Place = tuple[slice | list[int], ...]


def silenced(group: ChannelGroup, model: nn.Module) -> Iterator[tuple[str, Place]]:
    """Yield the parameters that become zero, and where: whole entries along the last dimension that is named.

    Parameters
    ----------
    group : ChannelGroup
        Of `coupled_channels` for this model.
    model : Module
        Bare.

    Yields
    ------
    name : str
    place : tuple of slice and list of int
        An index of the parameter: slices of everything, then the entries.

    Examples
    --------
    >>> import torch
    >>> from prune_adapters.groups.channels import coupled_channels
    >>> model = nn.Sequential(nn.Linear(3, 2), nn.ReLU(), nn.Linear(2, 1))
    >>> for silent in silenced(coupled_channels(model, torch.ones(1, 3))[0], model):
    ...     print(silent)
    ('0.bias', ([0],))
    ('0.weight', ([0],))
    ('2.weight', (slice(None, None, None), [0]))
    """
    for path, channels in group.outputs.items():
        module, index = model.get_submodule(path), list(channels)
        prefix = "in_proj_" if isinstance(module, nn.MultiheadAttention) else ""
        if getattr(module, f"{prefix}bias", None) is not None:
            yield _name(path, f"{prefix}bias"), (index,)
        if getattr(module, f"{prefix}weight", None) is None or isinstance(module, nn.PReLU):
            continue
        if not isinstance(module, (*TRANSPOSED, nn.Embedding)):
            yield _name(path, f"{prefix}weight"), (index,)
        elif getattr(module, "groups", 1) == 1:
            yield _name(path, "weight"), (slice(None), index)
    for path, channels in group.inputs.items():
        module, index = model.get_submodule(path), list(channels)
        if isinstance(module, TRANSPOSED):
            yield _name(path, "weight"), (index,)
        elif getattr(module, "groups", 1) == 1:
            yield _name(path, "weight"), (slice(None), index)
    for name, (dim, entries) in group.parameters.items():
        yield name, (*[slice(None)] * dim, list(entries))


def _name(path: str, parameter: str) -> str:
    return f"{path}.{parameter}".lstrip(".")
