"""Collects layers, wiring and connections while a program is traced.

Units get ids in order of creation, which is a topological order. `finish` (see `finish.py`) drops what only passed
values on and returns the `NetGraph`.
"""

from dataclasses import dataclass, field, replace

import numpy as np
import torch

from netgraph import Connection, ParameterInfo, UnitParameter, Wiring
from prune_adapters.trace.values import PRESENT
from prune_adapters.trace.wires import wire_units

__all__ = ["GraphBuilder", "LayerDraft", "one_column"]

ROLES = ("unused", "constant", "gate", "edge")


@dataclass
class LayerDraft:
    """A layer under construction: what flows in, and what acts on its units."""

    name: str
    size: int
    start: int
    product: bool = False
    incoming: list[Connection | Wiring] = field(default_factory=list)
    unit_parameters: list[UnitParameter] = field(default_factory=list)


class GraphBuilder:
    """Mutable counterpart of a `NetGraph`; layers are known by number until it is finished."""

    def __init__(self, parameters: dict[str, tuple[int, ...]]) -> None:
        self.layers: list[LayerDraft] = []
        self.n_units = 0
        self.inputs: list[int] = []
        self.outputs: list[torch.Tensor] = []
        self.shapes = parameters
        self.roles = dict.fromkeys(parameters, "unused")
        self.buffers: dict[str, ParameterInfo] = {}
        self.notes: list[str] = []
        ends = np.cumsum([0, *(int(np.prod(shape, dtype=np.int64)) for shape in parameters.values())]).tolist()
        self.element_starts = dict(zip(parameters, ends[:-1], strict=True))
        self._names: dict[str, int] = {}
        self.gathered: dict[bytes, int] = {}

    def new_layer(self, name: str, size: int, product: bool = False) -> torch.Tensor:
        """Add a layer of `size` units; return their ids."""
        count = self._names[name] = self._names.get(name, 0) + 1
        unique = name if count == 1 else f"{name}#{count}"
        self.layers.append(LayerDraft(unique, size, self.n_units, product))
        self.n_units += size
        return torch.arange(self.n_units - size, self.n_units)

    def input_layer(self, name: str, size: int) -> torch.Tensor:
        """Add a layer of input units; return their ids."""
        self.inputs.append(len(self.layers))
        return self.new_layer(name, size)

    def layer_at(self, unit: int) -> int:
        """Return the number of the layer that holds a unit."""
        return int(np.searchsorted(self.starts(), unit, side="right")) - 1

    def starts(self) -> np.ndarray:
        """Return the first unit id of each layer: ndarray of int64."""
        return np.array([layer.start for layer in self.layers], dtype=np.int64)

    def wire(self, sources: np.ndarray, targets: np.ndarray, layer: int, factor: int = 0) -> None:
        """Join units `sources` to local units `targets` of layer number `layer` by fixed edges."""
        units = sources >= 0
        draft = self.layers[layer]
        for _, wiring in wire_units(sources[units], targets[units], self.starts(), layer, factor):
            draft.incoming.append(wiring)
        constant = targets[sources == PRESENT]
        if constant.size and not draft.product:
            self.shift(layer, None, one_column(draft.size, constant))

    def feed_back(self, sources: np.ndarray, layer: int) -> None:
        """Join units `sources`, one for each unit of layer number `layer`, to it by fixed edges that close a cycle."""
        for _, wiring in wire_units(sources, np.arange(len(sources)), self.starts(), layer):
            self.layers[layer].incoming.append(replace(wiring, feedback=True))

    def shift(self, layer: int, parameter: str | None, index: np.ndarray | None) -> None:
        """Let a constant source act on the units of a layer (after what already acts on them)."""
        self.layers[layer].unit_parameters.append(UnitParameter(parameter, "shift", str(layer), index))
        self.note_role(parameter, "constant")

    def gate(self, layer: int, parameter: str, index: np.ndarray | None) -> None:
        """Let a per-unit scale act on the units of a layer (after what already acts on them)."""
        self.layers[layer].unit_parameters.append(UnitParameter(parameter, "gate", str(layer), index))
        self.note_role(parameter, "gate")

    def note_role(self, parameter: str | None, role: str) -> None:
        """Remember the strongest role of a parameter."""
        if parameter in self.roles and ROLES.index(role) > ROLES.index(self.roles[parameter]):
            self.roles[parameter] = role

    def parameter_infos(self) -> dict[str, ParameterInfo]:
        """Return shape and role of every parameter."""
        return {name: ParameterInfo(tuple(shape), self.roles[name]) for name, shape in self.shapes.items()}


def one_column(size: int, units: np.ndarray) -> np.ndarray:
    """Return the index of a source that acts on some of `size` units: 0 for those, -1 for the others."""
    index = np.full((size, 1), -1, dtype=np.int64)
    index[units] = 0
    return index
