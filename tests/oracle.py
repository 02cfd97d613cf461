"""What autograd says about a masked network: the judge of the graph, independent of the tracer.

Two oracles, both on a deep copy in float64 and eval mode:

- `live_masks`: an element of a weight is live iff the gradient of the output with respect to it is not 0. The copy has
  positive weights and inputs, no biases, and no tables, so that terms cannot cancel and ReLU stays open.
- `value_classes`: every channel of a module's output is zero, constant or live. The copy has random biases, so
  constants exist.

Why no threshold is needed: a structural zero is a sum of products that each have a factor 0, and those are exact in
floating point. Rounding can only make something nonzero that cancels on paper (the mean of a normalised channel, say),
and such a cancellation is not structural: the graph calls it live too. Double precision convolutions on the CPU
multiply and add directly (no Winograd, no FFT), which keeps this true.

Why convolutions wrap around: the graph shares a unit over all positions and knows no image size, so it takes every tap
to see data somewhere. With zero padding that asks for large images (a tap may see only padding at the few positions
that matter); with circular padding it holds at any size, for then every position of a live channel is live.

How values are kept off the flat parts of activations: inputs are near `SCALE` and weights sum to 1 over each row, so
ReLU6, sigmoid and GELU work near 0. Layer, group and instance norm give both signs whatever comes in, and a channel
that is always below its group's mean would stay shut behind a ReLU: the signs of their gains are drawn anew each time.
"""

import copy
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd
from torch.nn.modules.instancenorm import _InstanceNorm
from torch.nn.utils import parametrize

__all__ = ["CONSTANT", "LIVE", "ZERO", "call", "input_gradient", "live_masks", "random_masks", "value_classes"]

ZERO, CONSTANT, LIVE = 0, 1, 2

SCALE = 1e-4
"""Size of inputs and biases."""

MIXING_NORMS = (nn.LayerNorm, nn.GroupNorm, _InstanceNorm)
GATES = ("scale", "layer_scale", "original0")
"""Last part of the names of parameters that multiply units and belong to no norm module."""

Inputs = Tensor | tuple[Tensor, ...] | dict[str, Tensor]
Masks = Mapping[str, Tensor]


def random_masks(model: nn.Module, names: Iterable[str], density: float, *, seed: int) -> dict[str, Tensor]:
    """Return a mask for each named parameter that keeps every element with probability `density`."""
    generator = torch.Generator().manual_seed(seed)
    parameters = dict(model.named_parameters())
    return {name: torch.rand(parameters[name].shape, generator=generator) < density for name in names}


def live_masks(
    model: nn.Module, example_inputs: Inputs, masks: Masks, *, wrap: bool = True, draws: int = 3, seed: int = 0
) -> dict[str, Tensor]:
    """Return which kept elements the output depends on: ``{name: bool tensor of the parameter's shape}``.

    Parameters
    ----------
    model : nn.Module
        Not changed.
    example_inputs : Tensor, tuple or dict of Tensor
        Give the shapes; real inputs are drawn positive, integer inputs are shuffled.
    masks : mapping of str to bool Tensor
        One for every edge parameter, True = kept. Parameters without a mask are gains (norms, layer scale: random),
        or constants (set to 0).
    wrap : bool
        Whether convolutions that pad with zeros wrap around instead.
    draws : int
        An element is live if its gradient is not 0 in any of this many draws of inputs, gains and output projection.
    seed : int

    Returns
    -------
    dict of str to bool Tensor
        A subset of `masks`.
    """
    generator = torch.Generator().manual_seed(seed)
    positive = positive_copy(model, masks, wrap=wrap)
    weights = edge_weights(positive, masks)
    live = {name: torch.zeros_like(mask) for name, mask in masks.items()}
    for _ in range(draws):
        draw_units(positive, set(masks), generator, constants=0.0)
        gradients = torch.autograd.grad(
            project(call(positive, draw_inputs(example_inputs, generator)), generator),
            list(weights.values()),
            allow_unused=True,
        )
        for name, gradient in zip(weights, gradients, strict=True):
            if gradient is not None:
                assert torch.isfinite(gradient).all(), f"gradient of {name!r} is not finite"
                live[name] |= (gradient != 0) & masks[name]
    return live


