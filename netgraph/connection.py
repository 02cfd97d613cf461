"""What joins two layers: a use of a parameter, fixed wiring, and the per-unit parameters between them.

A `Connection` is one use of (part of) one parameter: every element of that part is one possible edge tap. A `Wiring`
is fixed: identity skips, flatten, pooling over units, mixing by a normalisation or by attention, gathering of
channels. It holds no weight, is never prunable and is never exploded into edges unless a converter asks for it.
A `UnitParameter` acts on single units: a norm's scale (gate) or a bias, running mean or position table (shift).
"""

from dataclasses import dataclass, field

import numpy as np

from netgraph.bits import n_words

__all__ = ["Connection", "ElementIndex", "ParameterInfo", "UnitParameter", "Wiring"]


@dataclass(frozen=True, slots=True)
class ElementIndex:
    """Where the bits of a connection sit in the flat parameter.

    Element ``(row, column, tap)`` of the connection, with ``row = group * rows_per_group + local``, is element
    ``offset + group * strides[0] + local * strides[1] + column * strides[2] + tap * strides[3]``.

    Parameters
    ----------
    offset : int
        Flat index of the first element.
    strides : tuple of 4 int
        Steps of group, row within the group, column and tap, in elements.

    Examples
    --------
    A convolution weight of shape (8, 4, 3, 3), one group:

    >>> ElementIndex(0, (288, 36, 9, 1)).of(8, 4, 9, 1).shape
    (8, 4, 9)
    """

    offset: int
    strides: tuple[int, int, int, int]

    def of(self, rows: int, columns: int, taps: int, groups: int) -> np.ndarray:
        """Return the flat element index of each bit: ndarray of int64, shape (rows, columns, taps)."""
        return self.of_rows(np.arange(rows, dtype=np.int64), columns, taps, rows // groups if groups else 0)

    def of_rows(self, rows: np.ndarray, columns: int, taps: int, rows_per_group: int) -> np.ndarray:
        """Return the flat element index of each bit of some rows: ndarray of int64, shape (n, columns, taps)."""
        group, local = np.divmod(rows, max(rows_per_group, 1))
        starts = self.offset + group * self.strides[0] + local * self.strides[1]
        steps = [np.arange(n, dtype=np.int64) * s for n, s in zip((columns, taps), self.strides[2:], strict=True)]
        return starts[:, None, None] + steps[0][:, None] + steps[1]


@dataclass(frozen=True, slots=True, eq=False)
class Connection:
    """One use of (part of) one parameter between two layers.

    Row ``r`` belongs to target unit ``target_start + r``. With ``groups`` groups, the rows of group ``g`` see the
    source units ``source_start + g * columns`` up to ``source_start + (g + 1) * columns``, each through ``taps``
    elements.

    Parameters
    ----------
    parameter : str
        Name as in ``named_parameters()``.
    source, target : str
        Layer names.
    rows, columns, taps, groups : int
        Target units, source units a group, elements for each pair of units (kernel positions), groups.
    index : ElementIndex or ndarray of int64, shape (rows, columns, taps)
        Where each bit sits in the flat parameter.
    source_start, target_start : int
        First unit, counted inside the layer.
    feedback : bool
        True for the connections that close a cycle.
    """

    parameter: str
    source: str
    target: str
    rows: int
    columns: int
    taps: int = 1
    groups: int = 1
    index: ElementIndex | np.ndarray = field(default=ElementIndex(0, (0, 0, 0, 0)))
    source_start: int = 0
    target_start: int = 0
    feedback: bool = False

    @property
    def width(self) -> int:
        """Bits in a row: columns times taps."""
        return self.columns * self.taps

    @property
    def size(self) -> int:
        """Number of elements (bits)."""
        return self.rows * self.columns * self.taps

    @property
    def n_words(self) -> int:
        """Number of 64-bit words that hold the bits."""
        return n_words(self.rows, self.width)

    @property
    def contiguous_offset(self) -> int | None:
        """Flat offset of the part if its elements lie in the order of the bits, else None."""
        if not isinstance(self.index, ElementIndex):
            return None
        per_group = self.rows // self.groups if self.groups else 0
        order = (per_group * self.width, self.width, self.taps, 1)
        sizes = (self.groups, per_group, self.columns, self.taps)
        same = all(s == o or n <= 1 for s, o, n in zip(self.index.strides, order, sizes, strict=True))
        return self.index.offset if same else None

    @property
    def is_distinct(self) -> bool:
        """Whether each element has one bit: not in an expanded parameter, and False where only counting could tell."""
        if not isinstance(self.index, ElementIndex):
            return len(np.unique(self.index)) == self.size
        sizes = (self.groups, self.rows // max(self.groups, 1), self.columns, self.taps)
        reach = 1
        for stride, size in sorted((abs(stride), size) for stride, size in zip(self.index.strides, sizes, strict=True)):
            if size > 1 and stride < reach:
                return False
            reach += stride * (size - 1)
        return True

    def elements(self) -> np.ndarray:
        """Return the flat parameter index of each bit: ndarray of int64, shape (rows, columns, taps)."""
        if isinstance(self.index, np.ndarray):
            return self.index
        return self.index.of(self.rows, self.columns, self.taps, self.groups)

    def elements_of(self, start: int, stop: int) -> np.ndarray:
        """Return `elements` of the rows from `start` to `stop`: ndarray of int64, shape (stop - start, columns, taps).

        Takes memory for those rows only.
        """
        if isinstance(self.index, np.ndarray):
            return self.index[start:stop]
        rows = np.arange(start, stop, dtype=np.int64)
        return self.index.of_rows(rows, self.columns, self.taps, self.rows // self.groups)


@dataclass(frozen=True, slots=True, eq=False)
class Wiring:
    """Fixed edges between two layers, stored by their pattern.

    Either ``groups`` blocks, each joining ``fan_in`` consecutive source units to ``fan_out`` consecutive target units
    all to all, or explicit ``pairs``. The pattern names: identity (1 to 1), repeat (1 to n: flatten, expand),
    grouped (n to 1: pooling over units, heads), mix (n to m: layer norm), pairs (channel shuffle).

    Parameters
    ----------
    source, target : str
        Layer names.
    groups, fan_in, fan_out : int
        Blocks, source units and target units a block.
    source_start, target_start : int
        First unit, counted inside the layer.
    pairs : ndarray of int32, shape (2, n), or None
        Source and target unit of each edge, counted inside the layer; replaces the block pattern.
    factor : int
        Which factor of a product layer this wiring feeds; 0 elsewhere.
    feedback : bool
        True for wiring that closes a cycle.
    """

    source: str
    target: str
    groups: int
    fan_in: int = 1
    fan_out: int = 1
    source_start: int = 0
    target_start: int = 0
    pairs: np.ndarray | None = None
    factor: int = 0
    feedback: bool = False

    @property
    def parameter(self) -> None:
        """Always None: wiring has no weights."""
        return None

    @property
    def kind(self) -> str:
        """Return "identity", "repeat", "grouped", "mix" or "pairs"."""
        if self.pairs is not None:
            return "pairs"
        if self.fan_in == 1:
            return "identity" if self.fan_out == 1 else "repeat"
        return "grouped" if self.fan_out == 1 else "mix"

    @property
    def n_edges(self) -> int:
        """Number of fixed edges."""
        if self.pairs is not None:
            return self.pairs.shape[1]
        return self.groups * self.fan_in * self.fan_out

    def edges(self) -> tuple[np.ndarray, np.ndarray]:
        """Return source and target unit of each edge, counted inside the layers: two ndarrays of int64."""
        if self.pairs is not None:
            return self.pairs[0].astype(np.int64), self.pairs[1].astype(np.int64)
        block = np.arange(self.groups, dtype=np.int64)[:, None, None]
        source = self.source_start + block * self.fan_in + np.arange(self.fan_in)[None, :, None]
        target = self.target_start + block * self.fan_out + np.arange(self.fan_out)[None, None, :]
        shape = (self.groups, self.fan_in, self.fan_out)
        return np.broadcast_to(source, shape).reshape(-1), np.broadcast_to(target, shape).reshape(-1)


@dataclass(frozen=True, slots=True, eq=False)
class UnitParameter:
    """A parameter, buffer or constant that acts on single units of a layer.

    A gate multiplies the unit (norm scale, layer scale), a shift adds a constant to it (bias, running mean, position
    table, or a function with f(0) != 0). Those of one layer act in the order of ``NetGraph.unit_parameters``.

    Parameters
    ----------
    parameter : str or None
        Name, or None for a shift that no parameter holds (sigmoid, softmax, a literal).
    role : {"gate", "shift"}
    layer : str
        Layer it acts on.
    index : ndarray of int64, shape (n_units, m), or None
        Flat elements of the parameter that act on each unit, -1 where there is none. Without a mask an element
        counts as present whatever its value. None: all units, not maskable.
    """

    parameter: str | None
    role: str
    layer: str
    index: np.ndarray | None = None


@dataclass(frozen=True, slots=True)
class ParameterInfo:
    """What the tracer found out about one parameter.

    Parameters
    ----------
    shape : tuple of int
    role : {"edge", "gate", "constant", "unused"}
        Its strongest role: prunable edges, per-unit scale, constant source, or no effect on an output.
    """

    shape: tuple[int, ...]
    role: str

    @property
    def size(self) -> int:
        """Number of elements."""
        return int(np.prod(self.shape, dtype=np.int64))
