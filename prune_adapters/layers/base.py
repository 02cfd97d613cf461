"""What sparse and regular layers share: kept weights as the one parameter, and the state of the dense layer."""

import copy
from collections.abc import Callable, Mapping
from typing import Any, Protocol, TypeVar

import torch
from torch import nn

__all__ = ["Plan", "SparseLayer", "put_dense", "take_values"]

PlanT = TypeVar("PlanT", bound="Plan")
Own = TypeVar("Own", bound="SparseLayer")


class Plan(Protocol):
    """What a layer asks of its plan; see `prune_adapters.plans`."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the dense weight, at least its first two dimensions."""

    @property
    def n_values(self) -> int:
        """Number of kept weights."""

    @property
    def device(self) -> torch.device:
        """Where the tables are."""

    def from_dense(self, weight: torch.Tensor) -> torch.Tensor:
        """Return the kept elements of a dense weight."""

    def to_dense(self, values: torch.Tensor) -> torch.Tensor:
        """Return the dense weight with these kept elements."""

    def to(self: PlanT, device: torch.device | str) -> PlanT:
        """Return the plan with its tables on a device."""

    def state(self) -> dict[str, torch.Tensor]:
        """Return all that `from_state` needs."""

    @classmethod
    def from_state(cls: type[PlanT], state: Mapping[str, torch.Tensor]) -> PlanT:
        """Return the plan that had this state."""


class SparseLayer(nn.Module):
    """A layer that holds kept weights only; base class of the sparse and regular layers.

    Parameters
    ----------
    plan : Plan
        Which weights are kept, and the tables of the kernels. Immutable, shared by copies of the layer.
    values : Tensor
        The kept weights in the order of the plan.
    bias : Tensor or None

    Attributes
    ----------
    values : Parameter
        What optimizers, averages and data parallel training see: their size falls with the density.
    bias : Parameter or None
    sparse_state : bool
        What ``state_dict`` holds: False, a dense ``weight`` as the dense layer has it; True, ``values`` and the
        tables. ``load_state_dict`` takes both, whatever it is.
    """

    bias: nn.Parameter | None
    plan: Any
    values: nn.Parameter

    def __init__(self, plan: Plan, values: torch.Tensor, bias: torch.Tensor | None) -> None:
        super().__init__()
        self.plan = plan.to(values.device)
        self.values = _parameter(values)
        self.register_parameter("bias", None if bias is None else _parameter(bias))
        self.sparse_state = False

    @property
    def mask(self) -> torch.Tensor:
        """The mask, in the shape of the dense weight: Tensor of bool, True = kept."""
        return self.whole(torch.ones_like(self.values, dtype=torch.bool))

    @property
    def weight_shape(self) -> torch.Size:
        """Shape of the dense weight."""
        return torch.Size(self.plan.shape)

    @property
    def weight(self) -> torch.Tensor:
        """The dense weight, zeros where removed; a new tensor at each call, through which gradients reach `values`."""
        return self.whole(self.values)

    @property
    def density(self) -> float:
        """Kept weights / all weights of the dense layer."""
        return self.values.numel() / max(self.weight_shape.numel(), 1)

    def to_dense(self) -> nn.Module:
        """Return torch's layer with the same weights, zeros where removed."""
        raise NotImplementedError

    def _own_shape(self, whole: torch.Tensor) -> torch.Tensor:
        """Return what the plan calls a weight in the shape that the dense layer has."""
        return whole

    def _plan_shape(self, weight: torch.Tensor) -> torch.Tensor:
        """Return a tensor of the shape of the dense weight in the shape that the plan has; inverse of `_own_shape`."""
        return weight

    def whole(self, values: torch.Tensor) -> torch.Tensor:
        """Return a tensor of the shape of the dense weight with these kept elements, zeros elsewhere."""
        return self._own_shape(self.plan.to_dense(values))

    def kept(self, weight: torch.Tensor) -> torch.Tensor:
        """Return the kept elements of a tensor that has the shape of the dense weight, in the order of `values`."""
        return self.plan.from_dense(self._plan_shape(weight))

    def __deepcopy__(self: Own, memo: dict[int, Any]) -> Own:
        """Return a copy that shares the plan, so that averages of a model do not hold its tables once more."""
        memo[id(self.plan)] = self.plan
        twin = self.__new__(type(self))
        memo[id(self)] = twin
        twin.__setstate__({key: copy.deepcopy(value, memo) for key, value in self.__getstate__().items()})
        return twin

    def _apply(self: Own, fn: Callable[[torch.Tensor], torch.Tensor], recurse: bool = True) -> Own:
        """Move the tables along with the parameters."""
        super()._apply(fn, recurse)
        if self.plan.device != self.values.device:
            self.plan = self.plan.to(self.values.device)
        return self

    def _save_to_state_dict(self, destination: dict[str, Any], prefix: str, keep_vars: bool) -> None:
        if self.sparse_state:
            super()._save_to_state_dict(destination, prefix, keep_vars)
            destination |= {f"{prefix}plan.{name}": table for name, table in self.plan.state().items()}
            return
        weight = self.weight
        destination[prefix + "weight"] = weight if keep_vars else weight.detach()
        if self.bias is not None:
            destination[prefix + "bias"] = self.bias if keep_vars else self.bias.detach()

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, local_metadata: dict[str, Any], strict: bool, *lists: list[str]
    ) -> None:
        self._take_tables(state_dict, prefix)
        self._take_weight(state_dict, prefix)
        super()._load_from_state_dict(state_dict, prefix, local_metadata, strict, *lists)

    def _take_weight(self, state_dict: dict[str, Any], prefix: str) -> None:
        """Replace a dense weight by its kept elements; one of another shape is left for torch to refuse."""
        weight = state_dict.pop(prefix + "weight", None)
        if weight is None:
            return
        state_dict[prefix + "values"] = self.kept(weight) if weight.shape == self.weight_shape else weight

    def _take_tables(self, state_dict: dict[str, Any], prefix: str) -> None:
        """Take over the tables of a sparse state."""
        start = prefix + "plan."
        names = [name for name in state_dict if name.startswith(start)]
        if names:
            plan = type(self.plan).from_state({name.removeprefix(start): state_dict.pop(name) for name in names})
            if plan.shape == self.plan.shape and plan.n_values == self.plan.n_values:
                self.plan = plan.to(self.values.device)


@torch.no_grad()
def take_values(dense: nn.Module, layer: SparseLayer) -> None:
    """Give a dense layer the weights of a sparse one, its mode, and which parameters are trained."""
    for name, value, like in (("weight", layer.weight, layer.values), ("bias", layer.bias, layer.bias)):
        if value is not None and like is not None:
            dense.get_parameter(name).copy_(value).requires_grad_(like.requires_grad)
    dense.train(layer.training)


def put_dense(model: nn.Module) -> nn.Module:
    """Return the model with dense layers in the places of sparse ones, without masks; it is changed in place."""
    if isinstance(model, SparseLayer):
        return model.to_dense()
    made: dict[nn.Module, nn.Module] = {}
    for parent in list(model.modules()):
        for key, child in parent._modules.items():
            if isinstance(child, SparseLayer):
                parent._modules[key] = made.setdefault(child, child.to_dense())
    return model


def _parameter(tensor: torch.Tensor) -> nn.Parameter:
    return nn.Parameter(tensor.detach().clone(), requires_grad=tensor.requires_grad)