def value_classes(
    model: nn.Module,
    example_inputs: Inputs,
    masks: Masks,
    modules: Sequence[str],
    *,
    channel_dims: Mapping[str, int] | None = None,
    draws: int = 3,
    seed: int = 0,
) -> dict[str, np.ndarray]:
    """Return the class of every channel of some modules' outputs under random nonzero biases.

    A channel is `ZERO` if it is 0 everywhere for every input, `CONSTANT` if it is the same for every input (it may
    differ between positions), else `LIVE`. The largest class over `draws` draws of the biases counts.

    Parameters
    ----------
    model, example_inputs, masks, draws, seed
        As in `live_masks`.
    modules : sequence of str
        Paths as in ``named_modules()``.
    channel_dims : mapping of str to int, optional
        Dimension of the output that holds the units; 1 where absent.

    Returns
    -------
    dict of str to ndarray of uint8, shape (n_channels,)
    """
    generator = torch.Generator().manual_seed(seed)
    positive = positive_copy(model, masks, wrap=True)
    dims = dict.fromkeys(modules, 1) | dict(channel_dims or {})
    classes: dict[str, np.ndarray] = {}
    for _ in range(draws):
        draw_units(positive, set(masks), generator, constants=SCALE)
        runs = [record(positive, draw_inputs(example_inputs, generator), modules) for _ in range(3)]
        for name in modules:
            found = classes_of(torch.stack([run[name].movedim(dims[name], 0).flatten(1) for run in runs]))
            classes[name] = np.maximum(classes.get(name, found), found)
    return classes


def input_gradient(
    model: nn.Module,
    example_inputs: Inputs,
    masks: Masks,
    module: str,
    channel: int,
    *,
    channel_dim: int = 1,
    seed: int = 0,
) -> tuple[bool, bool]:
    """Return whether one channel depends on the inputs, and whether its value is not 0, under random biases.

    The constant class holds where the first is False and the second True.
    """
    generator = torch.Generator().manual_seed(seed)
    positive = positive_copy(model, masks, wrap=True)
    draw_units(positive, set(masks), generator, constants=SCALE)
    inputs = draw_inputs(example_inputs, generator)
    leaves = [t.requires_grad_() for t in tensors_in(inputs)]
    value = record(positive, inputs, [module])[module].select(channel_dim, channel)
    gradients = torch.autograd.grad(project(value, generator), leaves, allow_unused=True)
    return any(g is not None and bool((g != 0).any()) for g in gradients), bool((value != 0).any())


def call(model: nn.Module, inputs: Inputs) -> object:
    """Run the model on a tensor, on the tensors of a tuple, or on keyword arguments."""
    if isinstance(inputs, dict):
        return model(**inputs)
    return model(*inputs) if isinstance(inputs, tuple) else model(inputs)


def positive_copy(model: nn.Module, masks: Masks, *, wrap: bool) -> nn.Module:
    """Return a copy whose edge weights are (abs(w) + 0.1) * mask, each row divided by its sum."""
    positive = copy.deepcopy(model).double().eval()
    for module in list(positive.modules()):
        if parametrize.is_parametrized(module):
            make_plain(module)
        if wrap and isinstance(module, _ConvNd) and not isinstance(module, _ConvTransposeNd):
            module.padding_mode = "circular"
    positive.requires_grad_(False)
    transposed = {id(m.weight) for m in positive.modules() if isinstance(m, _ConvTransposeNd)}
    for name, weight in edge_weights(positive, masks).items():
        with torch.no_grad():
            kept = torch.where(masks[name], weight.nan_to_num().abs() + 0.1, 0.0)
            rows = [d for d in range(weight.dim()) if d != (1 if id(weight) in transposed else 0)]
            weight.copy_(kept / kept.sum(rows, keepdim=True).clamp(min=0.1))
        weight.requires_grad_(True)
    return positive


