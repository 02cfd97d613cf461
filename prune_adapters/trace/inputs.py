"""The input tensors of a model as layers: which dimension carries units.

Batch norm and convolutions read channels from dimension 1, linear layers from the last. What first reads an input
decides, unless the caller says so.
"""

from collections.abc import Mapping, Sequence

import torch

from prune_adapters.trace.builder import GraphBuilder
from prune_adapters.trace.registry import operator_name
from prune_adapters.trace.tape import Call, Ref, Tape, refs_in
from prune_adapters.trace.values import Constant, Tokens, Units, Value

__all__ = ["input_values", "unit_dimensions"]

READS_LAST = frozenset(
    [
        "linear",
        "addmm",
        "mm",
        "t",
        "matmul",
        "bmm",
        "einsum",
        "layer_norm",
        "native_layer_norm",
        "rms_norm",
        "bilinear",
        "lstm",
        "gru",
        "rnn_tanh",
        "rnn_relu",
    ]
)
"""Operators that read their units from the last dimension."""


def input_values(tape: Tape, builder: GraphBuilder, unit_dims: Mapping[str, int | Sequence[int]]) -> dict[int, Value]:
    """Return the value of each input tensor; floating inputs become layers.

    Parameters
    ----------
    tape : Tape
    builder : GraphBuilder
    unit_dims : mapping of str to int or sequence of int
        Dimensions that carry units, for inputs by name; the others get a default.

    Raises
    ------
    KeyError
        A name in `unit_dims` or `fixed` is not an input.
    """
    for name in unit_dims:
        if name not in tape.inputs:
            raise KeyError(f"unit_dims for {name!r}: no such input; the model has {', '.join(map(repr, tape.inputs))}")
    values: dict[int, Value] = {ref.number: Constant(ref.shape) for ref in tape.fixed.values()}
    for name, ref in tape.inputs.items():
        if ref.is_integer:
            values[ref.number] = Tokens(name, ref.shape)
            continue
        chosen = unit_dims.get(name)
        dims = unit_dimensions(tape, ref) if chosen is None else [chosen] if isinstance(chosen, int) else list(chosen)
        dims = [d % len(ref.shape) for d in dims] if ref.shape else []
        shape = [size if d in dims else 1 for d, size in enumerate(ref.shape)]
        size = int(torch.Size(shape).numel())
        values[ref.number] = Units(builder.input_layer(name, size).reshape(shape), ref.shape)
    return values


def unit_dimensions(tape: Tape, ref: Ref) -> list[int]:
    """Return the dimensions of an input that carry units, by what reads it first.

    A convolution or batch norm: its channel dimension. A linear layer on the unchanged shape: the last. A linear layer
    after flattening: all but the first, so that every pixel is a unit.
    """
    rank = len(ref.shape)
    if rank <= 2:
        return [rank - 1] if rank else []
    reader, reached = _first_reader(tape, ref)
    if reader is None:
        return [1]
    name = operator_name(reader.target)
    if "conv" in name:
        weight = next((r for r in list(refs_in(reader.args))[1:2]), None)
        return [rank - (len(weight.shape) - 1)] if weight is not None and len(reached.shape) == rank else [1]
    if name.split(".")[-1] in READS_LAST:
        # Running a linear layer on more than two dimensions lines up its positions first: the last dimension stays.
        return [rank - 1] if reached.shape[-1:] == ref.shape[-1:] else list(range(1, rank))
    return [1]


def _first_reader(tape: Tape, ref: Ref) -> tuple[Call | None, Ref]:
    """Return the first call with a parameter that an input reaches, and the tensor that it reads."""
    reached = {ref.number: ref}
    for call in tape.calls:
        refs = list(refs_in((call.args, call.kwargs)))
        mine = [r for r in refs if r.number in reached]
        if not mine:
            continue
        if any(r.number in tape.parameters for r in refs) or operator_name(call.target) == "aten.t":
            return call, mine[0]
        reached.update({output.number: output for output in call.outputs})
    return None, ref
