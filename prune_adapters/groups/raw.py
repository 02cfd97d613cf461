"""Parameters that a forward uses by itself: class tokens, position tables, layer scales.

Such a parameter can lose the entries along one dimension, if that is where it meets channels wherever it is used.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import nn

from prune_adapters.groups.slots import Coupling
from prune_adapters.trace.tape import Tape, refs_in

__all__ = ["ParameterSlots", "RawParameters", "Source", "raw_parameters", "sources_of"]


@dataclass(frozen=True, eq=False)
class Source:
    """Which entry of a parameter each element of a tensor is.

    Parameters
    ----------
    name : str
    sizes : tuple of int
        Shape of the parameter.
    entries : Tensor of int64
        Flat entry numbers, of the shape of the tensor.
    """

    name: str
    sizes: tuple[int, ...]
    entries: torch.Tensor

    @classmethod
    def whole(cls, name: str, sizes: tuple[int, ...]) -> "Source":
        """Return the parameter as it is stored."""
        return cls(name, sizes, torch.arange(torch.Size(sizes).numel()).reshape(sizes))

    def places(self, axis: int) -> torch.Tensor:
        """Return where along `axis` of the parameter each element lies."""
        step = torch.Size(self.sizes[axis + 1 :]).numel()
        return self.entries // step % self.sizes[axis]

    def axis_along(self, dim: int) -> int | None:
        """Return the axis of the parameter that lies in order along dimension `dim`, if there is one."""
        for axis, size in enumerate(self.sizes):
            along = self.places(axis).movedim(dim, -1)
            if size == along.shape[-1] and bool((along == torch.arange(size)).all()):
                return axis
        return None

    def shape_without(self, axis: int, gone: np.ndarray) -> tuple[int, ...]:
        """Return the shape of the tensor after entries along `axis` have gone."""
        places, left = self.places(axis), int((~gone).sum())
        varies = [bool((places != places.narrow(d, 0, 1)).any()) for d in range(places.dim())]
        return tuple(left if v else size for v, size in zip(varies, places.shape, strict=True))


@dataclass(frozen=True, eq=False)
class ParameterSlots:
    """The slots of a parameter along one axis."""

    name: str
    axis: int
    numbers: np.ndarray


@dataclass(eq=False)
class RawParameters:
    """The parameters that have met channels.

    Parameters
    ----------
    met : dict of str to ParameterSlots
    meetings : Counter of str
        How often each did.
    """

    met: dict[str, ParameterSlots] = field(default_factory=dict)
    meetings: Counter[str] = field(default_factory=Counter)
    _otherwise: set[str] = field(default_factory=set)

    def meet(self, source: Source, dim: int, coupling: Coupling) -> ParameterSlots | None:
        """Return the slots of a parameter that meets channels along `dim` of a tensor; None if it lies otherwise."""
        axis = source.axis_along(dim)
        known = self.met.get(source.name)
        if axis is None or (known is not None and known.axis != axis):
            return None
        if known is None:
            known = ParameterSlots(source.name, axis, coupling.new(source.sizes[axis]))
            self.met[source.name] = known
        self.meetings[source.name] += 1
        return known

    def used_otherwise(self, name: str) -> None:
        """Note a use of a parameter that needs it as it is."""
        self._otherwise.add(name)

    def pin_others(self, coupling: Coupling) -> None:
        """Let the channels stay that meet a parameter which is used in another way too."""
        for name in self.met.keys() & self._otherwise:
            coupling.pin(self.met[name].numbers, f"{name!r} is used in several ways")


def raw_parameters(tape: Tape, model: nn.Module) -> dict[str, tuple[int, ...]]:
    """Return the shapes of the parameters, each registered once, that modules other than torch's own use by themselves.

    Parameters
    ----------
    tape : Tape
    model : Module
    """
    registered = [id(p) for _, p in model.named_parameters(remove_duplicate=False)]
    used = {ref.number for call in tape.calls for ref in refs_in((call.args, call.kwargs))}
    found = {}
    for name in (name for number, name in tape.parameters.items() if number in used):
        owner, parameter = model.get_submodule(name.rpartition(".")[0]), model.get_parameter(name)
        if not type(owner).__module__.startswith("torch.") and registered.count(id(parameter)) == 1:
            found[name] = tuple(parameter.shape)
    return found


def sources_of(tape: Tape, raw: Mapping[str, tuple[int, ...]]) -> dict[int, Source]:
    """Return the sources by the numbers of the tape."""
    return {number: Source.whole(name, raw[name]) for number, name in tape.parameters.items() if name in raw}
