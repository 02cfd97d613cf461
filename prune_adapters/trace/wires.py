"""Fixed edges given one by one, turned into the few patterns that a graph stores.

The tracer knows wiring as two aligned arrays of unit ids. Split by source layer, nearly all of it is one of the block
patterns of `netgraph.Wiring`; what is left is kept as explicit pairs.
"""

from collections.abc import Iterator

import numpy as np

from netgraph import Wiring

__all__ = ["block_pattern", "wire_units"]


def wire_units(
    sources: np.ndarray, targets: np.ndarray, starts: np.ndarray, target: int, factor: int = 0
) -> Iterator[tuple[int, Wiring]]:
    """Yield the wiring of fixed edges from units `sources` to local units `targets` of one layer.

    Parameters
    ----------
    sources, targets : ndarray of int64, shape (n,)
        Source unit ids, and target units counted inside the layer.
    starts : ndarray of int64
        First unit id of each layer.
    target : int
        Number of the target layer.
    factor : int
        Factor of a product layer.

    Yields
    ------
    layer : int
        Number of the source layer.
    wiring : Wiring
        Layers are named by their numbers, as text.
    """
    owner = np.searchsorted(starts, sources, side="right") - 1
    for layer in dict.fromkeys(owner.tolist()):
        chosen = owner == layer
        local = sources[chosen] - starts[layer]
        pattern = block_pattern(local, targets[chosen])
        yield layer, Wiring(str(layer), str(target), factor=factor, **pattern)


def block_pattern(sources: np.ndarray, targets: np.ndarray) -> dict:
    """Return the keyword arguments of the `Wiring` that holds the edges ``sources[i] -> targets[i]``.

    Examples
    --------
    >>> block_pattern(np.array([0, 0, 1, 1]), np.array([4, 5, 6, 7]))
    {'groups': 2, 'fan_in': 1, 'fan_out': 2, 'source_start': 0, 'target_start': 4}
    """
    sources, targets = _sorted_edges(sources, targets)
    for fan_in, fan_out in _candidates(sources, targets):
        groups = len(sources) // (fan_in * fan_out)
        block = Wiring("", "", groups, fan_in, fan_out, int(sources.min()), int(targets.min()))
        expected_sources, expected_targets = block.edges()
        if np.array_equal(expected_sources, sources) and np.array_equal(expected_targets, targets):
            return {
                "groups": groups,
                "fan_in": fan_in,
                "fan_out": fan_out,
                "source_start": block.source_start,
                "target_start": block.target_start,
            }
    return {"groups": len(sources), "pairs": np.stack([sources, targets]).astype(np.int32)}


def _sorted_edges(sources: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the distinct edges by source, then by target."""
    span = int(targets.max(initial=0)) + 1
    keys = sources * span + targets
    if not (keys[1:] > keys[:-1]).all():
        keys = np.unique(keys)
    return keys // span, keys % span


def _candidates(sources: np.ndarray, targets: np.ndarray) -> Iterator[tuple[int, int]]:
    """Yield the block sizes that the number of edges at the first source and at the first target allow."""
    if not len(sources):
        return
    fan_out = int(np.searchsorted(sources, sources[0], side="right"))
    fan_in = int((targets == targets.min()).sum())
    if len(sources) % (fan_in * fan_out) == 0:
        yield fan_in, fan_out
