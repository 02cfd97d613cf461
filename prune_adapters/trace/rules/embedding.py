"""Embedding tables: an integer input is a layer of ``num_embeddings`` units, the table its weights.

A table looked up at constant positions (a position table) is a constant source instead. Looked up at positions that
are computed from an input, it is a gate: what comes out depends on the position, in the columns that are left.
"""

import numpy as np
import torch

from prune_adapters.trace.acting import act
from prune_adapters.trace.meeting import combine, meet, reduce
from prune_adapters.trace.registry import Operation, register_rule
from prune_adapters.trace.rules.linear import layer_name
from prune_adapters.trace.values import Constant, Tokens, Units, Value, Weight
from prune_adapters.trace.weights import connect

__all__ = ["embedding", "input_units", "looked_up", "picked_rows", "token_edges"]


def looked_up(op: Operation) -> Value:
    """Return a table at constant positions: the picked rows, as a moved parameter."""
    table, positions = op.tensors()[:2]
    known = positions.value() if isinstance(positions, Constant) else None
    if not isinstance(table, Weight):
        return Constant(op.shape, sources=table.sources)
    if known is None:
        return Constant(op.shape, sources=table.sources, vanishes=True)
    picked = table.numbers(op.graph.element_starts)[known.cpu().numpy()]
    return Weight(picked.shape, None, index=picked, names=table.sources)


@register_rule("aten.embedding", "aten.embedding_bag", "aten._embedding_bag", on_parameters=looked_up)
def embedding(op: Operation) -> Value | tuple[Value, ...]:
    """One weighted edge from each token to each dimension."""
    result = token_edges(op)
    return (result, *(Constant(shape) for shape in op.shapes[1:])) if len(op.shapes) > 1 else result


def token_edges(op: Operation) -> Value:
    """Return the rows of a table that tokens look up: one weighted edge from each token to each dimension."""
    table, tokens = op.tensors()[:2]
    if isinstance(tokens, Units) and isinstance(table, Weight) and op.packet == "aten.embedding":
        return picked_rows(op, table, tokens)
    if not isinstance(tokens, Tokens) or not isinstance(table, Weight):
        raise op.error("its table or its indices are computed from the input", "pass unknown='mix'")
    units = input_units(op, tokens, table.shape[0])
    turned = table.transposed(op.graph.element_starts)
    ids = connect(op.graph, turned, units, layer_name(op, table), "oi")
    ids = ids.reshape([1] * (len(op.shape) - 1) + [-1])
    scales = op.value("per_sample_weights")
    return op.units(_scaled_rows(op, ids, scales) if isinstance(scales, Units) else ids)


def _scaled_rows(op: Operation, ids: torch.Tensor, scales: Units) -> torch.Tensor:
    """Return the ids of a sum of rows, each times a computed number."""
    one = reduce(op.graph, scales.ids, range(scales.ids.dim()), op.name + ".scale").reshape([1] * ids.dim())
    return meet(op.graph, [ids, one.expand(ids.shape)], op.name, product=True)


def picked_rows(op: Operation, table: Weight, positions: Units) -> Value:
    """Return the rows of a table at computed positions, joined over all places that look up."""
    trailing = len(table.shape) - 1
    where = positions.ids.reshape([*positions.ids.shape, *[1] * trailing])
    anywhere = reduce(op.graph, where, range(where.dim()), op.name)
    columns = anywhere.expand([1] * positions.ids.dim() + [*table.shape[1:]])
    split = combine(op.graph, columns.reshape(-1, 1), op.name).reshape(columns.shape)
    numbers = table.numbers(op.graph.element_starts)
    turned = numbers.reshape(table.shape[0], *[1] * (positions.ids.dim() - 1), *table.shape[1:])
    gate = Weight(turned.shape, None, index=np.ascontiguousarray(turned), names=table.sources)
    return op.units(act(op.graph, split, [(Constant(()), "shift"), (gate, "gate")], op.name))


def input_units(op: Operation, tokens: Tokens, size: int) -> torch.Tensor:
    """Return the units of an integer input, one for each embedding; uses of one size share them."""
    for number in op.graph.inputs:
        layer = op.graph.layers[number]
        if layer.name.split("#")[0] == tokens.name and layer.size == size:
            return torch.from_numpy(np.arange(layer.start, layer.start + size))
    return op.graph.input_layer(tokens.name, size)
