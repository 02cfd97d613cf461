"""A soft mask that stops weights near 0 and lets large ones pass, with its gradient: two passes over the weight.

    psi(w) = (1 - exp(-s w^2)) / (1 + exp(s (a^2 - w^2)))

with the threshold a and the sharpness s. For a = 0 this is tanh(s w^2 / 2), the mask of TCMP [1]_ for s = 1. It is 0 at
w = 0, and in [0, 1]; as s grows it tends to the crisp mask abs(w) > a. The operators are
``torch.ops.prune_adapters.band_stop`` and ``band_stop_backward``.

References
----------
.. [1] Sahbi, Miniaturized Graph Convolutional Networks with Topologically Consistent Pruning, arXiv:2306.17590,
   section 3. Differs from the band-stop masks of its sibling papers (arXiv:2312.17615), which are not 0 at w = 0.
"""

from typing import Any

import torch

from prune_adapters.ops import reference
from prune_adapters.ops.batched import loop_over_batch
from prune_adapters.ops.define import define, operators

__all__ = ["band_stop"]

DTYPES = (torch.float32, torch.float64, torch.bfloat16)
"""What the operator takes; the public function converts the others."""

Context = Any
"""The context of an autograd function; torch has no type for what it saves."""
Tensors = Any
"""What an operator returns: one tensor, or two."""


def band_stop(
    weight: torch.Tensor, threshold: float | torch.Tensor = 0.0, sharpness: float | torch.Tensor = 1.0
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return ``weight * psi(weight)`` and ``psi(weight)``, both with a gradient.

    Parameters
    ----------
    weight : Tensor
        Of any shape and float dtype; all but float64 are computed in float32.
    threshold : float or Tensor of shape ()
        The magnitude at which the mask is about one half, at least 0. What `kth_largest` returns will do, on the
        device of the weight, so that nothing waits for it.
    sharpness : float or Tensor of shape ()
        At least 0, in units of 1 / w^2. From about ``20 / threshold ** 2`` on the mask is nearly crisp.

    Returns
    -------
    masked, mask : Tensor
        Shape, dtype and device of the weight, contiguous.

    Raises
    ------
    ValueError
        The weight is of no float dtype, or a threshold or sharpness is no number: it has another shape or device, or
        requires a gradient.

    Examples
    --------
    >>> weight = torch.tensor([0.0, 1.0, -3.0], requires_grad=True)
    >>> band_stop(weight)[1].detach(), torch.tanh(weight.detach() ** 2 / 2)
    (tensor([0.0000, 0.4621, 0.9998]), tensor([0.0000, 0.4621, 0.9998]))
    >>> masked, mask = band_stop(weight, 1.0, sharpness=20.0)
    >>> masked.detach(), mask.detach()
    (tensor([ 0.0000,  0.5000, -3.0000]), tensor([0.0000, 0.5000, 1.0000]))
    >>> masked.sum().backward()
    >>> weight.grad
    tensor([ 0.0000, 10.5000,  1.0000])
    """
    if not weight.is_floating_point():
        raise ValueError(f"band_stop: expected a float weight, got {weight.dtype}")
    if weight.dtype not in DTYPES:
        masked, mask = band_stop(weight.float(), threshold, sharpness)
        return masked.to(weight.dtype), mask.to(weight.dtype)
    dtype = torch.float64 if weight.dtype == torch.float64 else torch.float32
    numbers = [
        _number(name, value, dtype, weight.device)
        for name, value in (("threshold", threshold), ("sharpness", sharpness))
    ]
    return _call("band_stop", _Transformed, weight.contiguous(), *numbers)


def _number(name: str, value: float | torch.Tensor, dtype: torch.dtype, device: torch.device) -> torch.Tensor:
    if not isinstance(value, torch.Tensor):
        return torch.full((), value, dtype=dtype, device=device)
    if value.shape != () or value.device != device:
        raise ValueError(
            f"band_stop: {name}: expected a number or a tensor of shape () on {device}, "
            f"got shape {tuple(value.shape)} on {value.device}"
        )
    if value.requires_grad:
        raise ValueError(f"band_stop: {name}: requires a gradient, and has none; pass {name}.detach()")
    return value.to(dtype)


def _keep(ctx: Context, inputs: tuple[torch.Tensor, ...], output: object) -> None:
    ctx.save_for_backward(*inputs)
    ctx.set_materialize_grads(False)


def _backward(
    ctx: Context, grad: torch.Tensor | None, grad_mask: torch.Tensor | None
) -> tuple[torch.Tensor | None, None, None]:
    if grad is None and grad_mask is None:
        return None, None, None
    weight, threshold, sharpness = ctx.saved_tensors
    grads = [weight.new_empty(0) if g is None else g.contiguous() for g in (grad, grad_mask)]
    return _call("band_stop_backward", _TransformedBackward, *grads, weight, threshold, sharpness), None, None


def _call(name: str, transformed: type[torch.autograd.Function], *arguments: torch.Tensor) -> Tensors:
    """Call an operator: as it is, or as a function that the transforms of `torch.func` understand.

    They know nothing of `torch.library.register_autograd` (torch 2.14).
    """
    if not torch.compiler.is_compiling() and torch._C._functorch.peek_interpreter_stack() is not None:
        return transformed.apply(*arguments)
    return getattr(torch.ops.prune_adapters, name)(*arguments)


class _Transformed(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(*arguments: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return torch.ops.prune_adapters.band_stop(*arguments)

    setup_context = staticmethod(_keep)
    backward = staticmethod(_backward)


def _keep_nothing(ctx: Context, inputs: tuple[torch.Tensor, ...], output: object) -> None:
    pass


def _once(ctx: Context, grad: torch.Tensor) -> None:
    raise RuntimeError("band_stop: has no second derivative; call backward without create_graph=True")


class _TransformedBackward(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(*arguments: torch.Tensor) -> torch.Tensor:
        return torch.ops.prune_adapters.band_stop_backward(*arguments)

    setup_context = staticmethod(_keep_nothing)
    backward = staticmethod(_once)


define(
    "band_stop(Tensor weight, Tensor threshold, Tensor sharpness) -> (Tensor, Tensor)",
    reference.band_stop,
    fake=lambda weight, threshold, sharpness: (torch.empty_like(weight), torch.empty_like(weight)),
)
define(
    "band_stop_backward(Tensor grad, Tensor grad_mask, Tensor weight, Tensor threshold, Tensor sharpness) -> Tensor",
    reference.band_stop_backward,
    fake=lambda grad, grad_mask, weight, threshold, sharpness: torch.empty_like(weight),
)
torch.library.register_autograd("prune_adapters::band_stop", _backward, setup_context=_keep, lib=operators)
torch.library.register_autograd("prune_adapters::band_stop_backward", _once, lib=operators)
for _name in ("band_stop", "band_stop_backward"):
    loop_over_batch(_name)
