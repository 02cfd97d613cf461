"""Layers that hold and multiply kept weights only, in the places of torch's."""

from prune_adapters.layers.base import SparseLayer
from prune_adapters.layers.conv import RegularConv1d, RegularConv2d, SparseConv1d, SparseConv2d
from prune_adapters.layers.linear import RegularLinear, SparseLinear

__all__ = [
    "RegularConv1d",
    "RegularConv2d",
    "RegularLinear",
    "SparseConv1d",
    "SparseConv2d",
    "SparseLayer",
    "SparseLinear",
]
