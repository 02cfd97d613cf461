"""The residual blocks of any traced network, and what their branches give."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn
from torch.utils._pytree import tree_leaves, tree_map

from prune_adapters.masks import bare_module, parameter_owners
from prune_adapters.trace.example import ExampleInputs, split_inputs
from prune_adapters.trace.registry import operator_name
from prune_adapters.trace.tape import Call, Ref, Tape, refs_in
from prune_adapters.trace.tracer import capture

__all__ = ["Branches", "residual_branches"]

SUMS = ("aten.add", "aten.add_")


@dataclass(frozen=True, eq=False)
class Branches:
    """The branches of the residual sums of a network, in the order in which they run.

    Parameters
    ----------
    names : tuple of str
        Module path of each sum.
    stages : tuple of int
        Blocks of one stage are joined by short-cuts that nothing but activations changes.
    shapes : tuple of tuple of int
        Of each branch, the batch included.
    tape : Tape
        The calls of the network, on batches of one size.
    refs : tuple of Ref
        The branch of each sum: its term with more layers behind it.
    """

    names: tuple[str, ...]
    stages: tuple[int, ...]
    shapes: tuple[tuple[int, ...], ...]
    tape: Tape
    refs: tuple[Ref, ...]

    def values(self, model: nn.Module, batch: ExampleInputs) -> list[torch.Tensor]:
        """Return what each branch of a model of this kind gives before the sum, in eval mode.

        Raises
        ------
        ValueError
            The batch is not of the sizes that were traced.
        """
        args, kwargs = split_inputs(batch)
        tensors = [t for t in tree_leaves((args, kwargs)) if isinstance(t, torch.Tensor)]
        shapes = [tuple(t.shape) for t in tensors]
        if shapes != [ref.shape for ref in self.tape.inputs.values()]:
            expected = [ref.shape for ref in self.tape.inputs.values()]
            raise ValueError(f"data: expected batches of the sizes of the first, {expected}, got {shapes}")
        known = dict(zip((ref.number for ref in self.tape.inputs.values()), tensors, strict=True))
        return _computed(self.tape, self.refs, known | _held(self.tape, bare_module(model)))


def residual_branches(model: nn.Module, batch: ExampleInputs) -> Branches:
    """Return the branches of the residual sums of a model.

    A residual sum adds two tensors of one shape that have come through different numbers of layers.

    Parameters
    ----------
    model : Module
        Any that `to_graph` can follow; not changed.
    batch : Tensor, tuple or dict
        Inputs of the size that the branches will be computed for.

    Returns
    -------
    Branches

    Raises
    ------
    TraceError
        The model cannot be followed.

    Examples
    --------
    >>> class Block(nn.Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.body = nn.Linear(3, 3)
    ...     def forward(self, x):
    ...         return torch.relu(x + self.body(x))
    >>> found = residual_branches(nn.Sequential(Block(), Block(), nn.Linear(3, 3), Block()), torch.ones(2, 3))
    >>> found.names, found.stages
    (('0', '1', '3'), (0, 0, 1))
    """
    tape = capture(bare_module(model), batch)
    depth = {ref.number: 0 for ref in tape.inputs.values()}
    stage: dict[int, tuple[int, tuple[int, ...]]] = {}
    found: list[tuple[str, int, Ref]] = []
    for call in tape.calls:
        live = [ref for ref in refs_in((call.args, call.kwargs)) if ref.number in depth]
        if not live:
            continue
        weighted = any(ref.number in tape.parameters for ref in refs_in((call.args, call.kwargs)))
        deepest = max(depth[ref.number] for ref in live) + weighted
        depth.update({ref.number: deepest for ref in call.outputs})
        if _is_residual(call, live, depth):
            branch, other = sorted(live, key=lambda ref: -depth[ref.number])
            number = stage[other.number][0] if other.number in stage else 1 + max((s for _, s, _ in found), default=-1)
            found.append((call.module, number, branch))
            stage[call.outputs[0].number] = number, call.outputs[0].shape
        elif len(live) == 1 and not weighted and live[0].number in stage:
            # Only what keeps the shape keeps the stage: a pooled or padded short-cut opens a new one.
            kept = {ref.number: stage[live[0].number] for ref in call.outputs if ref.shape == live[0].shape}
            stage.update(kept)
    names = _distinct([name for name, _, _ in found])
    refs = tuple(ref for _, _, ref in found)
    return Branches(names, tuple(s for _, s, _ in found), tuple(ref.shape for ref in refs), tape, refs)


def _is_residual(call: Call, live: Sequence[Ref], depth: dict[int, int]) -> bool:
    if operator_name(call.target) not in SUMS or len(live) != 2 or live[0].shape != live[1].shape:
        return False
    return depth[live[0].number] != depth[live[1].number]


def _distinct(names: Sequence[str]) -> tuple[str, ...]:
    """Return the names with a number behind those that come again."""
    seen: dict[str, int] = {}
    for name in names:
        seen[name] = seen.get(name, 0) + 1
    again: dict[str, int] = {}
    found = []
    for name in names:
        again[name] = again.get(name, 0) + 1
        found.append(name if seen[name] == 1 and name else f"{name or 'sum'} {again[name]}")
    return tuple(found)


def _held(tape: Tape, model: nn.Module) -> dict[int, torch.Tensor]:
    """Return the parameters, buffers and constants of a program, with the values of a model."""
    buffers = dict(model.named_buffers())
    owners = {name: held[0][0].get_parameter(held[0][1]) for name, held in parameter_owners(model).items()}
    known = {number: buffers.get(tape.buffers.get(number, ""), tensor) for number, tensor in tape.constants.items()}
    return known | {number: owners[name].detach() for number, name in tape.parameters.items()}


def _computed(tape: Tape, wanted: Sequence[Ref], values: dict[int, torch.Tensor]) -> list[torch.Tensor]:
    """Return some tensors of a program; each is copied, as calls may change tensors in place."""
    numbers, found = {ref.number for ref in wanted}, {}
    last = _last_uses(tape)
    with torch.no_grad():
        for place, call in enumerate(tape.calls):
            given = tree_map(
                lambda item: values[item.number] if isinstance(item, Ref) else item, (call.args, call.kwargs)
            )
            result = call.target(*given[0], **given[1])
            made = list(result) if isinstance(result, (tuple, list)) else [result]
            values.update({ref.number: value for ref, value in zip(call.outputs, made, strict=False)})
            found.update({ref.number: values[ref.number].clone() for ref in call.outputs if ref.number in numbers})
            for number in last.get(place, ()):
                del values[number]
            if len(found) == len(numbers):
                break
    return [found[ref.number] for ref in wanted]


def _last_uses(tape: Tape) -> dict[int, list[int]]:
    """Return the tensors that no call needs any longer, by the place of the call after which they go."""
    last = {r.number: place for place, call in enumerate(tape.calls) for r in refs_in((call.args, call.kwargs))}
    places: dict[int, list[int]] = {}
    for number, place in last.items():
        places.setdefault(place, []).append(number)
    return places
