"""What torch asks of an operator that is a layer: gradients, autocast, vmap and the transforms of `torch.func`.

A layer ``name(x, values, bias, *rest)`` comes with one operator for all its gradients, ``name_backward(grad, x, values,
*rest, needs)``; ``needs`` are three flags, and gradients that are not needed have shape (0,).
"""

from collections.abc import Callable, Sequence
from typing import TypeAlias

import torch

from prune_adapters.ops.define import operators

__all__ = ["refuse_gradients", "register_layer"]

Tensors: TypeAlias = torch.Tensor | tuple[torch.Tensor, ...]
Call: TypeAlias = Callable[..., Tensors]
Rule: TypeAlias = Callable[..., tuple[Tensors, object]]


def register_layer(
    name: str, *, for_backward: Callable[[tuple], tuple] = lambda rest: rest, cpu_dtype: torch.dtype = torch.float32
) -> Call:
    """Register all that torch asks of a layer and return the function to call in place of the operator.

    Both operators are defined already. The function is the operator itself, except within the transforms of
    `torch.func` (grad, vmap, jacrev, ...): those do not look at what `torch.library.register_autograd` is given
    (torch 2.13), so a `torch.autograd.Function` stands in.

    Parameters
    ----------
    name : str
        Such as ``"csr_linear"``.
    for_backward : callable
        Makes of the `rest` of the layer's arguments the `rest` of the backward operator's. Default: the same.
    cpu_dtype : torch.dtype
        What autocast on a CPU makes of floats narrower than float64. On CUDA it is the dtype of autocast.

    Returns
    -------
    callable
        From the arguments of the operator to its result. Tensors have to be contiguous.
    """
    layer, gradients = _operator(name), refuse_gradients(f"{name}_backward", "differentiate it once")

    def setup(ctx: torch.autograd.function.FunctionCtx, inputs: tuple, output: torch.Tensor) -> None:
        x, values = inputs[:2]
        rest = for_backward(inputs[3:])
        ctx.save_for_backward(x, values, *[value for value in rest if isinstance(value, torch.Tensor)])
        ctx.numbers = [None if isinstance(value, torch.Tensor) else value for value in rest]  # type: ignore[attr-defined]
        ctx.n_rest = len(inputs) - 3  # type: ignore[attr-defined]

    def backward(ctx: torch.autograd.function.FunctionCtx, grad: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        x, values, *tables = ctx.saved_tensors  # type: ignore[attr-defined]
        rest = [tables.pop(0) if number is None else number for number in ctx.numbers]  # type: ignore[attr-defined]
        needs = list(ctx.needs_input_grad[:3])  # type: ignore[attr-defined]
        found = gradients(grad.contiguous(), x, values, *rest, needs)
        kept = [one if need else None for one, need in zip(found, needs, strict=True)]
        return (*kept, *[None] * ctx.n_rest)  # type: ignore[attr-defined]

    _register_autocast(name, layer, cpu_dtype)
    return _differentiable(name, layer, setup, backward, _fold_rows(layer))


def refuse_gradients(name: str, remedy: str) -> Call:
    """Register an operator that has no gradients of its own and return the function to call in its place.

    Parameters
    ----------
    name : str
    remedy : str
        What to do instead, for the error.

    Returns
    -------
    callable
        From the arguments of the operator to its result. To go backward through it raises a RuntimeError.
    """

    def setup(ctx: torch.autograd.function.FunctionCtx, inputs: tuple, output: Tensors) -> None:
        pass

    def backward(ctx: torch.autograd.function.FunctionCtx, *grads: torch.Tensor) -> tuple:
        raise RuntimeError(f"prune_adapters::{name}: has no gradient; {remedy}")

    operator = _operator(name)
    return _differentiable(name, operator, setup, backward, _each_slice(operator))


def _operator(name: str) -> torch._ops.OpOverload:
    return getattr(torch.ops.prune_adapters, name).default


def _differentiable(
    name: str, operator: Call, setup: Callable[..., None], backward: Callable[..., tuple], batched: Rule
) -> Call:
    torch.library.register_autograd(f"prune_adapters::{name}", backward, setup_context=setup, lib=operators)
    torch.library.register_vmap(f"prune_adapters::{name}", batched, lib=operators)
    members = {
        "forward": staticmethod(operator),
        "setup_context": staticmethod(setup),
        "backward": staticmethod(backward),
        "vmap": staticmethod(batched),
    }
    function: type[torch.autograd.Function] = type(name, (torch.autograd.Function,), members)

    def call(*arguments: object) -> Tensors:
        within_transform = not torch.compiler.is_compiling() and torch._C._are_functorch_transforms_active()
        return function.apply(*arguments) if within_transform else operator(*arguments)

    return call


def _register_autocast(name: str, operator: Call, cpu_dtype: torch.dtype) -> None:
    def register(device_type: str, key: str, dtype: Callable[[], torch.dtype]) -> None:
        keys = torch._C.DispatchKeySet(getattr(torch._C.DispatchKey, key))

        def cast(*arguments: object) -> Tensors:
            with torch._C._ExcludeDispatchKeyGuard(keys):
                return operator(*[_cast(argument, device_type, dtype()) for argument in arguments])

        operators.impl(name, cast, key)

    register("cpu", "AutocastCPU", lambda: cpu_dtype)
    register("cuda", "AutocastCUDA", lambda: torch.get_autocast_dtype("cuda"))


def _cast(value: object, device_type: str, dtype: torch.dtype) -> object:
    if not isinstance(value, torch.Tensor) or not value.is_floating_point() or value.dtype == torch.float64:
        return value
    return value.to(dtype) if value.device.type == device_type else value


def _fold_rows(layer: Call) -> Rule:
    """Return the rule of vmap for a layer: where only x is mapped, its slices are more rows of one batch."""
    each = _each_slice(layer)

    def batched(info: object, in_dims: Sequence, x: torch.Tensor, *others: object) -> tuple[Tensors, object]:
        if in_dims[0] is None or any(dim is not None for dim in _flat(in_dims[1:])):
            return each(info, in_dims, x, *others)
        slices = x.movedim(in_dims[0], 0)
        result = layer(slices.flatten(0, 1).contiguous(), *others)
        assert isinstance(result, torch.Tensor)
        return result.unflatten(0, slices.shape[:2]), 0

    return batched


def _each_slice(operator: Call) -> Rule:
    """Return the rule of vmap that runs an operator on one slice after the other."""

    def batched(info: object, in_dims: Sequence, *arguments: object) -> tuple[Tensors, object]:
        results = []
        for k in range(info.batch_size):  # type: ignore[attr-defined]
            picked = [_slice(value, dim, k) for value, dim in zip(arguments, in_dims, strict=True)]
            result = operator(*picked)
            results.append((result,) if isinstance(result, torch.Tensor) else result)
        stacked = tuple(torch.stack(parts) for parts in zip(*results, strict=True))
        return (stacked[0], 0) if len(stacked) == 1 else (stacked, (0,) * len(stacked))

    return batched


def _slice(value: object, dim: object, k: int) -> object:
    return value.select(dim, k).contiguous() if isinstance(value, torch.Tensor) and isinstance(dim, int) else value


def _flat(dims: object) -> list:
    return [one for dim in dims for one in _flat(dim)] if isinstance(dims, list | tuple) else [dims]
