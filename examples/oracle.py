"""What autograd says about a masked network: the judge of the graph, independent of the tracer.

Two oracles, both on a deep copy in float64 and eval mode:

- `live_masks`: an element of a weight is live iff the gradient of the output with respect to it is not 0. The copy has
  positive weights and inputs, no biases, and no tables, so that terms cannot cancel and ReLU stays open. This is what
  `trim` keeps. With ``constants=True`` biases and tables are random and positive: now an element that a constant unit
  feeds has a gradient too, and this is what `drop_dead` keeps.
- `value_classes`: every channel of a module's output is zero, constant or live. The copy has random biases, so
  constants exist.

Why no threshold is needed: a structural zero is a sum of products that each have a factor 0, and those are exact in
floating point. Rounding can only make something nonzero that cancels on paper (the mean of a normalised channel, say),
and such a cancellation is not structural: the graph calls it live too. Double precision convolutions on the CPU
multiply and add directly (no Winograd, no FFT), which keeps this true.

Why convolutions wrap around: the graph shares a unit over all positions and knows no image size, so it takes every tap
to see data somewhere. With zero padding that asks for large images (a tap may see only padding at the few positions
that matter); where convolutions wrap around (`Opened`) it holds at any size, for then every position of a live channel
is live.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from opened import Opened
from positive import (
    SCALE,
    Inputs,
    Masks,
    Roles,
    draw_inputs,
    draw_units,
    edge_weights,
    plain_copy,
    positive_copy,
)

__all__ = [
    "CONSTANT",
    "LIVE",
    "ZERO",
    "call",
    "input_gradient",
    "live_masks",
    "random_masks",
    "true_gradients",
    "value_classes",
]

ZERO, CONSTANT, LIVE = 0, 1, 2


def random_masks(
    model: nn.Module, names: Iterable[str], density: float, *, seed: int, least: float = 0.0
) -> dict[str, Tensor]:
    """Return a mask for each named parameter that keeps every element with probability `density`.

    A parameter with few elements a row (depthwise kernels) gets the density that leaves `least` of them on average.
    """
    generator = torch.Generator().manual_seed(seed)
    masks = {}
    for name in names:
        shape = model.get_parameter(name).shape
        chance = max(density, least * shape[0] / max(shape.numel(), 1))
        masks[name] = torch.rand(shape, generator=generator) < chance
    return masks


def live_masks(
    model: nn.Module,
    example_inputs: Inputs,
    masks: Masks,
    *,
    unit_masks: Masks | None = None,
    constants: bool = False,
    roles: Roles | None = None,
    wrap: bool = True,
    draws: int = 3,
    seed: int = 0,
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
        or constants.
    unit_masks : mapping of str to bool Tensor, optional
        Masks for gains and constants.
    constants : bool
        Whether constants (biases, running means, tables) are random and positive; otherwise they are 0.
    roles : mapping of str to str, optional
        What the parameters and buffers without a mask do, where the kinds of modules do not tell.
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
    positive = positive_copy(model, masks)
    weights = edge_weights(positive, masks)
    live = {name: torch.zeros_like(mask) for name, mask in masks.items()}
    for _ in range(draws):
        draw_units(positive, set(masks), generator, constants=SCALE if constants else 0.0, roles=roles)
        for name, mask in (unit_masks or {}).items():
            positive.get_parameter(name).mul_(mask)
        inputs = draw_inputs(example_inputs, generator)
        with Opened(wrap=wrap):
            total = project(call(positive, inputs), generator)
        gradients = torch.autograd.grad(total, list(weights.values()), allow_unused=True)
        for name, gradient in zip(weights, gradients, strict=True):
            if gradient is not None:
                assert torch.isfinite(gradient).all(), f"gradient of {name!r} is not finite"
                live[name] |= (gradient != 0) & masks[name]
    return live


def true_gradients(model: nn.Module, example_inputs: Inputs, masks: Masks, *, seed: int = 0) -> dict[str, Tensor]:
    """Return the gradient of a random sum of the outputs of the masked model, weights and paddings as they are."""
    generator = torch.Generator().manual_seed(seed)
    plain = plain_copy(model)
    weights = edge_weights(plain, masks)
    for name, weight in weights.items():
        with torch.no_grad():
            weight.mul_(masks[name])
        weight.requires_grad_(True)
    total = project(call(plain, draw_inputs(example_inputs, generator)), generator)
    gradients = torch.autograd.grad(total, list(weights.values()), allow_unused=True)
    return {n: w.new_zeros(w.shape) if g is None else g for (n, w), g in zip(weights.items(), gradients, strict=True)}


def value_classes(
    model: nn.Module,
    example_inputs: Inputs,
    masks: Masks,
    modules: Sequence[str],
    *,
    at: str = "output",
    draws: int = 3,
    seed: int = 0,
) -> dict[str, np.ndarray]:
    """Return the class of every channel of some modules' outputs (or inputs) under random nonzero biases.

    A channel is `ZERO` if it is 0 everywhere for every input, `CONSTANT` if it is the same for every input (it may
    differ between positions), else `LIVE`. The largest class over all draws and calls counts.

    Parameters
    ----------
    model, example_inputs, masks, draws, seed
        As in `live_masks`.
    modules : sequence of str
        Paths as in ``named_modules()``.
        Linear and layer norm modules have their channels last, all others in dimension 1.
    at : {"output", "input"}
        Which side of the modules to look at.

    Returns
    -------
    dict of str to ndarray of uint8, shape (n_channels,)
    """
    generator = torch.Generator().manual_seed(seed)
    positive = positive_copy(model, masks)
    classes: dict[str, np.ndarray] = {}
    for _ in range(draws):
        draw_units(positive, set(masks), generator, constants=SCALE)
        inputs = [draw_inputs(example_inputs, generator, shuffle=False) for _ in range(3)]
        with Opened(wrap=True, rescale=False):
            runs = [record(positive, each, modules, at=at) for each in inputs]
        for name in modules:
            for calls in zip(*(run[name] for run in runs), strict=True):
                found = classes_of(torch.stack(calls))
                classes[name] = np.maximum(classes.get(name, found), found)
    return classes


def input_gradient(
    model: nn.Module,
    example_inputs: Inputs,
    masks: Masks,
    module: str,
    channel: int,
    *,
    seed: int = 0,
) -> tuple[bool, bool]:
    """Return whether one channel depends on the inputs, and whether its value is not 0, under random biases.

    The constant class holds where the first is False and the second True.
    """
    generator = torch.Generator().manual_seed(seed)
    positive = positive_copy(model, masks)
    draw_units(positive, set(masks), generator, constants=SCALE)
    inputs = draw_inputs(example_inputs, generator)
    leaves = [t.requires_grad_() for t in tensors_in(inputs)]
    with Opened(wrap=True, rescale=False):
        value = record(positive, inputs, [module], at="output")[module][-1][channel]
    gradients = torch.autograd.grad(project(value, generator), leaves, allow_unused=True)
    return any(g is not None and bool((g != 0).any()) for g in gradients), bool((value != 0).any())


def call(model: nn.Module, inputs: Inputs) -> object:
    """Run the model on a tensor, on the tensors of a tuple, or on keyword arguments."""
    if isinstance(inputs, dict):
        return model(**inputs)
    return model(*inputs) if isinstance(inputs, tuple) else model(inputs)


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


def record(model: nn.Module, inputs: Inputs, modules: Iterable[str], *, at: str) -> dict[str, list[Tensor]]:
    """Return what some modules give (or get) while the model runs: one tensor (channels, positions) for each call."""
    values: dict[str, list[Tensor]] = {name: [] for name in modules}

    def keeper(name: str) -> Callable[[nn.Module, tuple, Tensor], None]:
        def keep(module: nn.Module, args: tuple, output: Tensor) -> None:
            value = output if at == "output" else args[0]
            channels = -1 if isinstance(module, (nn.Linear, nn.LayerNorm)) else 1
            values[name].append(value.clone().movedim(channels, 0).flatten(1))

        return keep

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
