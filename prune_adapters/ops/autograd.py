"""What torch asks of an operator that is a layer: gradients, autocast, vmap and the transforms of `torch.func`.

A layer ``name(x, values, bias, *rest)`` comes with one operator for all its gradients, ``name_backward(grad, x, values,
*rest, needs)``; ``needs`` are three flags, and gradients that are not needed have shape (0,). The rest begins with the
five tables of a plan; numbers follow.
"""

from collections.abc import Callable, Sequence
from typing import TypeAlias

import torch

from prune_adapters.ops.batched import each_element
from prune_adapters.ops.define import operators

__all__ = ["TABLES", "autocasts", "fake_gradients", "refuse_gradients", "register_layer"]

TABLES = "Tensor ptr, Tensor idx, Tensor t_ptr, Tensor t_idx, Tensor t_perm"
"""How the schema of a layer names the tables of a plan."""
N_TABLES = 5
Tensors: TypeAlias = torch.Tensor | tuple[torch.Tensor, ...]
Call: TypeAlias = Callable[..., Tensors]
Rule: TypeAlias = Callable[..., tuple[Tensors, object]]


def register_layer(
    name: str, *, for_backward: Callable[[tuple], tuple] = lambda rest: rest, cpu_dtype: torch.dtype = torch.float32
) -> Call:
    """Register all that torch asks of a layer and return the function to call in place of the operator.

    Both operators are defined already. The function is the operator in graphs that torch compiles. Outside, a
    `torch.autograd.Function` stands in: the transforms of `torch.func` (grad, vmap, jacrev, ...) do not look at what
    `torch.library.register_autograd` is given, and what that makes takes 50 us a call where this takes 12 (torch 2.13).

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
        rest = for_backward(inputs[3:])
        ctx.save_for_backward(inputs[0], inputs[1], *rest[:N_TABLES])
        ctx.numbers = rest[N_TABLES:]  # type: ignore[attr-defined]
        ctx.n_rest = len(inputs) - 3  # type: ignore[attr-defined]

    def backward(ctx: torch.autograd.function.FunctionCtx, grad: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        needs = list(ctx.needs_input_grad[:3])  # type: ignore[attr-defined]
        found = gradients(grad.contiguous(), *ctx.saved_tensors, *ctx.numbers, needs)  # type: ignore[attr-defined]
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
    return _differentiable(name, operator, setup, backward, each_element(operator))


def _operator(name: str) -> torch._ops.OpOverload:
    return getattr(torch.ops.prune_adapters, name).default


def _differentiable(
    name: str, operator: Call, setup: Callable[..., None], backward: Callable[..., tuple], batched: Rule
) -> Call:
    torch.library.register_autograd(f"prune_adapters::{name}", backward, setup_context=setup, lib=operators)
    torch.library.register_vmap(f"prune_adapters::{name}", batched, lib=operators)
    members = {"setup_context": staticmethod(setup), "backward": staticmethod(backward), "vmap": staticmethod(batched)}
    transformed: type[torch.autograd.Function] = type(
        name, (torch.autograd.Function,), {"forward": staticmethod(operator)} | members
    )

    class Direct(torch.autograd.Function):
        @staticmethod
        def forward(ctx: torch.autograd.function.FunctionCtx, *arguments: object) -> Tensors:
            with torch._C._AutoDispatchBelowAutograd():
                result = operator(*arguments)
            setup(ctx, arguments, result)
            return result

    Direct.backward = staticmethod(backward)  # type: ignore[method-assign]

    def call(*arguments: object) -> Tensors:
        if torch.compiler.is_compiling():
            return operator(*arguments)
        if torch._C._are_functorch_transforms_active():
            return transformed.apply(*arguments)
        tensors = [one for one in arguments[:3] if isinstance(one, torch.Tensor)]
        if autocasts(tensors[0].device):
            return operator(*arguments)
        if torch.is_grad_enabled() and any(one.requires_grad for one in tensors):
            return Direct.apply(*arguments)
        with torch._C._AutoDispatchBelowAutograd():
            return operator(*arguments)

    return call


def fake_gradients(grad: torch.Tensor, x: torch.Tensor, values: torch.Tensor, *rest: object) -> tuple:
    """Return empty gradients of x, values and bias where they are needed: the fake of ``name_backward``.

    Parameters
    ----------
    grad : Tensor, shape (batch, outputs, ...)
    x, values : Tensor
    *rest : object
        The last one are the three flags `needs`.
    """
    needs = rest[-1]
    assert isinstance(needs, Sequence)
    sizes = x.shape, values.shape, grad.shape[1:2]
    return tuple(x.new_empty(size if need else 0) for size, need in zip(sizes, needs, strict=True))


def autocasts(device: torch.device) -> bool:
    """Tell whether autocast is at work on a device: then the operators make the dtypes of their arguments the same.

    Parameters
    ----------
    device : torch.device

    Returns
    -------
    bool
    """
    return device.type in ("cpu", "cuda") and torch.is_autocast_enabled(device.type)


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
    each = each_element(layer)

    def batched(info: object, in_dims: Sequence, x: torch.Tensor, *others: object) -> tuple[Tensors, object]:
        if in_dims[0] is None or any(dim is not None for dim in _flat(in_dims[1:])):
            return each(info, in_dims, x, *others)
        slices = x.movedim(in_dims[0], 0)
        result = layer(slices.flatten(0, 1).contiguous(), *others)
        assert isinstance(result, torch.Tensor)
        return result.unflatten(0, slices.shape[:2]), 0

    return batched


def _flat(dims: object) -> list:
    return [one for dim in dims for one in _flat(dim)] if isinstance(dims, list | tuple) else [dims]
