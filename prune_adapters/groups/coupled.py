"""From the tape of a model to its coupled channel slots."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import cast

import torch
from torch import nn
from torch._ops import OpOverload
from torch.utils._pytree import tree_map

from prune_adapters.groups.layers import REBUILT, embedding, weighted
from prune_adapters.groups.raw import Source, sources_of
from prune_adapters.groups.rules import RULES, Results, elementwise, moved
from prune_adapters.groups.slots import Slots, Whole
from prune_adapters.groups.step import Facts, Recorder, Step
from prune_adapters.trace.builder import GraphBuilder
from prune_adapters.trace.options import Options
from prune_adapters.trace.registry import find_rule, operator_name
from prune_adapters.trace.tape import Call, Ref, Tape, refs_in

__all__ = ["coupled_slots", "rebuildable"]

NORMS = [
    "batch_norm",
    "instance_norm",
    "layer_norm",
    "native_layer_norm",
    "rms_norm",
    "_fused_rms_norm",
    "group_norm",
    "native_group_norm",
]
OWN = {"weight", "bias"}


def coupled_slots(
    tape: Tape,
    modules: Mapping[str, nn.Module],
    facts: Mapping[str, Facts],
    raw: Mapping[str, tuple[int, ...]] = MappingProxyType({}),
) -> Recorder:
    """Return the slots of a captured model, coupled and pinned.

    Parameters
    ----------
    tape : Tape
    modules : mapping of str to Module
        What may become smaller (see `rebuildable`).
    facts : mapping of str to Facts
        By module path; a layer with weights but without facts stays as it is.
    raw : mapping of str to tuple of int
        Shapes of the parameters that may lose entries too (see `raw_parameters`).

    Returns
    -------
    Recorder
    """
    recorder = Recorder(modules, facts)
    held = {**tape.parameters, **dict.fromkeys(tape.constants, "")}
    values = recorder.values
    sources = sources_of(tape, raw)
    for call in tape.calls:
        for ref in refs_in((call.args, call.kwargs)):
            values.setdefault(ref.number, Whole(ref.shape, ref.number in held, sources.get(ref.number)))
        results = _run(call, values, recorder)
        values.update({ref.number: result for ref, result in zip(call.outputs, results, strict=False)})
    for ref in tape.outputs.values():
        value = values.get(ref.number)
        if isinstance(value, Slots):
            recorder.coupling.pin(value.numbers, "it is an output of the model")
        elif value is not None and value.source is not None:
            recorder.raw.used_otherwise(value.source.name)
    recorder.raw.pin_others(recorder.coupling)
    return recorder


def rebuildable(tape: Tape, model: nn.Module) -> dict[str, nn.Module]:
    """Return the modules of a known type that run once, on parameters that nothing else uses, by path."""
    calls = Counter(path for call in tape.calls for path in _owners(call, tape))
    modules = {path: module for path, module in model.named_modules() if type(module) in REBUILT}
    foreign = {path for call in tape.calls for path in _owners(call, tape) if path != call.module}
    return {
        path: module
        for path, module in modules.items()
        if calls[path] == 1 and path not in foreign and set(module._parameters) <= OWN and not _renormalizes(module)
    }


def _renormalizes(module: nn.Module) -> bool:
    return isinstance(module, nn.Embedding) and module.max_norm is not None


def _owners(call: Call, tape: Tape) -> Iterator[str]:
    """Yield the module that makes a norm's call, and the other modules whose parameters or buffers a call uses."""
    used = {tape.parameters.get(r.number) or tape.buffers.get(r.number) for r in refs_in((call.args, call.kwargs))}
    owners = {name.rpartition(".")[0] for name in used if name}
    yield from owners | ({call.module} if _short(call) in NORMS else set())


def _short(call: Call) -> str:
    return operator_name(call.target).partition(".")[2]


def _run(call: Call, values: Mapping[int, Slots | Whole], recorder: Recorder) -> tuple[Slots | Whole, ...]:
    def value_of(item: object) -> object:
        return values[item.number] if isinstance(item, Ref) else item

    args: tuple = tree_map(value_of, call.args)
    kwargs: dict = tree_map(value_of, call.kwargs)
    shapes, target = tuple(ref.shape for ref in call.outputs), cast(OpOverload, call.target)
    step = Step(
        target, args, kwargs, shapes, "", call.module, call.line, GraphBuilder({}), Options(), recorder=recorder
    )
    name = _short(call)
    found = RULES.get(name) or RULES.get(name.removesuffix("_"))
    operands = step.operands()
    if found and (found in (weighted, embedding) or any(isinstance(value, Slots) for value in operands)):
        before = recorder.raw.meetings.copy()
        results = found(step)
        _note_other_uses(operands, before, recorder)
        return results
    step.pin("needs all its channels")
    constant = all(isinstance(value, Whole) and value.constant for value in operands)
    return tuple(Whole(shape, constant, source) for shape, source in zip(shapes, _sources(step, found), strict=True))


def _note_other_uses(operands: Sequence[Slots | Whole], before: Mapping[str, int], recorder: Recorder) -> None:
    """Note which raw parameters a call needs as they are: those that have met no channels in it."""
    for value in operands:
        if isinstance(value, Whole) and value.source is not None:
            name = value.source.name
            if recorder.raw.meetings[name] == before.get(name, 0):
                recorder.raw.used_otherwise(name)


def _sources(step: Step, rule: Callable[[Step], Results] | None) -> list[Source | None]:
    """Return what the results of a call on parameters and constants alone are: a parameter that is only moved."""
    operands, entry = step.operands(), find_rule(step.target)
    first = operands[0] if operands else None
    if isinstance(first, Whole) and first.source is not None and len(operands) == 1 and first is step.args[0]:
        source = first.source
        if rule is moved and entry is not None and entry.move is not None:
            found = entry.move(step, source.entries)
            listed = [found] if isinstance(found, torch.Tensor) else list(found)
            return [Source(source.name, source.sizes, entries) for entries in listed]
        if rule is elementwise and len(step.shapes) == 1:
            return [source]
    for value in operands:
        if isinstance(value, Whole) and value.source is not None:
            step.recorder.raw.used_otherwise(value.source.name)
    return [None] * len(step.shapes)
