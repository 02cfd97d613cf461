"""Replays a tape on values: every call goes to its rule, calls on parameters and constants alone are handled here."""

from collections.abc import Callable

import numpy as np
import torch
from torch.utils._pytree import tree_map

from prune_adapters.trace.builder import GraphBuilder
from prune_adapters.trace.ids import compress
from prune_adapters.trace.meeting import reduce, renewed
from prune_adapters.trace.registry import Operation, Options, find_rule, operator_name
from prune_adapters.trace.tape import Call, Ref, Tape, write_back
from prune_adapters.trace.values import Constant, Tokens, Units, Value, Weight

__all__ = ["replay"]

KEEPS_ZEROS = frozenset(
    f"aten.{name}"
    for name in [
        "mul",
        "div",
        "neg",
        "abs",
        "to",
        "_to_copy",
        "type_as",
        "float",
        "double",
        "half",
        "clone",
        "contiguous",
        "detach",
        "alias",
    ]
)
"""Operators that leave a removed (zero) parameter element zero, so that the result is still that parameter."""


def replay(tape: Tape, builder: GraphBuilder, inputs: dict[int, Value], options: Options) -> None:
    """Run the rules over a tape.

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
        values[number] = Constant(tuple(tensor.shape), lambda tensor=tensor: tensor, buffer=buffer)
    for call in tape.calls:
        results = _run(call, values, builder, options)
        values.update({ref.number: result for ref, result in zip(call.outputs, results, strict=False)})
    builder.outputs = [
        values[ref.number].ids for ref in tape.outputs if ref is not None and isinstance(values.get(ref.number), Units)
    ]


def _run(call: Call, values: dict[int, Value], builder: GraphBuilder, options: Options) -> tuple[Value, ...]:
    def value_of(item: object) -> object:
        return values[item.number] if isinstance(item, Ref) else item

    args, kwargs = tree_map(value_of, call.args), tree_map(value_of, call.kwargs)
    if call.target is write_back:
        return (_written_back(call, args),)
    shapes = tuple(ref.shape for ref in call.outputs)
    op = Operation(call.target, args, kwargs, shapes, _layer_name(call), call.module, call.line, builder, options)
    tensors = op.tensors()
    if not any(isinstance(t, (Units, Tokens)) for t in tensors):
        return _without_units(op, tensors)
    rule = find_rule(call.target)
    if rule is None:
        return _unknown(op, tensors)
    result = rule(op)
    return result if isinstance(result, tuple) else (result,)


def _layer_name(call: Call) -> str:
    """Return the name of a layer that an operator may add: the norm's own module, or module and operator."""
    short = operator_name(call.target).split(".")[-1].strip("_")
    if "scaled_dot_product" in short:
        short = "attention"
    if short.endswith("_norm") and call.module:
        return call.module
    return f"{call.module}.{short}" if call.module else short


def _unknown(op: Operation, tensors: list[Value]) -> tuple[Value, ...]:
    """Refuse an operator without a rule, or let every output depend on every input."""
    if op.options.unknown != "mix":
        raise op.error(
            "no rule says how units pass through it",
            f"write one with register_rule({op.packet!r}), "
            "or pass unknown='mix' to let every output depend on every input",
        )
    rows = [t.ids.reshape(1, -1) for t in tensors if isinstance(t, Units)]
    together = reduce(op.graph, torch.cat(rows, dim=1), [1], op.name)
    unit, layer, _ = renewed(op.graph, together, op.name)
    op.graph.shift(layer, None, None)
    for weight in (t for t in tensors if isinstance(t, Weight) and t.name):
        op.graph.note_role(weight.name, "constant")
    op.graph.notes.append(f"{op.name}: every output is taken to depend on every input (unknown='mix')")
    return tuple(op.units(unit.reshape([1] * len(shape)), shape) for shape in op.shapes)


