"""What of a tensor lies on this rank: models that FSDP2 or tensor parallelism has spread over processes.

Their parameters are DTensors: the shape is that of the whole, the memory that of one part. A mask is always given and
handed out whole, the same on every rank; beside the parameters lies the part of it that this rank needs.

Plain tensors pass through unchanged. Nothing here imports ``torch.distributed.tensor``, which takes a second: as long
as nobody else has, there are no DTensors.
"""

import sys
from typing import TYPE_CHECKING, TypeGuard

import torch
from torch import nn

if TYPE_CHECKING:
    from torch.distributed.tensor import DTensor

__all__ = ["is_spread", "joined", "layout", "local", "own_part", "resharded", "whole"]

Layout = tuple[object, ...]
"""How a tensor is spread, and which part lies here: two equal layouts of one shape are the same elements."""

PLAIN = (torch.Tensor, nn.Parameter)
"""The types of most tensors, for a quick answer: `keep_masks` asks hundreds of times in each step."""


def is_spread(tensor: torch.Tensor) -> "TypeGuard[DTensor]":
    """Tell whether each rank holds a part of `tensor`, or a copy that is kept equal to the others."""
    if type(tensor) in PLAIN:
        return False
    known = sys.modules.get("torch.distributed.tensor")
    return known is not None and isinstance(tensor, known.DTensor)


def whole(tensor: torch.Tensor) -> torch.Tensor:
    """Return the plain tensor with the elements of all ranks, detached: a collective if the tensor is spread."""
    return tensor.full_tensor().detach() if is_spread(tensor) else tensor


def local(tensor: torch.Tensor) -> torch.Tensor:
    """Return what lies on this rank, sharing memory with `tensor`; what is done to it is not recorded."""
    return tensor.to_local().detach() if is_spread(tensor) else tensor


def layout(tensor: torch.Tensor) -> Layout:
    """Return how `tensor` is spread, as something to compare and to pickle; empty for a plain one."""
    if not is_spread(tensor):
        return ()
    mesh = tensor.device_mesh
    return tensor.placements, tuple(mesh.shape), tuple(mesh.get_coordinate() or ())


def own_part(full: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """Return the part of the plain tensor `full` that lies on this rank where `like` is spread; no communication."""
    if not is_spread(like):
        return full
    from torch.distributed.tensor import distribute_tensor

    return local(distribute_tensor(full.detach(), like.device_mesh, like.placements, src_data_rank=None))


def joined(part: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """Return the whole of which each rank has its `own_part` like `like`: a collective if that is spread."""
    if not is_spread(like):
        return part
    from torch.distributed.tensor import DTensor

    number = part.view(torch.uint8) if part.dtype == torch.bool else part  # not every backend sends bool
    stride = torch.empty(like.shape, device="meta").stride()
    spread = DTensor.from_local(
        number, like.device_mesh, like.placements, run_check=False, shape=like.shape, stride=stride
    )
    return whole(spread).view(part.dtype)


def resharded(model: nn.Module) -> list[nn.Module]:
    """Return the modules of `model`, with their own parameters in place where FSDP2 has put gathered ones.

    After a forward pass the outermost module has those until the next backward pass; what is done to them is lost.
    """
    modules = list(model.modules())
    fsdp = sys.modules.get("torch.distributed.fsdp")
    if fsdp is not None:
        for module in modules:
            if isinstance(module, fsdp.FSDPModule):
                module.reshard()
    return modules
