"""Where units meet without weights: sums, products, reductions and mixing, element by element on id tensors."""

from collections.abc import Sequence

import numpy as np
import torch

from netgraph import Wiring
from prune_adapters.trace.builder import GraphBuilder
from prune_adapters.trace.ids import compress, sets_over, unique_rows
from prune_adapters.trace.values import PRESENT, ZERO

__all__ = ["combine", "meet", "mix", "reduce", "renewed"]


def meet(graph: GraphBuilder, operands: Sequence[torch.Tensor], name: str, product: bool = False) -> torch.Tensor:
    """Return the ids where several id tensors meet element by element, as a sum or as a product.

    Where only one unit meets constants the unit itself goes on, as long as its class cannot change.
    """
    aligned = torch.broadcast_tensors(*operands)
    if all(torch.equal(aligned[0], other) for other in aligned[1:]):
        return compress(aligned[0])
    rows, which = unique_rows(torch.stack([ids.reshape(-1) for ids in aligned], dim=1))
    result, fresh = _passed_on(rows, product)
    if bool(fresh.any()):
        result[fresh] = combine(graph, rows[fresh], name, product)
    return compress(result[which].reshape(aligned[0].shape))


def combine(graph: GraphBuilder, rows: torch.Tensor, name: str, product: bool = False) -> torch.Tensor:
    """Add a layer with one unit for each row, fed by the units of the row; return its ids.

    Column ``j`` of the rows is factor ``j`` of a product.
    """
    ids = graph.new_layer(name, rows.shape[0], product)
    layer = len(graph.layers) - 1
    columns = rows.numpy()
    if product:
        for factor in range(columns.shape[1]):
            graph.wire(columns[:, factor], np.arange(len(columns)), layer, factor)
    else:
        graph.wire(columns.reshape(-1), np.repeat(np.arange(len(columns)), columns.shape[1]), layer)
    return ids


def reduce(
    graph: GraphBuilder, ids: torch.Tensor, dims: Sequence[int], name: str, keepdim: bool = True
) -> torch.Tensor:
    """Return the ids after summing over `dims`: units that differ along them meet in a new unit."""
    dims = sorted(d % ids.dim() for d in dims)
    rows, kept_shape = sets_over(ids, dims)
    result = rows[:, 0].clone()
    fresh = (rows != rows[:, :1]).any(dim=1)
    if bool(fresh.any()):
        distinct, which = unique_rows(rows[fresh])
        result[fresh] = combine(graph, distinct, name)[which]
    reduced = result.reshape(kept_shape)
    if keepdim:
        for dim in dims:
            reduced = reduced.unsqueeze(dim)
    return compress(reduced)


def mix(graph: GraphBuilder, ids: torch.Tensor, dims: Sequence[int], name: str) -> torch.Tensor:
    """Return the ids after an operation in which every element along `dims` depends on all others along them."""
    dims = sorted(d % ids.dim() for d in dims)
    if all(ids.shape[d] == 1 for d in dims):
        return ids
    rows, kept_shape = sets_over(ids, dims)
    kept = [d for d in range(ids.dim()) if d not in dims]
    run = rows.reshape(-1)
    start = int(run[0])
    if start >= 0 and torch.equal(run, torch.arange(start, start + run.numel())) and _one_layer(graph, run):
        mixed = _mix_blocks(graph, run, rows.shape, name)
    else:
        common = reduce(graph, ids, dims, name + ".statistic")
        return meet(graph, [ids, common.expand(ids.shape)], name)
    sizes = [*kept_shape, *(ids.shape[d] for d in dims)]
    return mixed.reshape(sizes).permute(*np.argsort([*kept, *dims]).tolist())


def _mix_blocks(graph: GraphBuilder, run: torch.Tensor, shape: Sequence[int], name: str) -> torch.Tensor:
    source = graph.layer_at(int(run[0]))
    mixed = graph.new_layer(name, run.numel())
    first = int(run[0]) - graph.layers[source].start
    target = len(graph.layers) - 1
    graph.layers[-1].incoming.append(Wiring(str(source), str(target), shape[0], shape[1], shape[1], first))
    return mixed


def _one_layer(graph: GraphBuilder, run: torch.Tensor) -> bool:
    return graph.layer_at(int(run[0])) == graph.layer_at(int(run[-1]))


def renewed(graph: GraphBuilder, ids: torch.Tensor, name: str) -> tuple[torch.Tensor, int, torch.Tensor]:
    """Add a layer that passes the distinct units of `ids` on, for something to act on them.

    Returns
    -------
    ids : Tensor
        The new ids, in the place of the old ones.
    layer : int
        Number of the new layer.
    which : Tensor of int64, shape of `ids`
        Unit, counted inside the new layer, of each element.
    """
    distinct, which = unique_rows(ids.reshape(-1, 1))
    fresh = combine(graph, distinct, name)
    which = which.reshape(ids.shape)
    return fresh[which], len(graph.layers) - 1, which


def _passed_on(rows: torch.Tensor, product: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """Return for each row the id that goes on unchanged, and which rows need a new unit."""
    largest = rows.amax(dim=1)
    units = rows >= 0
    smallest = torch.where(units, rows, largest[:, None]).amin(dim=1)
    single = smallest == largest
    if product:
        zero = (rows == ZERO).any(dim=1)
        result = torch.where(zero, ZERO, torch.where(units.any(dim=1), largest, PRESENT))
        return result, units.any(dim=1) & ~single & ~zero
    present = (rows == PRESENT).any(dim=1)
    result = torch.where(units.any(dim=1), largest, torch.where(present, PRESENT, ZERO))
    return result, units.any(dim=1) & (~single | present)