def _without_units(op: Operation, tensors: list[Value]) -> tuple[Value, ...]:
    """Return the outputs of a call that touches no unit: a moved parameter, or constants."""
    weights = [t for t in tensors if isinstance(t, Weight)]
    if weights:
        kept = _still_a_weight(op, tensors)
        if kept is not None:
            return kept
    sources = dict.fromkeys(s for t in tensors for s in t.sources)
    cache: list = []

    def outputs() -> tuple:
        if not cache:
            cache.append(_computed(op))
        return cache[0]

    def nth(position: int) -> Callable[[], torch.Tensor | None]:
        return lambda: outputs()[position] if outputs() is not None else None

    for source in sources:
        op.graph.note_role(source, "unused")
    return tuple(Constant(shape, nth(i), tuple(sources)) for i, shape in enumerate(op.shapes))


def _computed(op: Operation) -> tuple | None:
    """Return the outputs of a call on constants, or None where one of them has no known value."""

    def known(item: object) -> object:
        if isinstance(item, Constant):
            return item.value()
        return None if isinstance(item, Weight) else item

    args, kwargs = tree_map(known, op.args), tree_map(known, op.kwargs)
    absent = [t for t in op.tensors() if isinstance(t, Weight) or t.value() is None]
    if absent:
        return None
    with torch.no_grad():
        result = op.target(*args, **kwargs)
    return tuple(result) if isinstance(result, (list, tuple)) else (result,)


def _still_a_weight(op: Operation, tensors: list[Value]) -> tuple[Value, ...] | None:
    """Return the moved (or scaled) parameter, or None if it became something else."""
    first = op.args[0] if op.args else None
    if op.packet in ("aten._weight_norm", "aten._weight_norm_interface"):
        op.graph.note_role(op["g"].name, "gate")
        return (op["v"], *(Constant(shape, sources=op["g"].sources) for shape in op.shapes[1:]))
    if op.packet.removesuffix("_") in KEEPS_ZEROS:
        return _scaled(op, tensors)
    rule = find_rule(op.target)
    if hasattr(rule, "on_parameters") and isinstance(first, Weight):
        return (rule.on_parameters(op),)
    mover = getattr(rule, "moves_elements", None)
    if mover is None or (not isinstance(first, Weight) and not isinstance(first, (list, tuple))):
        return None
    return _moved_weight(op, mover, first)


def _scaled(op: Operation, tensors: list[Value]) -> tuple[Value, ...] | None:
    full = [t for t in tensors if isinstance(t, Weight) and t.shape == op.shape]
    if not full or (op.packet == "aten.div" and tensors[0] is not full[0]):
        return None
    for other in tensors:
        if other is not full[0]:
            for source in other.sources:
                op.graph.note_role(source, "gate")
    return (full[0],)


def _moved_weight(op: Operation, mover: Callable, first: Value | list) -> tuple[Value, ...]:
    """Move a parameter: by its steps where the result is a view, else by its element numbers."""
    if isinstance(first, Weight) and first.index is None:
        stand_in = first.viewed()
        moved = mover(op, stand_in)
        outputs = moved if isinstance(moved, (list, tuple)) else (moved,)
        if all(o.untyped_storage()._cdata == stand_in.untyped_storage()._cdata for o in outputs):
            return tuple(Weight(tuple(o.shape), first.name, o.storage_offset(), o.stride()) for o in outputs)
    starts = op.graph.element_starts
    if isinstance(first, (list, tuple)):
        parts = [
            torch.from_numpy(t.numbers(starts)) if isinstance(t, Weight) else torch.full(t.shape, -1) for t in first
        ]
        moved = mover(op, parts)
        names = tuple(dict.fromkeys(s for t in first for s in t.sources))
    else:
        moved = mover(op, torch.from_numpy(first.numbers(starts)))
        names = first.sources
    outputs = moved if isinstance(moved, (list, tuple)) else (moved,)
    return tuple(Weight(tuple(o.shape), None, index=np.ascontiguousarray(o.numpy()), names=names) for o in outputs)


def _written_back(call: Call, args: tuple) -> Value:
    """Return the ids of a tensor after a part of it was assigned to."""
    base, changed, view = args
    shape = tuple(base.shape)
    ids = base.expanded().clone() if isinstance(base, Units) else torch.full(shape, -2)
    part = view.target(ids, *view.args[1:], **view.kwargs)
    part.copy_(changed.expanded() if isinstance(changed, Units) else torch.full(changed.shape, -2))
    if bool((ids < 0).all()):
        return Constant(shape)
    return Units(compress(ids), shape)
