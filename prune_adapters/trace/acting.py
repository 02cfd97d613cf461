"""What parameters and constants do to single units: gates and shifts."""

from collections.abc import Sequence

import numpy as np
import torch

from netgraph import ParameterInfo
from prune_adapters.trace.builder import GraphBuilder, one_column
from prune_adapters.trace.ids import compress
from prune_adapters.trace.meeting import renewed
from prune_adapters.trace.values import PRESENT, ZERO, Constant, Units, Value, Weight

__all__ = ["act", "held", "ids_of"]


def act(
    graph: GraphBuilder, ids: torch.Tensor, actions: Sequence[tuple[Weight | Constant, str]], name: str
) -> torch.Tensor:
    """Return the ids after gates and shifts, all of the rank of `ids`, acted on each unit in turn.

    A unit is shared over positions, so every element that meets it anywhere acts on it.
    """
    if all(isinstance(other, Constant) and not _matters(graph, other, role, ids) for other, role in actions):
        for source in (s for other, role in actions if role == "gate" for s in other.sources):
            graph.note_role(source, "gate")
        return ids
    ids, layer, which = renewed(graph, ids, name)
    for other, role in actions:
        if isinstance(other, Weight):
            _act_weight(graph, layer, other.numbers(graph.element_starts), which.numpy(), role)
        elif role == "shift" and other.buffer:
            _act_buffer(graph, layer, other.buffer, other.shape, which.numpy())
        elif role == "shift":
            _act_constant(graph, layer, other)
        else:
            for source in other.sources:
                graph.note_role(source, "gate")
    return compress(ids)


def held(graph: GraphBuilder, weight: Weight, name: str) -> torch.Tensor:
    """Add a layer of constant units, one for each element of a parameter; return their ids."""
    numbers = weight.numbers(graph.element_starts)
    distinct, which = np.unique(numbers, return_inverse=True)
    ids = graph.new_layer(name, len(distinct))
    _act_weight(graph, len(graph.layers) - 1, numbers, which.reshape(numbers.shape), "shift")
    return compress(ids[torch.from_numpy(which.reshape(numbers.shape))])


def ids_of(graph: GraphBuilder, value: Value, name: str) -> torch.Tensor:
    """Return the ids of any value: a constant is `PRESENT`, or `ZERO` if all of it is known to be 0."""
    if isinstance(value, Units):
        return value.ids
    if isinstance(value, Weight):
        return held(graph, value, name)
    for source in value.sources:
        graph.note_role(source, "constant")
    is_zero = isinstance(value, Constant) and value.is_zero
    return torch.full([1] * len(value.shape), ZERO if is_zero else PRESENT)


def _matters(graph: GraphBuilder, other: Constant, role: str, ids: torch.Tensor) -> bool:
    if role == "shift" and other.is_zero:
        return False
    return role == "shift" and (bool(other.sources) or bool(other.buffer) or not _surely_present(graph, ids))


def _surely_present(graph: GraphBuilder, ids: torch.Tensor) -> bool:
    """Return whether no mask can make one of these units zero, so that one more constant changes no class."""
    units = ids[ids >= 0].numpy()
    for number in np.unique(np.searchsorted(graph.starts(), units, side="right") - 1).tolist():
        last = graph.layers[number].unit_parameters[-1:]
        if not last or last[0].role != "shift" or last[0].parameter or last[0].index is not None:
            return False
    return bool((ids != ZERO).all())


def _act_weight(graph: GraphBuilder, layer: int, numbers: np.ndarray, which: np.ndarray, role: str) -> None:
    starts = np.array([*graph.element_starts.values()])
    owners = np.unique(np.searchsorted(starts, numbers[numbers >= 0], side="right") - 1)
    present = numbers == PRESENT
    if role == "gate" and present.any():
        # A factor that is a constant keeps the gate open, whatever becomes of the others.
        for owner in owners.tolist():
            graph.note_role(list(graph.element_starts)[owner], "gate")
        return
    if present.any():
        units, shown = np.broadcast_arrays(which, present)
        graph.shift(layer, None, one_column(graph.layers[layer].size, np.unique(units[shown])))
    for owner in owners.tolist():
        index = _elements_of_units(numbers, which, owner, starts, graph.layers[layer].size)
        (graph.gate if role == "gate" else graph.shift)(layer, list(graph.element_starts)[owner], index)


def _act_constant(graph: GraphBuilder, layer: int, other: Constant) -> None:
    """Shift by a computed constant, which masks of its parameters take away only if it is zero without them."""
    for parameter in other.sources if other.vanishes else (None,):
        graph.shift(layer, parameter, None)
    for source in other.sources:
        graph.note_role(source, "constant")


def _act_buffer(graph: GraphBuilder, layer: int, buffer: str, shape: tuple[int, ...], which: np.ndarray) -> None:
    numbers = np.arange(int(np.prod(shape, dtype=np.int64))).reshape(shape)
    index = _elements_of_units(numbers, which, 0, np.zeros(1, dtype=np.int64), graph.layers[layer].size)
    graph.shift(layer, buffer, index)
    graph.buffers[buffer] = ParameterInfo((numbers.size,), "constant")


def _elements_of_units(numbers: np.ndarray, which: np.ndarray, owner: int, starts: np.ndarray, size: int) -> np.ndarray:
    """Return the elements of parameter `owner` that meet each unit: ndarray of int64, shape (size, m), padded by -1."""
    numbers, which = (side.reshape(-1) for side in np.broadcast_arrays(numbers, which))
    local = numbers - starts[owner]
    end = starts[owner + 1] if owner + 1 < len(starts) else np.iinfo(np.int64).max
    mine = (numbers >= starts[owner]) & (numbers < end)
    if len(numbers) == size and mine.all() and np.array_equal(which, np.arange(size)):
        return local.reshape(size, 1)
    span = int(local[mine].max(initial=0)) + 1
    units, elements = np.divmod(np.unique(which[mine] * span + local[mine]), span)
    counts = np.bincount(units, minlength=size)
    index = np.full((size, max(int(counts.max(initial=0)), 1)), -1, dtype=np.int64)
    index[units, np.arange(len(units)) - np.repeat(np.cumsum(counts) - counts, counts)] = elements
    return index
