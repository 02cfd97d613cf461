"""The operators in plain torch: what runs where there is no kernel, and what the kernels are tested against."""

from prune_adapters.ops.reference.linear import csr_linear, csr_linear_backward, sddmm
from prune_adapters.ops.reference.masks import apply_masks_, pack_mask, unpack_mask

__all__ = ["apply_masks_", "csr_linear", "csr_linear_backward", "pack_mask", "sddmm", "unpack_mask"]
