"""Exchanges the masked layers of a model for sparse and regular ones where those are faster, and back."""

from collections.abc import Mapping

import torch
from torch import nn
from torch.optim import Optimizer

from prune_adapters.apply import apply_masks, remembered_masks
from prune_adapters.layers import SparseLayer
from prune_adapters.masks import bare_module
from prune_adapters.sparsify.forms import build, candidates
from prune_adapters.sparsify.optimizer import Exchange, exchange_parameters
from prune_adapters.sparsify.policy import Policy, choices, machine
from prune_adapters.sparsify.record import SparsifyRecord
from prune_adapters.trace.example import ExampleInputs

__all__ = ["densify", "sparsify"]


def sparsify(
    model: nn.Module,
    masks: Mapping[str, torch.Tensor] | None = None,
    *,
    policy: Policy = "auto",
    example_inputs: ExampleInputs | None = None,
    training: bool = True,
    optimizer: Optimizer | None = None,
) -> SparsifyRecord:
    """Exchange masked layers of `model` for sparse or regular ones where those are faster; return what was chosen.

    The model computes what it computed. Its ``state_dict`` keeps the keys and shapes of the dense model, and loads
    checkpoints of the dense model. Layers that stay dense keep their masks (`apply_masks`), so `keep_masks` is still
    needed for them; `densify` is the way back.

    Parameters
    ----------
    model : Module
        Changed in place. The layers are ``Linear``, ``Conv1d`` and ``Conv2d`` of exactly these types.
    masks : mapping of str to Tensor of bool, optional
        True = kept. None: those that the model remembers.
    policy : {"auto", "measure", "predict", "dense", "sparse", "regular"}, SparsifyRecord, or mapping of str to str
        "measure" times every form of each layer here, on random inputs of the shapes that `example_inputs` lead to;
        "predict" goes by density and blocks, and by the sizes of `example_inputs` if there are any; "auto" measures
        if there are `example_inputs`. A form by its name: that one wherever it fits. A record: its choices. A
        mapping: the form of each layer by its module path, others stay dense.
    example_inputs : Tensor, tuple or dict, optional
        As for `to_graph`.
    training : bool
        What is to be fast: forward and both gradients, or forward alone.
    optimizer : Optimizer, optional
        Goes on with the new parameters, its state cut to the kept weights.

    Returns
    -------
    SparsifyRecord
        Prints as a table; as `policy` it makes the same choices again.

    Raises
    ------
    ValueError
        The model has no mask, the policy is unknown or names a layer or form that is not there, the inputs are missing
        for "measure", or the model itself is the layer. Nothing but the masks has been changed then.
    MaskError
        The masks do not fit the model.

    Examples
    --------
    >>> import torch, prune_adapters as pa
    >>> model = torch.nn.Sequential(torch.nn.Linear(64, 64), torch.nn.ReLU(), torch.nn.Linear(64, 10))
    >>> x = torch.randn(8, 64)
    >>> _ = pa.apply_masks(model, {"0.weight": torch.rand(64, 64) < 0.1})
    >>> before = model(x)
    >>> record = pa.sparsify(model, policy="sparse")
    >>> record.forms, torch.allclose(model(x), before, atol=1e-6)
    ({'0': 'sparse'}, True)
    >>> model.load_state_dict(torch.nn.Sequential(torch.nn.Linear(64, 64), model[1], model[2]).state_dict())
    <All keys matched successfully>
    """
    bare = bare_module(model)
    if masks is not None:
        apply_masks(bare, masks)
    if not remembered_masks(bare):
        raise ValueError(f"sparsify: the model has no masks; {_remedy(bare)}")
    found = candidates(bare)
    if any(candidate.name == "" for candidate in found):
        raise ValueError("sparsify: the model itself is the layer to exchange; put it into a Sequential")
    kind, chosen = choices(bare, found, policy, example_inputs, training)
    forms = {choice.name: choice.form for choice in chosen}
    made = {c.name: build(c, forms[c.name]) for c in found if forms[c.name] != "dense"}
    _exchange(bare, made, optimizer)
    return SparsifyRecord(machine(bare), kind, tuple(chosen))


def densify(model: nn.Module, *, optimizer: Optimizer | None = None) -> nn.Module:
    """Return `model` with dense layers in the places of its sparse and regular ones; it remembers their masks.

    Parameters
    ----------
    model : Module
        Changed in place, unless it is itself a sparse layer.
    optimizer : Optimizer, optional
        Goes on with the dense weights, whose state is 0 where they are removed. `keep_masks` holds the masks then.

    Returns
    -------
    Module
        `model` itself, or the dense layer that it becomes.

    Examples
    --------
    >>> import torch, prune_adapters as pa
    >>> mask = torch.tensor([[True, False], [True, True]])
    >>> pa.remembered_masks(pa.densify(torch.nn.Sequential(pa.SparseLinear(2, 2, mask))))
    {'0.weight': tensor([[ True, False],
            [ True,  True]])}
    """
    bare = bare_module(model)
    if isinstance(bare, SparseLayer):
        return apply_masks(bare.to_dense(), {"weight": bare.mask})
    layers = {name: module for name, module in bare.named_modules() if isinstance(module, SparseLayer)}
    made = {name: layer.to_dense() for name, layer in layers.items()}
    masks = {f"{name}.weight": layer.mask for name, layer in layers.items()}
    _exchange(bare, made, optimizer)
    apply_masks(bare, masks)
    return model


def _remedy(model: nn.Module) -> str:
    if any(isinstance(module, SparseLayer) for module in model.modules()):
        return "its layers are sparse already: call densify(model) first to choose anew"
    return "pass masks, or call apply_masks(model, masks) first"


def _exchange(model: nn.Module, made: Mapping[str, nn.Module], optimizer: Optimizer | None) -> None:
    """Put the layers into the places of those whose module paths they bear."""
    old = {name: model.get_submodule(name) for name in made}
    if optimizer is not None:
        exchange_parameters(optimizer, [e for name in made for e in _exchanges(name, old[name], made[name])])
    for name, layer in made.items():
        for parent, key in _parents(model, old[name]):
            parent._modules[key] = layer


def _exchanges(name: str, old: nn.Module, new: nn.Module) -> list[Exchange]:
    """Return what becomes of the parameters of a layer."""
    if isinstance(new, SparseLayer):
        weights = Exchange(f"{name}.weight", old.get_parameter("weight"), new.values, new.kept)
    else:
        assert isinstance(old, SparseLayer)
        weights = Exchange(f"{name}.values", old.values, new.get_parameter("weight"), old.whole)
    before, after = old._parameters.get("bias"), new._parameters.get("bias")
    return (
        [weights]
        if before is None or after is None
        else [weights, Exchange(f"{name}.bias", before, after, torch.clone)]
    )


def _parents(model: nn.Module, layer: nn.Module) -> list[tuple[nn.Module, str]]:
    """Return every place where a module hangs: a shared one is exchanged everywhere."""
    return [(parent, key) for parent in model.modules() for key, child in parent._modules.items() if child is layer]
