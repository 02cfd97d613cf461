"""NetGraph: a network as an explicit directed graph of units.

A unit is one neuron, or one channel of a convolution. Units have contiguous integer ids, layer by layer, in topological
order. An edge joins a source unit to a target unit and carries at least one kept weight; its weights are stored as one
bit each (`netgraph.bits`). Wiring without weights stays implicit (`netgraph.connection`).

What a unit's value can be falls into three classes: zero (identically 0), constant (does not depend on the input) and
live. A layer adds what reaches it, or multiplies it when it is listed in ``products``; then its gates and shifts act.
`netgraph.reach` turns this into accessible and co-accessible units.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import cached_property
from itertools import pairwise
from types import MappingProxyType

import numpy as np

from netgraph.bits import pack_rows, unpack_rows
from netgraph.connection import Connection, ParameterInfo, UnitParameter, Wiring
from netgraph.describe import describe, describe_html, some_names
from netgraph.errors import GraphStructureError
from netgraph.structure import check_structure

__all__ = ["NetGraph"]

EMPTY: Mapping[str, ParameterInfo] = MappingProxyType({})


@dataclass(frozen=True, eq=False, repr=False)
class NetGraph:
    """Directed graph of the units of a network; immutable.

    Parameters
    ----------
    layers : mapping of str to int
        Number of units of each layer, in topological order. The name is the module path.
    connections : tuple of Connection or Wiring
        All edges between layers; the source layer stands before the target layer unless ``feedback`` is set.
    bits : ndarray of uint64, shape (n_words,)
        Kept elements, one bit each, connection after connection in the order of ``weighted``. Not copied.
    inputs, outputs : ndarray of int64
        Ids of the input and the output units.
    products : frozenset of str
        Layers that multiply their factors instead of adding their terms.
    unit_parameters : tuple of UnitParameter
        Gates and shifts, in the order in which they act.
    gate, shift : ndarray of bool, shape (n_units,)
        False where a masked gate makes the unit zero; True where a shift makes it at least a constant.
    parameters : mapping of str to ParameterInfo
        Every parameter of the network with its role.
    buffers : mapping of str to ParameterInfo
        Constant sources that are no parameters (running means), by name; they may be masked too.
    notes : tuple of str
        What a reader of the graph must know (assumptions made while tracing).

    Examples
    --------
    >>> import netgraph as ng, numpy as np
    >>> graph = ng.from_biadjacency([np.array([[1, 0], [0, 0], [1, 0]]), np.array([[1, 1, 0]])])
    >>> graph
    NetGraph: 3 layers, 6 units, 4 of 9 weights kept
      layer   units  weights  kept  from
      layer0      2        -     -  input
      layer1      3        6     2  layer0
      layer2      1        3     2  layer1, output
    """

    layers: Mapping[str, int]
    connections: tuple[Connection | Wiring, ...]
    bits: np.ndarray
    inputs: np.ndarray
    outputs: np.ndarray
    products: frozenset[str] = frozenset()
    unit_parameters: tuple[UnitParameter, ...] = ()
    gate: np.ndarray = None  # type: ignore[assignment]  # None: all open
    shift: np.ndarray = None  # type: ignore[assignment]  # None: as the unit parameters say
    parameters: Mapping[str, ParameterInfo] = field(default_factory=lambda: EMPTY)
    buffers: Mapping[str, ParameterInfo] = field(default_factory=lambda: EMPTY)
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        put = object.__setattr__
        put(self, "layers", MappingProxyType({name: int(size) for name, size in self.layers.items()}))
        put(self, "connections", tuple(self.connections))
        put(self, "parameters", MappingProxyType(dict(self.parameters) or self._parameters_of_connections()))
        put(self, "buffers", MappingProxyType(dict(self.buffers)))
        put(self, "bits", _frozen(self.bits, np.uint64))
        put(self, "inputs", _frozen(self.inputs, np.int64))
        put(self, "outputs", _frozen(self.outputs, np.int64))
        ones = np.ones(self.n_units, dtype=bool)
        put(self, "gate", _frozen(ones if self.gate is None else self.gate, bool))
        put(self, "shift", _frozen(self._unmasked_shift() if self.shift is None else self.shift, bool))
        check_structure(self)

    @cached_property
    def n_units(self) -> int:
        """Number of units."""
        return sum(self.layers.values())

    @cached_property
    def slices(self) -> Mapping[str, slice]:
        """Unit ids of each layer: ``{name: slice}``."""
        ends = np.cumsum([0, *self.layers.values()]).tolist()
        return MappingProxyType({n: slice(a, b) for n, (a, b) in zip(self.layers, pairwise(ends), strict=True)})

    @cached_property
    def weighted(self) -> tuple[Connection, ...]:
        """The connections that carry weights, in order."""
        return tuple(c for c in self.connections if isinstance(c, Connection))

    @cached_property
    def wiring(self) -> tuple[Wiring, ...]:
        """The fixed connections, in order."""
        return tuple(c for c in self.connections if isinstance(c, Wiring))

    @cached_property
    def is_cyclic(self) -> bool:
        """True if any connection is a feedback connection."""
        return any(c.feedback for c in self.connections)

    @cached_property
    def word_starts(self) -> np.ndarray:
        """First word of each weighted connection, then the end: ndarray of int64, shape (n_weighted + 1,)."""
        return np.cumsum([0, *(c.n_words for c in self.weighted)], dtype=np.int64)

    @cached_property
    def _uses(self) -> Mapping[str, tuple[int, ...]]:
        uses: dict[str, list[int]] = {}
        for position, connection in enumerate(self.weighted):
            uses.setdefault(connection.parameter, []).append(position)
        return MappingProxyType({name: tuple(positions) for name, positions in uses.items()})

    @property
    def edge_parameters(self) -> tuple[str, ...]:
        """Names of the parameters with at least one connection, in order of first use."""
        return tuple(self._uses)

    def uses(self, parameter: str) -> tuple[Connection, ...]:
        """Return the connections that use `parameter` (empty for a gate or a constant source)."""
        return tuple(self.weighted[i] for i in self._uses.get(parameter, ()))

    def layer_of(self, unit: int) -> str:
        """Return the name of the layer that holds unit `unit`."""
        if not 0 <= unit < self.n_units:
            raise IndexError(f"unit {unit}: expected 0 <= unit < {self.n_units}")
        ends = np.cumsum(list(self.layers.values()))
        return tuple(self.layers)[int(np.searchsorted(ends, unit, side="right"))]

    def words(self, position: int) -> np.ndarray:
        """Return the words of weighted connection number `position`: a view, ndarray of uint64."""
        return self.bits[self.word_starts[position] : self.word_starts[position + 1]]

    def kept(self, position: int) -> np.ndarray:
        """Return the bits of weighted connection number `position`: ndarray of bool, shape (rows, columns, taps)."""
        c = self.weighted[position]
        return unpack_rows(self.words(position), c.rows, c.width).reshape(c.rows, c.columns, c.taps)

    def edges(self) -> tuple[np.ndarray, np.ndarray]:
        """Return source and target unit of every edge that carries a kept weight: two ndarrays of int64.

        An edge is listed once for each connection that carries it, however many taps are kept.
        """
        sources, targets = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
        for position, c in enumerate(self.weighted):
            row, column = np.nonzero(self.kept(position).any(axis=2))
            group = row // max(c.rows // c.groups, 1)
            sources.append(self.slices[c.source].start + c.source_start + group * c.columns + column)
            targets.append(self.slices[c.target].start + c.target_start + row)
        return np.concatenate(sources), np.concatenate(targets)

    def masks(self) -> dict[str, np.ndarray]:
        """Return one mask for each edge parameter: ``{name: ndarray of bool, shape of the parameter}``, True = kept.

        An element with several uses is kept if any use keeps it; one without a use is removed.
        """
        return {name: self._mask(name) for name in self._uses}

    def with_bits(self, bits: np.ndarray) -> "NetGraph":
        """Return the same graph with other kept elements (``bits`` as in the constructor)."""
        return self._changed(bits=_frozen(bits, np.uint64))

    def with_masks(self, masks: Mapping[str, np.ndarray]) -> "NetGraph":
        """Return the same graph with the elements that `masks` keep; parameters without a mask stay as they are.

        Parameters
        ----------
        masks : mapping of str to ndarray of bool
            Shape of the parameter, True = kept. Masks of gates and shifts act on the units' classes.

        Raises
        ------
        KeyError
            A name is not a parameter of this graph.
        ValueError
            A mask has another shape than its parameter, or is not bool.
        """
        checked = {name: self._checked_mask(name, mask) for name, mask in masks.items()}
        bits = self.bits.copy()
        for position, c in enumerate(self.weighted):
            if c.parameter in checked:
                kept = checked[c.parameter].reshape(-1)[c.elements().reshape(c.rows, c.width)]
                bits[self.word_starts[position] : self.word_starts[position + 1]] = pack_rows(kept)
        gate, shift = self._masked_gate_shift(checked)
        return self._changed(bits=_frozen(bits, np.uint64), gate=_frozen(gate, bool), shift=_frozen(shift, bool))

    def __repr__(self) -> str:
        return describe(self)

    def _repr_html_(self) -> str:
        return describe_html(self)

    def __reduce__(self) -> tuple:
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        # Neither read-only mappings nor what was derived for the kernels can be pickled or deep-copied.
        plain = {name: dict(value) if isinstance(value, Mapping) else value for name, value in values.items()}
        return _rebuilt, (plain,)

    def _changed(self, **values: np.ndarray) -> "NetGraph":
        """Return a graph with the same structure, which has been checked and keeps what was derived from it."""
        if values["bits"].shape != self.bits.shape:
            raise GraphStructureError(f"bits: expected shape {self.bits.shape}, got {values['bits'].shape}")
        changed = object.__new__(NetGraph)
        changed.__dict__.update(self.__dict__ | values)
        return changed

    def _mask(self, name: str) -> np.ndarray:
        mask = np.zeros(self.parameters[name].size, dtype=bool)
        for position in self._uses[name]:
            mask[self.weighted[position].elements()[self.kept(position)]] = True
        return mask.reshape(self.parameters[name].shape)

    def _checked_mask(self, name: str, mask: np.ndarray) -> np.ndarray:
        info = self.parameters.get(name) or self.buffers.get(name)
        if info is None:
            raise KeyError(f"mask for {name!r}: no such parameter; the graph has {some_names(self.parameters)}")
        shape = info.shape
        if np.shape(mask) != shape:
            raise ValueError(f"mask for {name!r}: expected shape {shape}, got {np.shape(mask)}")
        if np.asarray(mask).dtype != bool:
            raise ValueError(f"mask for {name!r}: expected dtype bool, got {np.asarray(mask).dtype}; use mask != 0")
        return np.asarray(mask)

    def _masked_gate_shift(self, masks: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        if not any(u.parameter in masks for u in self.unit_parameters):
            return self.gate, self.shift
        gate, shift = np.ones(self.n_units, dtype=bool), np.zeros(self.n_units, dtype=bool)
        for u in self.unit_parameters:
            units = self.slices[u.layer]
            present = _present(u, masks.get(u.parameter) if u.parameter else None)
            if u.role == "gate":
                gate[units] &= present
                shift[units] &= present
            else:
                shift[units] |= present
        return gate, shift

    def _unmasked_shift(self) -> np.ndarray:
        shift = np.zeros(self.n_units, dtype=bool)
        for u in self.unit_parameters:
            if u.role == "shift":
                shift[self.slices[u.layer]] |= _present(u, None)
        return shift

    def _parameters_of_connections(self) -> dict[str, ParameterInfo]:
        """Describe parameters of a graph that was built by hand: the elements of its connections, flat."""
        sizes: dict[str, int] = {}
        for c in self.connections:
            if isinstance(c, Connection) and c.size > 0:
                sizes[c.parameter] = max(sizes.get(c.parameter, 0), int(c.elements().max()) + 1)
        return {name: ParameterInfo((size,), "edge") for name, size in sizes.items()}


def _rebuilt(values: dict) -> NetGraph:
    return NetGraph(**values)


def _frozen(array: np.ndarray, dtype: type) -> np.ndarray:
    """Return a read-only contiguous view or copy; the caller's own array stays writable."""
    frozen = np.ascontiguousarray(array, dtype=dtype).view()
    frozen.flags.writeable = False
    return frozen


def _present(u: UnitParameter, mask: np.ndarray | None) -> np.ndarray:
    """Return which units the parameter acts on, or one value for all: ndarray of bool, shape (n_units,) or ()."""
    if u.index is None:
        return np.asarray(mask is None or mask.any())
    there = u.index >= 0
    return np.any(there if mask is None else there & mask.reshape(-1)[u.index], axis=1)
