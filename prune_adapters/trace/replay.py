"""Replays a tape on values: every call goes to its rule, calls on parameters and constants alone are handled here."""

from functools import partial
from typing import cast

import torch
from torch._ops import OpOverload
from torch.utils._pytree import tree_map

from prune_adapters.errors import TraceError
from prune_adapters.trace.acting import ids_of
from prune_adapters.trace.builder import GraphBuilder
from prune_adapters.trace.ids import compress
from prune_adapters.trace.options import Options
from prune_adapters.trace.parameters import without_units
from prune_adapters.trace.registry import Operation, find_rule, operator_name, rule_skeleton
from prune_adapters.trace.tape import Call, Ref, Tape, write_back
from prune_adapters.trace.values import PRESENT, ZERO, Constant, Tokens, Units, Value, Weight

__all__ = ["replay"]


def replay(tape: Tape, builder: GraphBuilder, inputs: dict[int, Value], options: Options) -> dict[int, Value]:
    """Run the rules over a tape; return the value of every tensor by its number.

    Parameters
    ----------
    tape : Tape
    builder : GraphBuilder
        Receives layers, connections, outputs and roles.
    inputs : dict of int to Value
        Value of each input tensor by its number.
    options : Options

    Raises
    ------
    TraceError
        An operator has no rule, or its rule refuses.
    """
    values: dict[int, Value] = dict(inputs)
    for number, name in tape.parameters.items():
        values[number] = Weight.whole(name, builder.shapes[name])
    for number, tensor in tape.constants.items():
        buffer = tape.buffers.get(number)
        known = None if tensor.is_meta else partial(_itself, tensor)
        values[number] = Constant(tuple(tensor.shape), known, buffer=buffer)
    for call in tape.calls:
        results = _run(call, values, builder, options)
        values.update({ref.number: result for ref, result in zip(call.outputs, results, strict=False)})
    found = [values.get(ref.number) for ref in tape.outputs.values()]
    builder.outputs = [value.ids for value in found if isinstance(value, Units)]
    return values


def _itself(tensor: torch.Tensor) -> torch.Tensor:
    return tensor


def _run(call: Call, values: dict[int, Value], builder: GraphBuilder, options: Options) -> tuple[Value, ...]:
    def value_of(item: object) -> object:
        return values[item.number] if isinstance(item, Ref) else item

    args: tuple = tree_map(value_of, call.args)
    kwargs: dict = tree_map(value_of, call.kwargs)
    if call.target is write_back:
        return (_written_back(args, builder),)
    shapes = tuple(ref.shape for ref in call.outputs)
    op = Operation(
        cast(OpOverload, call.target), args, kwargs, shapes, _layer_name(call), call.module, call.line, builder, options
    )
    tensors = op.tensors()
    if not any(isinstance(t, (Units, Tokens)) for t in tensors):
        return without_units(op, tensors)
    entry = find_rule(call.target)
    if entry is None:
        return _unknown(op)
    try:
        result = entry.rule(op)
    except TraceError:
        if options.unknown != "mix":
            raise
        return _unknown(op)
    return result if isinstance(result, tuple) else (result,)


def _layer_name(call: Call) -> str:
    """Return the name of a layer that an operator may add: the norm's own module, or module and operator."""
    short = operator_name(call.target).split(".")[-1].strip("_")
    if "scaled_dot_product" in short:
        short = "attention"
    if short.endswith("_norm") and call.module:
        return call.module
    return f"{call.module}.{short}" if call.module else short


def _unknown(op: Operation) -> tuple[Value, ...]:
    """Refuse an operator without a rule, or let every output depend on every input."""
    if op.packet.startswith("prune_adapters."):
        raise op.error("sparse layers hold no dense weight that a graph could name", "call densify(model) first")
    if op.options.unknown != "mix":
        raise op.error(
            "no rule says how units pass through it",
            f"write one with register_rule({op.packet!r}), or pass unknown='mix' to let every output depend on every "
            f"input. To start from:\n\n{rule_skeleton(op)}",
        )
    op.graph.notes.append(f"{op.name}: every output is taken to depend on every input (unknown='mix')")
    return op.mixed()


def _written_back(args: tuple, graph: GraphBuilder) -> Value:
    """Return the ids of a tensor after a part of it was assigned to."""
    base, changed, view = args
    shape = tuple(base.shape)
    if isinstance(base, Weight) and not isinstance(changed, Units):
        return _weight_written(base, changed, view, graph)
    ids = ids_of(graph, base, "assigned").expand(shape).clone()
    part = view.target(ids, *view.args[1:], **view.kwargs)
    part.copy_(ids_of(graph, changed, "assigned").expand(changed.shape))
    if bool((ids < 0).all()):
        return Constant.zeros(shape) if bool((ids == ZERO).all()) else Constant(shape)
    return Units(compress(ids), shape)


def _weight_written(base: Weight, changed: Value, view: Call, builder: GraphBuilder) -> Value:
    """Return a parameter after a part of it was set to a constant, or to elements of a parameter."""
    sources = tuple(dict.fromkeys((*base.sources, *changed.sources)))
    numbers = torch.from_numpy(base.numbers(builder.element_starts)).clone()
    part = view.target(numbers, *view.args[1:], **view.kwargs)
    if isinstance(changed, Weight):
        part.copy_(torch.from_numpy(changed.numbers(builder.element_starts)))
    else:
        part.fill_(ZERO if isinstance(changed, Constant) and changed.is_zero else PRESENT)
    return Weight(base.shape, None, index=numbers.numpy(), names=sources)
