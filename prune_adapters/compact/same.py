"""Whether a smaller model makes the calls that the model makes, on the same tensors and with the same numbers.

One run may not show it where a forward branches on a width or computes with one: units that are closed for the example
hide what scales them. So the two captured programs are compared call by call. What a layer that became smaller does
inside is its own affair; all that counts is what it reads and gives.
"""

from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import groupby, zip_longest

import torch
from torch import nn
from torch.utils._pytree import tree_leaves

from prune_adapters.compact.constants import run
from prune_adapters.compact.decide import Decision
from prune_adapters.errors import CompactError
from prune_adapters.groups import Slots, Whole
from prune_adapters.groups.rules import ADAPT
from prune_adapters.trace.follow import failing_line
from prune_adapters.trace.registry import operator_name
from prune_adapters.trace.tape import Call, Ref, Tape, refs_in

__all__ = ["check_same_calls", "check_same_outputs"]

COPIES = ("clone", "contiguous", "alias", "detach")
"""Calls that a program captured by running makes or not, as strides have it; a reshape has one name or another."""

RESHAPES = ("view", "reshape", "_unsafe_view")


@dataclass(frozen=True)
class _Part:
    """One call, or all that a layer does inside.

    Parameters
    ----------
    name, module : str
        Operator, empty for a layer, and module path.
    read, given : tuple of Ref
        What comes from outside, in order, and what goes out.
    numbers : tuple of str
        All other arguments.
    line : str
        Source line.
    """

    name: str
    module: str
    read: tuple[Ref, ...]
    given: tuple[Ref, ...]
    numbers: tuple[str, ...]
    line: str


@dataclass(eq=False)
class _Comparison:
    """Two tapes, and which tensor of the second stands for each of the first.

    Parameters
    ----------
    before, after : Tape
    decision : Decision
    """

    before: Tape
    after: Tape
    decision: Decision
    twin: dict[int, int] = field(default_factory=dict)

    def is_same(self, old: Ref, new: Ref) -> bool:
        """Return whether a tensor that is read is the one that was read; what nothing has made is told by its name."""
        if old.number not in self.twin:
            if not _is_same_holding(self.before, self.after, old, new):
                return False
            self.twin[old.number] = new.number
        return self.twin[old.number] == new.number

    def made(self, old: Ref, new: Ref) -> bool:
        """Note what a call gives; return whether its shape is the one that the removal leaves."""
        self.twin[old.number] = new.number
        return new.shape == self.expected(old)

    def expected(self, ref: Ref) -> tuple[int, ...]:
        """Return the shape of a tensor after the removal."""
        value = self.decision.recorder.values.get(ref.number)
        if isinstance(value, Whole) and value.source is not None:
            held = self.decision.recorder.raw.met.get(value.source.name)
            return (
                ref.shape if held is None else value.source.shape_without(held.axis, self.decision.gone[held.numbers])
            )
        if not isinstance(value, Slots):
            return ref.shape
        left = int((~self.decision.gone[value.numbers]).sum())
        return tuple(left if d == value.dim else size for d, size in enumerate(ref.shape))

    def adapts(self, part: _Part) -> bool:
        """Return whether the numbers of a call are sizes, which follow what it reads."""
        return part.name in ADAPT.split() and any(self.expected(ref) != ref.shape for ref in part.given)


def check_same_outputs(masked: nn.Module, result: nn.Module, args: tuple, kwargs: dict) -> None:
    """Raise `CompactError` where the smaller model does not run, or gives something else.

    Parameters
    ----------
    masked, result : Module
        The model, its removed weights 0, and the smaller one.
    args, kwargs : tuple, dict
        Example inputs.
    """
    expected = [t for t in tree_leaves(run(masked, args, kwargs)) if isinstance(t, torch.Tensor)]
    try:
        found = [t for t in tree_leaves(run(result, args, kwargs)) if isinstance(t, torch.Tensor)]
    except Exception as error:
        raise CompactError(
            f"the smaller model does not run: {failing_line(error)} ({str(error).strip().splitlines()[0]}); "
            "take the size from the tensor, as in x.flatten(1) or x.shape[1], instead of writing it down"
        ) from error
    for number, (new, old) in enumerate(zip(found, expected, strict=True)):
        if new.shape != old.shape or not _close(new, old):
            raise CompactError(
                f"output {number} of the smaller model differs: a forward computes with the number of channels "
                "(a mean written as sum / n, a scale of 1 / sqrt(n)); give it the original number"
            )


def _close(new: torch.Tensor, old: torch.Tensor) -> bool:
    if not old.is_floating_point():
        return torch.equal(new, old)
    scale = float(old.abs().nan_to_num().max()) if old.numel() else 0.0
    bound = torch.finfo(old.dtype).eps ** 0.5
    return torch.allclose(new, old, rtol=bound, atol=bound * scale, equal_nan=True)


