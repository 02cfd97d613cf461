"""A program as a list of operator calls on numbered tensors, however it was captured.

Captured programs are not functional: `relu_` and assignments to slices change tensors in place. The tape rewrites that
while it records: an in-place call gives its tensor a new number, writes it back into the tensor that it is a view of,
and takes the other views anew.
"""

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch._ops import OpOverload
from torch.utils._pytree import tree_map

__all__ = ["Call", "Ref", "Tape", "chosen_tensors", "named_tensors", "outputs_of", "refs_in", "write_back"]


@dataclass(frozen=True)
class Ref:
    """A tensor of a program, by number."""

    number: int
    shape: tuple[int, ...]
    is_integer: bool = False


@dataclass(frozen=True, eq=False)
class Call:
    """One operator call: `args` and `kwargs` hold a `Ref` for every tensor."""

    target: Callable
    args: tuple
    kwargs: dict
    outputs: tuple[Ref, ...]
    module: str = ""
    line: str = ""


@dataclass(eq=False)
class Tape:
    """The calls of a program, its inputs, parameters, constants and outputs."""

    calls: list[Call] = field(default_factory=list)
    inputs: dict[str, Ref] = field(default_factory=dict)
    fixed: dict[str, Ref] = field(default_factory=dict)
    parameters: dict[int, str] = field(default_factory=dict)
    constants: dict[int, torch.Tensor] = field(default_factory=dict)
    buffers: dict[int, str] = field(default_factory=dict)
    outputs: dict[str, Ref] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    _count: int = 0
    _current: dict[Hashable, Ref] = field(default_factory=dict)
    _view_of: dict[Hashable, tuple[Hashable, Call]] = field(default_factory=dict)

    def new(self, tensor: torch.Tensor) -> Ref:
        """Return a reference for a tensor that the program has not seen."""
        self._count += 1
        is_integer = not tensor.dtype.is_floating_point and not tensor.dtype.is_complex
        return Ref(self._count, tuple(int(size) for size in tensor.shape), is_integer)

    def bind(self, key: Hashable, ref: Ref) -> Ref:
        """Let `key` (a graph node or the identity of a tensor) stand for `ref` from now on."""
        self._current[key] = ref
        return ref

    def of(self, key: Hashable) -> Ref | None:
        """Return what `key` stands for now."""
        return self._current.get(key)

    def record(
        self,
        target: Callable,
        args: tuple,
        kwargs: dict,
        keys: Sequence[Hashable],
        values: Sequence[torch.Tensor],
        first_key: Hashable | None,
        module: str,
        line: str,
    ) -> None:
        """Record one call.

        Parameters
        ----------
        target : OpOverload
        args, kwargs : tuple, dict
            With a `Ref` for every tensor.
        keys, values : list
            Key and (fake or real) tensor of each output.
        first_key : hashable or None
            Key of the first tensor argument.
        module, line : str
            Where the call was made.
        """
        outputs = tuple(self.new(value) for value in values)
        call = Call(target, args, kwargs, outputs, module, line)
        self.calls.append(call)
        for key, ref in zip(keys, outputs, strict=True):
            self.bind(key, ref)
        if first_key is None or not isinstance(target, OpOverload):
            return
        if target._schema.is_mutable:
            self._changed_in_place(first_key, outputs[0])
        elif _is_view(target) and len(outputs) == 1:
            self._view_of[keys[0]] = (first_key, call)

    def _changed_in_place(self, key: Hashable, result: Ref) -> None:
        self.bind(key, result)
        if key in self._view_of:
            base, view = self._view_of[key]
            written = self._renumbered(self._current[base])
            self.calls.append(
                Call(write_back, (self._current[base], result, view), {}, (written,), view.module, view.line)
            )
            self._changed_in_place(base, written)
            return
        for other, (base, view) in list(self._view_of.items()):
            if base == key:
                again = self._renumbered(self._current[other])
                self.calls.append(
                    Call(view.target, (result, *view.args[1:]), view.kwargs, (again,), view.module, view.line)
                )
                self.bind(other, again)

    def _renumbered(self, ref: Ref) -> Ref:
        self._count += 1
        return Ref(self._count, ref.shape, ref.is_integer)


def write_back(base: torch.Tensor, changed: torch.Tensor, view: Call) -> torch.Tensor:
    """Return `base` with the part that `view` shows replaced by `changed`."""
    result = base.clone()
    view.target(result, *view.args[1:], **view.kwargs).copy_(changed)
    return result


def outputs_of(result: object) -> list[torch.Tensor]:
    """Return the outputs of a call, with an empty stand-in for those that are no tensors; none if no output is one."""
    outputs = list(result) if isinstance(result, (list, tuple)) else [result]
    if not any(isinstance(output, torch.Tensor) for output in outputs):
        return []
    return [output if isinstance(output, torch.Tensor) else torch.empty(()) for output in outputs]


def chosen_tensors(tape: Tape, fixed: Sequence[str], outputs: Sequence[str] | None) -> Tape:
    """Return the tape with some inputs taken to be the same in every call, and with some of its outputs only.

    Raises
    ------
    KeyError
        A name is not an input, or not an output.
    """
    for label, names, known in (("fixed_inputs", fixed, tape.inputs), ("outputs", outputs or (), tape.outputs)):
        for name in names:
            if name not in known:
                kind = "output" if label == "outputs" else "input"
                raise KeyError(f"{label}: no {kind} {name!r}; the model has {', '.join(map(repr, known))}")
    inputs = {name: ref for name, ref in tape.inputs.items() if name not in fixed}
    wanted = {name: tape.outputs[name] for name in (tape.outputs if outputs is None else outputs)}
    return replace(tape, inputs=inputs, fixed={name: tape.inputs[name] for name in fixed}, outputs=wanted)


def named_tensors(result: object, name: str = "") -> Iterator[tuple[str, torch.Tensor]]:
    """Yield the tensors that a model returns in nested tuples, lists and dicts, by their place: ``hidden.1``."""
    if isinstance(result, torch.Tensor):
        yield name or "output", result
    elif isinstance(result, (Mapping, tuple, list)):
        places = result.items() if isinstance(result, Mapping) else enumerate(result)
        for place, part in places:
            yield from named_tensors(part, f"{name}.{place}" if name else str(place))


def refs_in(structure: object) -> Iterator[Ref]:
    """Yield every reference in nested arguments."""
    found: list[Ref] = []
    tree_map(lambda item: found.append(item) if isinstance(item, Ref) else None, structure)
    yield from found


def _is_view(target: OpOverload) -> bool:
    returns = target._schema.returns
    return bool(returns) and returns[0].alias_info is not None and not returns[0].alias_info.is_write
