"""Errors that a caller may want to catch.

    NetGraphError
    +-- GraphStructureError (ValueError)    layers, connections or bits do not fit together
    +-- WeightValueError (ValueError)       a weight is NaN, so "kept" has no answer
    +-- GraphFileError (ValueError)         a file is not a graph that this version can read
    +-- InfeasibleDegreeError (ValueError)  no graph with these degrees exists, or none of the wanted kind
    +-- ChannelsBelowNodesError (ValueError)  a layer has fewer channels than its relational graph has nodes
    +-- SearchLimitError (RuntimeError)     a random search has used up its tries

Everything else is a plain ``ValueError``, ``TypeError`` or ``KeyError``.
"""

__all__ = [
    "ChannelsBelowNodesError",
    "GraphFileError",
    "GraphStructureError",
    "InfeasibleDegreeError",
    "NetGraphError",
    "SearchLimitError",
    "WeightValueError",
]


class NetGraphError(Exception):
    """Base class of every error that netgraph raises on purpose."""


class GraphStructureError(NetGraphError, ValueError):
    """Layers, connections, units or bits of a graph do not fit together."""


class WeightValueError(NetGraphError, ValueError):
    """A weight has a value for which "kept or removed" has no answer (NaN)."""


class GraphFileError(NetGraphError, ValueError):
    """A file is not a saved graph, or one that this version cannot read."""


class InfeasibleDegreeError(NetGraphError, ValueError):
    """No graph with these degrees exists, or none of the wanted kind."""


class ChannelsBelowNodesError(NetGraphError, ValueError):
    """A layer has fewer channels than the relational graph for it has nodes."""


class SearchLimitError(NetGraphError, RuntimeError):
    """A random search has used up its tries; the message counts what it has done."""