def check_same_calls(before: Tape, after: Tape, decision: Decision) -> None:
    """Raise `CompactError` where a smaller model does something else than the removal of channels explains.

    Parameters
    ----------
    before, after : Tape
        Of the masked and of the smaller model.
    decision : Decision
        What was removed; its layers may do inside whatever they like.
    """
    layers = {layer.path for layer in decision.recorder.layers} | decision.heads.keys()
    comparison = _Comparison(before, after, decision)
    comparison.twin.update(
        {old.number: new.number for old, new in zip(before.inputs.values(), after.inputs.values(), strict=True)}
    )
    for old, new in zip_longest(_parts(before, layers), _parts(after, layers)):
        problem = _difference(comparison, old, new)
        if problem:
            raise CompactError(
                f"a forward computes with the number of channels: {problem}; give it the original number"
            )


def _difference(comparison: _Comparison, old: _Part | None, new: _Part | None) -> str:
    """Return in words what is not the same in one call of both programs, empty if nothing is."""
    if old is None or new is None or (old.name, old.module) != (new.name, new.module):
        return f"the smaller model calls {_words(new)} where the model calls {_words(old)}"
    if len(old.read) != len(new.read) or not all(map(comparison.is_same, old.read, new.read)):
        return f"{_words(new)} reads another tensor than in the model"
    if old.numbers != new.numbers and not comparison.adapts(old):
        return f"{_words(new)} has other numbers than in the model (a mean written as sum / n, a scale of 1 / sqrt(n))"
    if len(old.given) != len(new.given) or not all(map(comparison.made, old.given, new.given)):
        return f"{_words(new)} gives another size than the removal leaves"
    return ""


def _words(part: _Part | None) -> str:
    if part is None:
        return "nothing"
    name = part.name or f"layer {part.module!r}"
    return f"{name} at {part.line}" if part.line else name


def _parts(tape: Tape, layers: Container[str]) -> Iterator[_Part]:
    """Yield the calls of a program, those of one layer together."""
    copied: dict[Ref, Ref] = {}
    readers = _readers(tape)
    for (inside, module), calls in groupby(tape.calls, lambda call: (call.module in layers, call.module)):
        if inside:
            yield _layer(tape, module, list(calls), copied, readers)
            continue
        for call in calls:
            read = tuple(copied.get(ref, ref) for ref in refs_in((call.args, call.kwargs)))
            if _short(call) in COPIES:
                copied[call.outputs[0]] = read[0]
            else:
                yield _Part(_short(call), module, read, call.outputs, tuple(_numbers(call)), call.line)


def _layer(
    tape: Tape, module: str, calls: list[Call], copied: Mapping[Ref, Ref], readers: Mapping[int, set[str | None]]
) -> _Part:
    made = [ref for call in calls for ref in call.outputs]
    own = {ref.number for ref in made} | tape.parameters.keys() | tape.constants.keys()
    used = [ref for call in calls for ref in refs_in((call.args, call.kwargs)) if ref.number not in own]
    given = tuple(ref for ref in made if readers.get(ref.number, set()) - {module})
    return _Part("", module, tuple(dict.fromkeys(copied.get(r, r) for r in used)), given, (), calls[0].line)


def _readers(tape: Tape) -> dict[int, set[str | None]]:
    """Return which modules read each tensor; None stands for the outputs of the model."""
    readers: dict[int, set[str | None]] = {ref.number: {None} for ref in tape.outputs.values()}
    for call in tape.calls:
        for ref in refs_in((call.args, call.kwargs)):
            readers.setdefault(ref.number, set()).add(call.module)
    return readers


def _short(call: Call) -> str:
    name = operator_name(call.target).rpartition(".")[2]
    return "reshape" if name in RESHAPES else name


def _numbers(call: Call) -> Iterator[str]:
    """Yield all arguments that are no tensors; a slice that goes to the end says so."""
    leaves = tree_leaves((call.args, call.kwargs))
    if _short(call) == "slice" and len(call.args) > 3 and isinstance(call.args[3], int):
        tensor, dim, start, end, *step = call.args
        leaves = [dim, start, "end" if end >= tensor.shape[dim] else end, *step]
    for leaf in leaves:
        if isinstance(leaf, Call):
            yield from _numbers(leaf)
        elif not isinstance(leaf, Ref):
            yield repr(leaf)


def _is_same_holding(before: Tape, after: Tape, old: Ref, new: Ref) -> bool:
    """Return whether two tensors that no call has made are the same parameter, buffer or constant."""
    names = [tape.parameters.get(r.number) or tape.buffers.get(r.number) for tape, r in ((before, old), (after, new))]
    if names[0] is not None or names[1] is not None:
        return names[0] == names[1]
    first, second = before.constants.get(old.number), after.constants.get(new.number)
    return first is not None and second is not None and first.shape == second.shape and torch.equal(first, second)
