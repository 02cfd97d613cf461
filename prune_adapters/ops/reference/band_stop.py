"""The soft mask in plain torch.

With u = s w^2, e = exp(-u) and q = sigmoid(s (w^2 - a^2)) the mask is (1 - e) q, and its derivative by u is
e q^2 + q (1 - q): no infinity is divided by another one, however sharp the mask is.
"""

import torch

__all__ = ["band_stop", "band_stop_backward"]


def band_stop(
    weight: torch.Tensor, threshold: torch.Tensor, sharpness: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the masked weight and the mask; see `prune_adapters.ops.band_stop`."""
    wide = _wide(weight)
    falling, open_ = _parts(wide, threshold, sharpness)
    mask = -falling * open_
    return (wide * mask).to(weight.dtype), mask.to(weight.dtype)


def band_stop_backward(
    grad: torch.Tensor,
    grad_mask: torch.Tensor,
    weight: torch.Tensor,
    threshold: torch.Tensor,
    sharpness: torch.Tensor,
) -> torch.Tensor:
    """Return the gradient of the weight. A gradient of shape (0,) is one of zeros."""
    wide = _wide(weight)
    falling, open_ = _parts(wide, threshold, sharpness)
    slope = 2 * sharpness * wide * open_ * ((falling + 1) * open_ + (1 - open_))
    found = torch.zeros_like(wide)
    if grad.shape == weight.shape:
        found = found + _wide(grad) * (wide * slope - falling * open_)
    if grad_mask.shape == weight.shape:
        found = found + _wide(grad_mask) * slope
    return found.to(weight.dtype)


def _wide(tensor: torch.Tensor) -> torch.Tensor:
    """Return the tensor in the type in which it is computed with."""
    return tensor if tensor.dtype == torch.float64 else tensor.float()


def _parts(weight: torch.Tensor, threshold: torch.Tensor, sharpness: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return exp(-s w^2) - 1 and sigmoid(s (w^2 - a^2)); the difference of squares is a product, near which it is 0."""
    size = weight.abs()
    return torch.expm1(-sharpness * size * size), torch.sigmoid(sharpness * (size - threshold) * (size + threshold))
