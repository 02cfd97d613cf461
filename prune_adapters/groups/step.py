"""One operator call on slots, and what all calls together record."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import nn

from prune_adapters.groups.raw import RawParameters
from prune_adapters.groups.slots import Coupling, Slots, Whole
from prune_adapters.trace.ids import compress
from prune_adapters.trace.registry import Operation

__all__ = ["Facts", "LayerSlots", "Movement", "Recorder", "Step", "along_one_dim"]


@dataclass(frozen=True, eq=False)
class Facts:
    """What masks and graph say about a layer with weights.

    Parameters
    ----------
    kept : ndarray of bool, shape (groups, outputs a group, inputs a group)
        Whether any weight between two channels is kept.
    classes : ndarray of uint8, shape (n_inputs,)
        What each input channel can be: 0 zero, 1 constant, 2 live.
    values : ndarray of float64, shape (n_inputs,)
        The value of each constant input, NaN where it is not known.
    """

    kept: np.ndarray
    classes: np.ndarray
    values: np.ndarray


@dataclass(frozen=True, eq=False)
class LayerSlots:
    """The slots of a layer that can be rebuilt smaller.

    Parameters
    ----------
    path : str
        Module path.
    inputs, outputs : ndarray of int64
        Slot of each input and output channel; of a norm both are the same.
    uniform : ndarray of bool, shape (n_inputs,)
        As in `Slots`.
    """

    path: str
    inputs: np.ndarray
    outputs: np.ndarray
    uniform: np.ndarray


@dataclass(frozen=True, eq=False)
class Movement:
    """A call whose numbers (where to cut, how far to roll) stay what they are when channels go.

    Parameters
    ----------
    move : callable
        The call, on any tensor.
    source : Slots
    places : tuple of (int, ndarray of int64)
        For each result its channel dimension, and the index in `source` that each of its channels comes from.
    label : str
        The operator and its place, in words.
    """

    move: Callable[[torch.Tensor], Sequence[torch.Tensor]]
    source: Slots
    places: tuple[tuple[int, np.ndarray], ...]
    label: str


@dataclass(eq=False)
class Recorder:
    """What a replay on slots collects.

    Parameters
    ----------
    modules : mapping of str to Module
        Modules that can be rebuilt: of a known type, called once, with parameters of their own.
    facts : mapping of str to Facts
        By module path.
    values : dict of int to (Slots or Whole)
        Every tensor of the tape, by its number.
    raw : RawParameters
        Parameters that a forward uses by itself, once they have met channels.
    """

    modules: Mapping[str, nn.Module]
    facts: Mapping[str, Facts]
    coupling: Coupling = field(default_factory=Coupling)
    layers: list[LayerSlots] = field(default_factory=list)
    movements: list[Movement] = field(default_factory=list)
    values: dict[int, Slots | Whole] = field(default_factory=dict)
    raw: RawParameters = field(default_factory=RawParameters)


@dataclass(frozen=True, eq=False)
class Step(Operation):
    """One operator call whose tensors are `Slots` or `Whole`.

    Parameters
    ----------
    recorder : Recorder
    """

    recorder: Recorder

    @property
    def label(self) -> str:
        """The operator and its place, in words."""
        return f"{self.packet.partition('.')[2]} in {self.module!r}" if self.module else self.packet.partition(".")[2]

    def operands(self) -> list[Slots | Whole]:
        """Return all tensor arguments, those in lists included."""
        found: list[Slots | Whole] = []
        for argument in (*self.args, *self.kwargs.values()):
            items = argument if isinstance(argument, (list, tuple)) else (argument,)
            found += [item for item in items if isinstance(item, (Slots, Whole))]
        return found

    def pin(self, reason: str) -> None:
        """Let every slot among the arguments stay; `reason` goes on after the name of the operator."""
        for operand in self.operands():
            if isinstance(operand, Slots):
                self.recorder.coupling.pin(operand.numbers, f"{self.label} {reason}")

    def refused(self, reason: str) -> tuple[Slots | Whole, ...]:
        """Pin all arguments and return results that keep their size."""
        self.pin(reason)
        return tuple(Whole(shape) for shape in self.shapes)

    def met(self, value: Whole, dim: int) -> np.ndarray | None:
        """Return the slots of a raw parameter that meets channels along `dim` of its tensor; None if it is none."""
        if value.source is None:
            return None
        found = self.recorder.raw.meet(value.source, dim, self.recorder.coupling)
        return None if found is None else found.numbers

    def results(self, numbers: np.ndarray, dim: int, uniform: np.ndarray) -> tuple[Slots | Whole, ...]:
        """Return the first output with these slots; further outputs (indices, statistics) keep their size.

        A single channel stays: nothing could be computed from no channel at all.
        """
        if len(numbers) == 1:
            self.recorder.coupling.pin(numbers, f"{self.label} has only this channel")
            return tuple(Whole(shape) for shape in self.shapes)
        return (Slots(numbers, dim, self.shape, uniform), *(Whole(shape) for shape in self.shapes[1:]))

    def uniform_if(self, value: Slots, kept: bool) -> tuple[Slots | Whole, ...]:
        """Return the output with the slots of `value` in place; with `kept` uniform channels stay uniform."""
        return self.results(value.numbers, value.dim, value.uniform & kept)


def along_one_dim(ids: torch.Tensor) -> tuple[int, np.ndarray] | None:
    """Return the one dimension along which ids change, and the ids along it; None if it is not exactly one.

    Examples
    --------
    >>> along_one_dim(torch.tensor([[0, 1, 2], [0, 1, 2]]))
    (1, array([0, 1, 2]))
    """
    small = compress(ids)
    dims = [d for d in range(small.dim()) if small.shape[d] > 1]
    return (dims[0], small.reshape(-1).numpy()) if len(dims) == 1 else None
