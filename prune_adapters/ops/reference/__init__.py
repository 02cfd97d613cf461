"""The operators in plain torch: what runs where there is no kernel, and what the kernels are tested against."""

from prune_adapters.ops.reference.conv import (
    block_conv2d,
    block_conv2d_backward,
    pair_conv2d,
    pair_conv2d_backward,
    sparse_conv2d,
    sparse_conv2d_backward,
)
from prune_adapters.ops.reference.linear import (
    block_linear,
    block_linear_backward,
    csr_linear,
    csr_linear_backward,
    sddmm,
)
from prune_adapters.ops.reference.masks import apply_masks_, pack_mask, unpack_mask

__all__ = [
    "apply_masks_",
    "block_conv2d",
    "block_conv2d_backward",
    "block_linear",
    "block_linear_backward",
    "csr_linear",
    "csr_linear_backward",
    "pack_mask",
    "pair_conv2d",
    "pair_conv2d_backward",
    "sddmm",
    "sparse_conv2d",
    "sparse_conv2d_backward",
    "unpack_mask",
]
