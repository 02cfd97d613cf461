"""Where things lie on a device: the elements of connections inside of their parameters, and arrays of the graph."""

from collections.abc import Callable, Hashable, Mapping

import numpy as np
import torch

from netgraph import ElementIndex, NetGraph

__all__ = ["Places"]

UPLOADED = "_uploaded"
"""Where a graph keeps its arrays on devices: among the derived values, which a graph with other bits takes over."""


class Places:
    """The elements of the connections of a graph, and its arrays, on one device.

    Parameters
    ----------
    graph : NetGraph
    weights : mapping of str to Tensor
        Parameters in their own shape, all on one device; the others keep the bits that they have in the graph.
    device : device
    """

    def __init__(self, graph: NetGraph, weights: Mapping[str, torch.Tensor], device: torch.device) -> None:
        self.graph = graph
        self.device = device
        self._weights = weights
        self._held = graph.__dict__.setdefault(UPLOADED, {})

    def array(self, name: Hashable, source: object, make: Callable[[], np.ndarray]) -> torch.Tensor:
        """Return on the device what `make` makes of a part of the graph.

        Parameters
        ----------
        name : hashable
            What it goes by.
        source : object
            The part of the graph. It is made and sent again only when this is another object than last time.
        make : callable

        Returns
        -------
        Tensor
        """
        key = name, self.device
        if key not in self._held or self._held[key][0] is not source:
            self._held[key] = source, torch.from_numpy(np.array(make())).to(self.device)
        return self._held[key][1]

    def elements(self, position: int) -> torch.Tensor:
        """Return the elements of a weighted connection, which is kept where one is not 0.

        Parameters
        ----------
        position : int
            Place of the connection in ``graph.weighted``.

        Returns
        -------
        Tensor, shape (rows, columns, taps)
            A view of the parameter where its elements lie in the order of the connection.
        """
        c = self.graph.weighted[position]
        shape = c.rows, c.columns, c.taps
        weight = self._weights.get(c.parameter)
        if weight is None:
            return self._kept(position)
        flat = weight.detach().reshape(-1).contiguous()
        if (offset := c.contiguous_offset) is not None:
            return flat[offset : offset + c.size].view(shape)
        if isinstance(c.index, ElementIndex) and min(c.index.offset, *c.index.strides) >= 0:
            groups = c.groups, c.rows // c.groups, c.columns, c.taps
            return flat.as_strided(groups, c.index.strides, flat.storage_offset() + c.index.offset).reshape(shape)
        return flat[self.indices(position)]

    def indices(self, position: int) -> torch.Tensor:
        """Return the flat parameter index of each element of a connection: Tensor of int64, shape of its elements."""
        c = self.graph.weighted[position]
        return self.array(("indices", position), c, lambda: c.elements().reshape(c.rows, c.columns, c.taps))

    def _kept(self, position: int) -> torch.Tensor:
        return self.array(("kept", position), self.graph.bits, lambda: self.graph.kept(position))