def make_plain(module: nn.Module) -> None:
    """Replace a module's parametrized tensors by parameters with their present values, in place.

    torch's remove_parametrizations (2.13) deletes a property of the class, which a deep copy shares with its original.
    """
    values = {name: getattr(module, name).detach() for name in module.parametrizations}
    module.__class__ = parametrize.type_before_parametrizations(module)
    del module.parametrizations
    for name, value in values.items():
        module.register_parameter(name, nn.Parameter(value))


def edge_weights(model: nn.Module, names: Iterable[str]) -> dict[str, nn.Parameter]:
    """Return the masked parameters of a copy without parametrizations, under their names in the original."""
    parameters = dict(model.named_parameters())
    plain = {name: name.replace("parametrizations.", "").removesuffix(".original1") for name in names}
    return {name: parameters[plain[name]] for name in plain}


def draw_units(model: nn.Module, edges: set[str], generator: torch.Generator, *, constants: float) -> None:
    """Draw everything that acts on single units: gains in [0.5, 1.5], constants near `constants`, in place."""
    masked = {id(weight) for weight in edge_weights(model, edges).values()}
    for module in model.modules():
        mixing = isinstance(module, MIXING_NORMS)
        for name, tensor in [*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)]:
            if id(tensor) in masked or not tensor.is_floating_point():
                continue
            with torch.no_grad():
                tensor.copy_(unit_values(module, name, tensor, generator, constants))
                if mixing and name == "weight":
                    tensor.mul_(torch.randint(0, 2, tensor.shape, generator=generator) * 2 - 1)


def unit_values(module: nn.Module, name: str, tensor: Tensor, generator: torch.Generator, constants: float) -> Tensor:
    """Return new values for one gain, variance, running mean, bias or table."""
    values = torch.rand(tensor.shape, generator=generator, dtype=torch.float64) + 0.5
    norm = isinstance(module, (_BatchNorm, *MIXING_NORMS))
    if (norm and name in ("weight", "running_var")) or name in GATES:
        return values
    return values * (-constants if name == "running_mean" else constants)


def draw_inputs(example: Inputs, generator: torch.Generator) -> Inputs:
    """Return inputs of the same form: real ones positive and small, integer ones shuffled."""
    if isinstance(example, dict):
        return {name: draw_inputs(tensor, generator) for name, tensor in example.items()}
    if isinstance(example, tuple):
        return tuple(draw_inputs(tensor, generator) for tensor in example)
    if not example.is_floating_point():
        return example.flatten()[torch.randperm(example.numel(), generator=generator)].reshape(example.shape)
    return (torch.rand(example.shape, generator=generator, dtype=torch.float64) + 0.5) * SCALE


def tensors_in(value: object) -> Iterator[Tensor]:
    """Yield the real tensors of a nested tuple, list or dict."""
    if isinstance(value, Tensor):
        if value.is_floating_point():
            yield value
    elif isinstance(value, Mapping):
        for part in value.values():
            yield from tensors_in(part)
    elif isinstance(value, Sequence):
        for part in value:
            yield from tensors_in(part)


def project(outputs: object, generator: torch.Generator) -> Tensor:
    """Return a sum of all outputs with random positive coefficients."""
    terms = [
        (t * (torch.rand(t.shape, generator=generator, dtype=torch.float64) + 0.5)).sum() for t in tensors_in(outputs)
    ]
    return torch.stack(terms).sum()


def record(model: nn.Module, inputs: Inputs, modules: Iterable[str]) -> dict[str, Tensor]:
    """Return the output of some modules while the model runs on `inputs`; the last call counts."""
    values: dict[str, Tensor] = {}

    def keeper(name: str) -> object:
        return lambda module, args, output: values.__setitem__(name, output.clone())

    handles = [model.get_submodule(name).register_forward_hook(keeper(name)) for name in modules]
    try:
        call(model, inputs)
    finally:
        for handle in handles:
            handle.remove()
    return values


def classes_of(values: Tensor) -> np.ndarray:
    """Return the class of each channel from ``values`` of shape (runs, channels, positions)."""
    live = (values != values[:1]).any(dim=2).any(dim=0)
    nonzero = (values != 0).any(dim=2).any(dim=0)
    return (nonzero.to(torch.uint8) + live.to(torch.uint8)).numpy()
