"""Collects layers, wiring and connections while a program is traced.

Units get ids in order of creation, which is a topological order. `finish` (see `finish.py`) drops what only passed
values on and returns the `NetGraph`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from netgraph import Connection, ElementIndex, ParameterInfo, UnitParameter, Wiring
from prune_adapters.trace.ids import compress, sets_over, unique_rows
from prune_adapters.trace.values import PRESENT, ZERO, Constant, Units, Weight
from prune_adapters.trace.wires import wire_units

__all__ = ["GraphBuilder", "LayerDraft"]

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
        self._gathered: dict[bytes, int] = {}

    # Layers -----------------------------------------------------------------------------------------------------

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
        return np.array([layer.start for layer in self.layers], dtype=np.int64)

    def wire(self, sources: np.ndarray, targets: np.ndarray, layer: int, factor: int = 0) -> None:
        """Join units `sources` to local units `targets` of layer number `layer` by fixed edges."""
        units = sources >= 0
        draft = self.layers[layer]
        for _, wiring in wire_units(sources[units], targets[units], self.starts(), layer, factor):
            draft.incoming.append(wiring)
        constant = targets[sources == PRESENT]
        if constant.size and not draft.product:
            self.shift(layer, None, _one_column(draft.size, constant))

    # Per-unit parameters ----------------------------------------------------------------------------------------

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

    # Fixed wiring -----------------------------------------------------------------------------------------------

    def meet(self, operands: Sequence[torch.Tensor], name: str, product: bool = False) -> torch.Tensor:
        """Return the ids where several id tensors meet element by element, as a sum or as a product.

        Where only one unit meets constants the unit itself goes on, as long as its class cannot change.
        """
        aligned = torch.broadcast_tensors(*operands)
        if all(torch.equal(aligned[0], other) for other in aligned[1:]):
            return compress(aligned[0])
        rows, which = unique_rows(torch.stack([ids.reshape(-1) for ids in aligned], dim=1))
        result, fresh = _passed_on(rows, product)
        if bool(fresh.any()):
            result[fresh] = self.combine(rows[fresh], name, product)
        return compress(result[which].reshape(aligned[0].shape))

    def combine(self, rows: torch.Tensor, name: str, product: bool = False) -> torch.Tensor:
        """Add a layer with one unit for each row, fed by the units of the row; return its ids.

        Column ``j`` of the rows is factor ``j`` of a product.
        """
        ids = self.new_layer(name, rows.shape[0], product)
        layer = len(self.layers) - 1
        columns = rows.numpy()
        if product:
            for factor in range(columns.shape[1]):
                self.wire(columns[:, factor], np.arange(len(columns)), layer, factor)
        else:
            self.wire(columns.reshape(-1), np.repeat(np.arange(len(columns)), columns.shape[1]), layer)
        return ids

    def reduce(self, ids: torch.Tensor, dims: Sequence[int], name: str, keepdim: bool = True) -> torch.Tensor:
        """Return the ids after summing over `dims`: units that differ along them meet in a new unit."""
        dims = sorted(d % ids.dim() for d in dims)
        rows, kept_shape = sets_over(ids, dims)
        result = rows[:, 0].clone()
        fresh = (rows != rows[:, :1]).any(dim=1)
        if bool(fresh.any()):
            distinct, which = unique_rows(rows[fresh])
            result[fresh] = self.combine(distinct, name)[which]
        reduced = result.reshape(kept_shape)
        if keepdim:
            for dim in dims:
                reduced = reduced.unsqueeze(dim)
        return compress(reduced)

    def mix(self, ids: torch.Tensor, dims: Sequence[int], name: str) -> torch.Tensor:
        """Return the ids after an operation in which every element along `dims` depends on all others along them."""
        dims = sorted(d % ids.dim() for d in dims)
        if all(ids.shape[d] == 1 for d in dims):
            return ids
        rows, kept_shape = sets_over(ids, dims)
        kept = [d for d in range(ids.dim()) if d not in dims]
        run = rows.reshape(-1)
        start = int(run[0])
        if start >= 0 and torch.equal(run, torch.arange(start, start + run.numel())) and self._one_layer(run):
            mixed = self._mix_blocks(run, rows.shape, name)
        else:
            common = self.reduce(ids, dims, name + ".statistic")
            return self.meet([ids, common.expand(ids.shape)], name)
        sizes = [*kept_shape, *(ids.shape[d] for d in dims)]
        return mixed.reshape(sizes).permute(*np.argsort([*kept, *dims]).tolist())

    def _mix_blocks(self, run: torch.Tensor, shape: Sequence[int], name: str) -> torch.Tensor:
        source = self.layer_at(int(run[0]))
        mixed = self.new_layer(name, run.numel())
        first = int(run[0]) - self.layers[source].start
        target = len(self.layers) - 1
        self.layers[-1].incoming.append(Wiring(str(source), str(target), shape[0], shape[1], shape[1], first))
        return mixed

    def _one_layer(self, run: torch.Tensor) -> bool:
        return self.layer_at(int(run[0])) == self.layer_at(int(run[-1]))

    def renewed(self, ids: torch.Tensor, name: str) -> tuple[torch.Tensor, int, torch.Tensor]:
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
        fresh = self.combine(distinct, name)
        which = which.reshape(ids.shape)
        return fresh[which], len(self.layers) - 1, which

    # Weighted connections ---------------------------------------------------------------------------------------

    def gathered(self, slots: torch.Tensor, name: str) -> tuple[int, int, int, int]:
        """Return where the units of input slots lie: (layer, first unit, columns, taps), gathering them if need be."""
        units = slots.numpy()
        taps = int(np.argmax(units != units[0])) if len(units) and (units != units[0]).any() else max(len(units), 1)
        columns = len(units) // taps
        start = int(units[0]) if len(units) else 0
        if start >= 0 and columns * taps == len(units):
            run = np.repeat(np.arange(start, start + columns), taps)
            if np.array_equal(run, units) and (not columns or self.layer_at(start) == self.layer_at(start + columns - 1)):
                layer = self.layer_at(start)
                return layer, start - self.layers[layer].start, columns, taps
        key = units.tobytes()
        if key not in self._gathered:
            self.combine(slots.reshape(-1, 1), name + ".input")
            self._gathered[key] = len(self.layers) - 1
        return self._gathered[key], 0, len(units), 1

    def slots(self, ids: torch.Tensor, dim: int, size: int, name: str) -> torch.Tensor:
        """Return one unit id for each of the `size` slots along `dim`; units that share a slot meet in a new unit."""
        others = [d for d in range(ids.dim()) if d != dim % ids.dim()]
        single = self.reduce(ids, others, name + ".slots") if others else ids
        return single.reshape(-1).expand(size) if single.numel() == 1 else single.reshape(-1)

    def connect(self, weight: Weight, slots: torch.Tensor, name: str, order: str, groups: int = 1) -> torch.Tensor:
        """Add a layer of weighted sums over `slots`; return its ids.

        Parameters
        ----------
        weight : Weight
            Axes target, source, then kernel positions with ``order="oi"``; source, target, ... with ``order="io"``.
        slots : Tensor of int64, shape (n_slots,)
            Unit id of each input slot.
        name : str
            Name of the layer.
        groups : int
            Groups of a convolution.
        """
        rows, kernel, strides = self._arranged(weight, order, groups)
        layer, first, columns, taps = self.gathered(slots, name)
        if groups > 1 and columns % groups:
            self.combine(slots.reshape(-1, 1), name + ".input")
            layer, first, columns, taps = len(self.layers) - 1, 0, len(slots), 1
        ids = self.new_layer(name, rows)
        target = str(len(self.layers) - 1)
        for part in self._parts(weight, rows, (columns // groups, taps, kernel), groups, strides, order):
            self.layers[-1].incoming.append(Connection(source=str(layer), target=target, **_shifted(part, first)))
            self.note_role(part["parameter"], "edge")
        return ids

    def _arranged(self, weight: Weight, order: str, groups: int) -> tuple[int, int, tuple[int, int, int, int]]:
        """Return rows, kernel positions and the strides of group, row, source slot and kernel position."""
        target_axis, source_axis = (0, 1) if order == "oi" else (1, 0)
        kernel = int(np.prod(weight.shape[2:], dtype=np.int64))
        outer = groups if order == "io" else 1
        rows = weight.shape[target_axis] * outer
        if weight.index is not None or not _even_steps(weight):
            return rows, kernel, (0, 0, 0, 0)
        row, column = weight.strides[target_axis], weight.strides[source_axis]
        per_group = weight.shape[source_axis] // groups * column if order == "io" else rows // groups * row
        return rows, kernel, (per_group, row, column, weight.strides[-1] if len(weight.shape) > 2 else 1)

    def _parts(
        self, weight: Weight, rows: int, sizes: tuple[int, int, int], groups: int, strides: tuple, order: str
    ) -> list[dict]:
        """Return the fields of the connections that hold a weight: one, or one for each parameter it is made of."""
        columns, taps, kernel = sizes
        common = {"columns": columns, "taps": taps * kernel, "groups": groups}
        group, row, column, tap = strides
        if weight.index is None and _even_steps(weight) and (taps == 1 or kernel == 1):
            step = (group, row, column * taps, column if kernel == 1 else tap)
            index = ElementIndex(weight.offset, step)
            return [{"parameter": weight.name, "rows": rows, "index": index, **common}]
        numbers = weight.numbers(self.element_starts)
        if order == "io":
            per_source = numbers.reshape(groups, -1, *numbers.shape[1:])
            numbers = np.swapaxes(per_source, 1, 2).reshape(rows, -1, *numbers.shape[2:])
        return self._split_by_parameter(numbers.reshape(rows, columns, taps * kernel), common)

    def _split_by_parameter(self, numbers: np.ndarray, common: dict) -> list[dict]:
        starts = np.array([*self.element_starts.values()])
        names = list(self.element_starts)
        owner = np.searchsorted(starts, numbers, side="right") - 1
        parts = []
        for number in dict.fromkeys(owner.reshape(-1).tolist()):
            here = owner == number
            r, c = here.any(axis=(1, 2)).nonzero()[0], here.any(axis=(0, 2)).nonzero()[0]
            block = here[r[0] : r[-1] + 1, c[0] : c[-1] + 1]
            split_groups = common["groups"] > 1 and block.shape != here.shape[:2]
            if number < 0 or (numbers < 0).any() or not block.all() or split_groups:
                raise ValueError("a weight put together from several parameters, or padded, in an irregular way")
            index = numbers[r[0] : r[-1] + 1, c[0] : c[-1] + 1] - starts[number]
            sizes = {"rows": len(r), "columns": len(c), "taps": common["taps"], "groups": common["groups"]}
            place = {"target_start": int(r[0]), "source_start": int(c[0])}
            parts.append({"parameter": names[number], "index": np.ascontiguousarray(index), **sizes, **place})
        return parts

    # Meeting parameters -----------------------------------------------------------------------------------------

    def act(self, ids: torch.Tensor, actions: Sequence[tuple[Weight | Constant, str]], name: str) -> torch.Tensor:
        """Return the ids after gates and shifts, all of the rank of `ids`, acted on each unit in turn.

        A unit is shared over positions, so every element that meets it anywhere acts on it.
        """
        if all(isinstance(other, Constant) and not self._matters(other, role, ids) for other, role in actions):
            for source in (s for other, role in actions if role == "gate" for s in other.sources):
                self.note_role(source, "gate")
            return ids
        ids, layer, which = self.renewed(ids, name)
        for other, role in actions:
            if isinstance(other, Weight):
                self._act_weight(layer, other.numbers(self.element_starts), which.numpy(), role)
            elif role == "shift" and other.buffer:
                self._act_buffer(layer, other, which.numpy())
            elif role == "shift":
                for source in other.sources or (None,):
                    self.shift(layer, source, None)
            else:
                for source in other.sources:
                    self.note_role(source, "gate")
        return compress(ids)

    def held(self, weight: Weight, name: str) -> torch.Tensor:
        """Add a layer of constant units, one for each element of a parameter; return their ids."""
        numbers = weight.numbers(self.element_starts)
        distinct, which = np.unique(numbers, return_inverse=True)
        ids = self.new_layer(name, len(distinct))
        self._act_weight(len(self.layers) - 1, numbers, which.reshape(numbers.shape), "shift")
        return compress(ids[torch.from_numpy(which.reshape(numbers.shape))])

    def _matters(self, other: Constant, role: str, ids: torch.Tensor) -> bool:
        return role == "shift" and (bool(other.sources) or bool(other.buffer) or not self.surely_present(ids))

    def _act_weight(self, layer: int, numbers: np.ndarray, which: np.ndarray, role: str) -> None:
        starts = np.array([*self.element_starts.values()])
        owners = np.unique(np.searchsorted(starts, numbers[numbers >= 0], side="right") - 1)
        for owner in owners.tolist():
            index = _elements_of_units(numbers, which, owner, starts, self.layers[layer].size)
            (self.gate if role == "gate" else self.shift)(layer, list(self.element_starts)[owner], index)

    def _act_buffer(self, layer: int, buffer: Constant, which: np.ndarray) -> None:
        numbers = np.arange(int(np.prod(buffer.shape, dtype=np.int64))).reshape(buffer.shape)
        index = _elements_of_units(numbers, which, 0, np.zeros(1, dtype=np.int64), self.layers[layer].size)
        self.shift(layer, buffer.buffer, index)
        self.buffers[buffer.buffer] = ParameterInfo((numbers.size,), "constant")

    def surely_present(self, ids: torch.Tensor) -> bool:
        """Return whether no mask can make one of these units zero, so that one more constant changes no class."""
        units = ids[ids >= 0].numpy()
        for number in np.unique(np.searchsorted(self.starts(), units, side="right") - 1).tolist():
            last = self.layers[number].unit_parameters[-1:]
            if not last or last[0].role != "shift" or last[0].parameter or last[0].index is not None:
                return False
        return bool((ids != ZERO).all())

    def parameter_infos(self) -> dict[str, ParameterInfo]:
        """Return shape and role of every parameter."""
        return {name: ParameterInfo(tuple(shape), self.roles[name]) for name, shape in self.shapes.items()}


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


def _one_column(size: int, units: np.ndarray) -> np.ndarray:
    index = np.full((size, 1), -1, dtype=np.int64)
    index[units] = 0
    return index


def _shifted(part: dict, first: int) -> dict:
    return {**part, "source_start": part.get("source_start", 0) + first}


def _even_steps(weight: Weight) -> bool:
    """Return whether the kernel positions lie at one step from each other."""
    sizes, strides = weight.shape[2:], weight.strides[2:]
    expected = strides[-1] if strides else 1
    for size, stride in zip(reversed(sizes), reversed(strides), strict=True):
        if size > 1 and stride != expected:
            return False
        expected *= size
    return True


def _elements_of_units(
    numbers: np.ndarray, which: np.ndarray, owner: int, starts: np.ndarray, size: int
) -> np.ndarray:
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
