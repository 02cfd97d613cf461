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
    falling, exponent = _exponents(wide, threshold, sharpness)
    mask = -torch.expm1(falling) * torch.sigmoid(exponent)
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
    falling, exponent = _exponents(wide, threshold, sharpness)
    passed, stopped = torch.sigmoid(exponent), torch.sigmoid(-exponent)
    slope = 2 * sharpness * wide * passed * (torch.exp(falling) * passed + stopped)
    found = torch.zeros_like(wide)
    if grad.shape == weight.shape:
        found = found + _wide(grad) * (wide * slope - torch.expm1(falling) * passed)
    if grad_mask.shape == weight.shape:
        found = found + _wide(grad_mask) * slope
    return found.to(weight.dtype)


def _wide(tensor: torch.Tensor) -> torch.Tensor:
    """Return the tensor in the type in which it is computed with."""
    return tensor if tensor.dtype == torch.float64 else tensor.float()


def _exponents(
    weight: torch.Tensor, threshold: torch.Tensor, sharpness: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return -s w^2 and s (w^2 - a^2), which is a product of factors so that no digit is lost near 0."""
    size = weight.abs()
    return -sharpness * size * size, sharpness * (size - threshold) * (size + threshold)
