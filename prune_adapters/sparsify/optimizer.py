"""The optimizer of a model goes on with layers of another form: the same values, in the order of the new parameter."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import nn
from torch.optim import LBFGS, Optimizer

__all__ = ["Exchange", "exchange_parameters"]


@dataclass(frozen=True)
class Exchange:
    """A parameter that takes the place of another.

    Parameters
    ----------
    name : str
        For messages.
    old, new : Parameter
    convert : callable
        From a tensor of the shape of `old` to one of the shape of `new`.
    """

    name: str
    old: nn.Parameter
    new: nn.Parameter
    convert: Callable[[torch.Tensor], torch.Tensor]


def exchange_parameters(optimizer: Optimizer, exchanges: list[Exchange]) -> None:
    """Let the optimizer hold the new parameters in the places of the old ones, with their state converted.

    Parameters
    ----------
    optimizer : Optimizer
        Changed in place, at once or, on an error, not at all. What else it holds stays.
    exchanges : list of Exchange

    Raises
    ------
    ValueError
        A state is neither a number nor a tensor of the shape of its parameter, or is shared by all (LBFGS).
    """
    held = {id(p) for group in optimizer.param_groups for p in group["params"]}
    own = [exchange for exchange in exchanges if id(exchange.old) in held]
    if own and isinstance(optimizer, LBFGS) and optimizer.state:
        raise ValueError("sparsify: LBFGS has one history of all parameters together; build a new optimizer")
    states: dict[torch.Tensor, dict[str, object]] = {
        e.new: _state(e, optimizer.state[e.old]) for e in own if e.old in optimizer.state
    }
    become = {id(e.old): e.new for e in own}
    for exchange in own:
        optimizer.state.pop(exchange.old, None)
    optimizer.state.update(states)
    for group in optimizer.param_groups:
        group["params"][:] = [become.get(id(p), p) for p in group["params"]]


def _state(exchange: Exchange, state: Mapping[str, object]) -> dict[str, object]:
    return {key: _converted(key, value, exchange) for key, value in state.items()}


def _converted(key: str, value: object, exchange: Exchange) -> object:
    if not isinstance(value, torch.Tensor):
        return value
    if value.shape == exchange.old.shape:
        return exchange.convert(value)
    if value.numel() == 1:
        return value
    raise ValueError(
        f"sparsify: state {key!r} of {exchange.name!r}: expected a number or a tensor of shape "
        f"{tuple(exchange.old.shape)}, got {tuple(value.shape)}; build a new optimizer"
    )
