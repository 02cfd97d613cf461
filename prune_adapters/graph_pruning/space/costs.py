"""What sub-networks cost, exactly and at once: multiply-adds and parameters follow from the sizes of the tensors."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from torch import nn

from prune_adapters.counts import count_macs
from prune_adapters.graph_pruning.space.places import Axis
from prune_adapters.graph_pruning.space.widths import Counts
from prune_adapters.trace.example import ExampleInputs

__all__ = ["Costs", "costs_of"]

JOINT = "in_proj_weight"
Narrowed = Callable[[Counts], nn.Module]


@dataclass(frozen=True, eq=False)
class Costs:
    """Costs as sums over tensors, each in proportion to ``prod(constants + factors @ counts)`` over two dimensions.

    Parameters
    ----------
    constants : ndarray of int64, shape (n_tensors, 2)
    factors : ndarray of int64, shape (n_tensors, 2, n_widths)
        Size of each tensor along the dimensions that widths decide, as it follows from the counts.
    elements : ndarray of int64, shape (n_tensors,)
        Parameters for each entry along these dimensions.
    uses, per : ndarray of int64, shape (n_tensors,)
        Multiply-adds for so many entries; several, where some belong together, as those of a head.
    fixed_parameters, fixed_macs : int
        What no width changes.
    measured : callable, optional
        Counts the multiply-adds where the sums do not give them.
    """

    constants: np.ndarray
    factors: np.ndarray
    elements: np.ndarray
    uses: np.ndarray
    per: np.ndarray
    fixed_parameters: int
    fixed_macs: int
    measured: Callable[[Counts], int] | None = None

    def parameters(self, counts: Counts) -> int:
        """Return the number of parameters."""
        return self.fixed_parameters + int(self.elements @ self._entries(counts))

    def macs(self, counts: Counts) -> int:
        """Return the multiply-adds of one forward pass."""
        if self.measured is not None:
            return self.measured(counts)
        return self.fixed_macs + int((self.uses * self._entries(counts) // self.per).sum())

    def _entries(self, counts: Counts) -> np.ndarray:
        sizes: np.ndarray = self.constants + self.factors @ np.array(counts, dtype=np.int64)
        return sizes.prod(axis=1)


def costs_of(
    model: nn.Module,
    example_inputs: ExampleInputs,
    axes: Mapping[str, Mapping[int, Axis]],
    full: Counts,
    narrowed: Narrowed,
) -> Costs:
    """Return the costs of a model's sub-networks.

    Each weight of a linear layer or convolution is used as often, however wide the model is, and so are the heads of
    attention. Whether that is all is checked at half of each width; where it is not, the sub-network itself is counted.

    Parameters
    ----------
    model : Module
    example_inputs : Tensor, tuple or dict
    axes : mapping of str to mapping of int to Axis
        Of all tensors that become smaller (see `tensor_axes`).
    full : tuple of int
        Counts of the whole model.
    narrowed : callable
        Takes counts, returns the sub-network.

    Returns
    -------
    Costs
    """
    parameters = dict(model.named_parameters())
    names = [name for name in axes if name in parameters]
    layers = count_macs(model, example_inputs).by_layer()
    uses = _uses(model, layers, names)
    lengths = [[_length(axes[name], dim, len(full)) for dim in _decided(axes[name])] for name in names]
    constants = np.array([[length[0] for length in own] for own in lengths], dtype=np.int64).reshape(-1, 2)
    factors = np.array([[length[1] for length in own] for own in lengths], dtype=np.int64).reshape(-1, 2, len(full))
    entries = (constants + factors @ np.array(full)).prod(axis=1)
    elements = np.array([parameters[name].numel() for name in names], dtype=np.int64) // entries
    macs = np.array([uses.get(name, 0) for name in names], dtype=np.int64)
    common = np.gcd(macs, entries)
    rest = sum(p.numel() for p in parameters.values()) - int(elements @ entries)
    fixed = sum(count for count, _ in layers.values()) - int(macs.sum())
    exact = Costs(constants, factors, elements, macs // common, entries // common, rest, fixed)
    half = tuple(max(1, count // 2) for count in full)
    if exact.macs(half) == count_macs(narrowed(half), example_inputs).macs:
        return exact
    return replace(exact, measured=lambda counts: count_macs(narrowed(counts), example_inputs).macs)


def _uses(model: nn.Module, layers: Mapping[str, tuple[int, int]], names: list[str]) -> dict[str, int]:
    """Return the multiply-adds that go with the weight of each layer, by its name."""
    modules = dict(model.named_modules())
    found: dict[str, int] = {}
    for path, (macs, _) in layers.items():
        last = JOINT if isinstance(modules.get(path), nn.MultiheadAttention) else "weight"
        name = f"{path}.{last}".lstrip(".")
        if name in names:
            found[name] = macs
    return found


def _decided(axes: Mapping[int, Axis]) -> tuple[int, int]:
    """Return the two dimensions that widths may decide, one of them perhaps in vain."""
    dims = sorted(axes)
    assert len(dims) <= 2, "a width decides rows and columns, not more"
    return (dims[0], dims[1]) if len(dims) == 2 else (dims[0], -1)


def _length(axes: Mapping[int, Axis], dim: int, n_widths: int) -> tuple[int, np.ndarray]:
    return axes[dim].length(n_widths) if dim >= 0 else (1, np.zeros(n_widths, dtype=np.int64))
