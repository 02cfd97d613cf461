"""SynFlow: the share of each weight in what flows through the network when all its weights are positive.

The network is called with ``abs(w)`` for its weights and the same small number at every input. Its outputs add up to
R, and the score of a weight is ``w * dR/dw``. Nothing is negative, so nothing cancels, and a weight that is on no path
from an input to an output scores exactly 0.

Where all layers are positively homogeneous (linear, ReLU, pooling, batch norm without shift), scaling the inputs scales
R and all scores alike. So they may be as small as float64 allows, which leaves room for the growth through a thousand
layers and keeps ReLU6 and sigmoid off their flat ends; and dividing by R makes shares of the scores.
"""

from collections.abc import Iterable, Mapping

import torch
from torch import nn
from torch.utils._pytree import tree_leaves

from netgraph import NetGraph
from netgraph.flow import path_sums
from prune_adapters.masks import bare_module
from prune_adapters.schedules import geometric_sparsity
from prune_adapters.scores.borrowed import call_with, kept_values
from prune_adapters.scores.scored import scored_parameters
from prune_adapters.select import Selection, selected
from prune_adapters.trace import to_graph
from prune_adapters.trace.example import ExampleInputs, split_inputs
from prune_adapters.trace.tracer import in_eval_mode

__all__ = ["synflow_prune", "synflow_scores"]

Tensors = dict[str, torch.Tensor]
EXPONENTS = (-512, -1000, 0, 512, 1000)
"""Of the number at the inputs, a power of two: tried in this order."""
LEAST = 2.0**-900
"""Below this R has lost digits on its way."""
SMALLEST = -1000
"""log2 of the sum over the paths of the graph, below which an R of 0 may be one that has lost all digits."""
TOLERANCE = 1e-9
"""Of the degree of R in the inputs, which is 1."""
NOISE = 1e-12
"""How far below 0 a share may come by rounding alone."""


def synflow_scores(
    model: nn.Module,
    example_inputs: ExampleInputs,
    *,
    parameters: Iterable[str] | None = None,
    graph: NetGraph | None = None,
) -> dict[str, torch.Tensor]:
    """Return ``abs(w) * dR/dabs(w) / R`` for each weight w, with R the sum of the outputs of the positive network.

    Parameters
    ----------
    model : Module
        Not changed. Computed in float64 and eval mode, whatever its own: batch norm divides by
        ``sqrt(running_var + eps)`` and multiplies by the size of its gain.
    example_inputs : Tensor, tuple or dict
        As `to_graph` takes them. Every floating one is replaced by ones (times a power of two); a batch of one will do.
    parameters, graph
        As in `magnitude_scores`. The graph also says which parameters are constants; without one the model is traced.

    Returns
    -------
    dict of str to Tensor of float64
        Shape and device of the parameter. Fractions in [0, 1], which add up to 1 over a layer that all paths cross.
        Exactly 0 off the input-output paths, so also where a remembered mask removes. Exactly 0 everywhere if there is
        no path. float64, because shares below the reach of float32 still have an order.

    Raises
    ------
    ValueError
        No input is a floating tensor; the model is not homogeneous in its inputs or some share is negative, as in
        networks with layer norm, softmax or weight norm: `path_scores` knows these; or `parameters` and `graph` are
        both given.
    FloatingPointError
        R has no place in float64 at any scale of the inputs, or a weight is not finite.
    TraceError
        The model cannot be followed, and no graph is given.

    Notes
    -----
    These are the scores of one round; `synflow_prune` takes the many that [1]_ needs. Differs from the published code,
    which takes the size of everything in the ``state_dict``: here biases, shifts and running means are 0, so that no
    weight behind a constant unit scores; where these are 0, as in batch norm before training, there is no difference.
    Divided by R, which changes no order. A tap that only ever sees zero padding scores 0; the graph, which knows no
    image size, may call it consistent. What acts through a gate alone (squeeze-excitation) comes last of all that is on
    a path.

    References
    ----------
    .. [1] Tanaka, Kunin, Yamins and Ganguli, "Pruning neural networks without any data by iteratively conserving
       synaptic flow", NeurIPS 2020, algorithm 1.

    Examples
    --------
    >>> model = nn.Sequential(nn.Linear(2, 1), nn.ReLU(), nn.Linear(1, 1))
    >>> _ = model[0].weight.data.copy_(torch.tensor([[1.0, -3.0]])), model[2].weight.data.fill_(-2.0)
    >>> synflow_scores(model, torch.zeros(1, 2))
    {'0.weight': tensor([[0.2500, 0.7500]], dtype=torch.float64), '2.weight': tensor([[1.]], dtype=torch.float64)}
    """
    scored = scored_parameters(model, parameters, graph)
    return _Flow(model, example_inputs, scored, graph or to_graph(model, example_inputs)).shares({})


def synflow_prune(
    model: nn.Module,
    example_inputs: ExampleInputs,
    *,
    sparsity: float,
    rounds: int = 100,
    scope: str = "global",
    graph: NetGraph | None = None,
) -> Selection:
    """Return masks from many rounds of SynFlow, each of which removes the same fraction of what is left.

    Parameters
    ----------
    model : Module
        Not changed; `apply_masks` does that.
    example_inputs, graph
        As in `synflow_scores`.
    sparsity : float
        Fraction to remove of all scored weights, in [0, 1]. After round k of n the density is ``(1 - sparsity)^(k/n)``.
    rounds : int
        At least 1.
    scope : {"global", "layer", "erk", "igq"}
        Who competes with whom, as in `masks_from_scores`.

    Returns
    -------
    Selection
        Exactly the weights asked for, with the number of consistent ones among them.

    Raises
    ------
    ValueError
        As `synflow_scores` and `masks_from_scores`; or `rounds` is below 1.

    Examples
    --------
    >>> model = nn.Sequential(nn.Linear(2, 2, bias=False), nn.Linear(2, 1, bias=False))
    >>> _ = model[0].weight.data.copy_(torch.tensor([[5.0, 4.0], [3.0, 2.0]]))
    >>> _ = model[1].weight.data.copy_(torch.tensor([[0.1, 1.0]]))
    >>> synflow_prune(model, torch.zeros(1, 2), sparsity=0.5)
    Selection: 3 of 6 weights kept, 3 requested (direct), 3 consistent
    """
    if not 0 <= sparsity <= 1:
        raise ValueError(f"sparsity: expected the fraction to remove, in [0, 1], got {sparsity}")
    if rounds < 1:
        raise ValueError(f"rounds: expected at least 1, got {rounds}")
    traced = graph or to_graph(model, example_inputs)
    flow = _Flow(model, example_inputs, scored_parameters(model, None, traced), traced)
    chosen = selected(flow.shares({}), sparsity=geometric_sparsity(1, rounds, sparsity), scope=scope, graph=traced)
    for number in range(2, rounds + 1):
        scores = {name: share.where(chosen[name], -torch.inf) for name, share in flow.shares(chosen).items()}
        target = geometric_sparsity(number, rounds, sparsity)
        chosen = selected(scores, sparsity=target, scope=scope, graph=traced if number == rounds else None)
    return chosen


class _Flow:
    """The positive network of a model, ready to be called under masks."""

    def __init__(self, model: nn.Module, example_inputs: ExampleInputs, scored: Iterable[str], graph: NetGraph) -> None:
        self.model, self.graph = bare_module(model), graph
        self.args, self.kwargs = split_inputs(example_inputs)
        self.scored = list(scored)
        if not any(map(_is_float, (*self.args, *self.kwargs.values()))):
            raise ValueError("example_inputs: expected a floating tensor to put ones in, got none; use path_scores")

    def shares(self, masks: Mapping[str, torch.Tensor]) -> Tensors:
        """Return the share of each scored weight in R, under these masks and the remembered ones."""
        values = self._values(masks)
        weights = {name: values[name].requires_grad_() for name in self.scored}
        with in_eval_mode(self.model), torch.enable_grad(), torch.backends.cudnn.flags(enabled=False):
            total, size = self._fitting(values)
        if abs(total.item()) < LEAST or not total.requires_grad:
            self._check_no_path(values, total)
            return {name: torch.zeros_like(weight, requires_grad=False) for name, weight in weights.items()}
        return _divided(total, size, weights)

    def _fitting(self, values: Tensors) -> tuple[torch.Tensor, torch.Tensor]:
        """Return R and the number at the inputs: the first at which R keeps its digits, or else the last finite one."""
        found: tuple[torch.Tensor, torch.Tensor] | None = None
        for exponent in EXPONENTS:
            size = torch.tensor(2.0**exponent, dtype=torch.float64, requires_grad=True)
            total = self._total(values, size)
            if torch.isfinite(total):
                found = total, size
                if abs(total.item()) >= LEAST:
                    break
        if found is None:
            raise FloatingPointError(
                "synflow: R is not finite at any scale of the inputs; look for weights that are not, or use path_scores"
            )
        return found

    def _check_no_path(self, values: Tensors, total: torch.Tensor) -> None:
        """Raise FloatingPointError if R is small or 0 for lack of digits, not of paths."""
        weights = {name: values[name].detach().cpu().numpy() for name in self.graph.edge_parameters}
        if total.item() != 0 or -torch.inf < path_sums(self.graph, weights).log2_total < SMALLEST:
            raise FloatingPointError("synflow: R is too small for float64 at any scale of the inputs; use path_scores")

    def _values(self, masks: Mapping[str, torch.Tensor]) -> Tensors:
        """Return the size of each weight and gain, and 0 for constants."""
        values = {}
        for name, value in kept_values(self.model).items():
            info = self.graph.parameters.get(name)
            sizes = value.abs().double() if value.is_floating_point() else value
            values[name] = torch.zeros_like(sizes) if info is not None and info.role == "constant" else sizes
            if name in masks:
                values[name] = values[name].where(masks[name], 0.0)
        return values

    def _total(self, values: Tensors, size: torch.Tensor) -> torch.Tensor:
        outputs = call_with(
            self.model,
            values,
            {name: self._buffer(name, buffer) for name, buffer in self.model.named_buffers()},
            tuple(_filled(item, size) for item in self.args),
            {name: _filled(item, size) for name, item in self.kwargs.items()},
        )
        return torch.stack([leaf.sum().double() for leaf in tree_leaves(outputs) if _is_float(leaf)]).sum()

    def _buffer(self, name: str, buffer: torch.Tensor) -> torch.Tensor:
        if not buffer.is_floating_point():
            return buffer.clone()
        owner, _, key = name.rpartition(".")
        info = self.graph.parameters.get(name)
        mean = key == "running_mean" and hasattr(self.model.get_submodule(owner), "running_var")
        constant = mean or (info is not None and info.role == "constant")
        return torch.zeros_like(buffer, dtype=torch.float64) if constant else buffer.abs().double()


def _divided(total: torch.Tensor, size: torch.Tensor, weights: Tensors) -> Tensors:
    """Return each weight times the gradient of log R, if R grows as it should with the inputs and with every weight."""
    slopes = torch.autograd.grad(total, [size, *weights.values()], torch.reciprocal(total), materialize_grads=True)
    degree = (slopes[0] * size).item()
    if abs(degree - 1) > TOLERANCE:
        raise ValueError(
            f"synflow: expected outputs proportional to the inputs, got degree {degree:.3g}; a layer adds a constant, "
            "normalises or multiplies; path_scores follows the paths of any network"
        )
    shares = {name: w.detach() * slope for (name, w), slope in zip(weights.items(), slopes[1:], strict=True)}
    if negative := [name for name, share in shares.items() if bool((share < -NOISE).any())]:
        raise ValueError(
            f"synflow: expected outputs that grow with the size of every weight, those of {negative[0]!r} lessen them; "
            "a layer subtracts (layer norm, softmax, weight norm); path_scores follows the paths of any network"
        )
    return {name: share.clamp(min=0.0) for name, share in shares.items()}


def _is_float(item: object) -> bool:
    return isinstance(item, torch.Tensor) and item.is_floating_point()


def _filled(item: object, size: torch.Tensor) -> object:
    """Return a floating tensor with `size` in place of each number; anything else as it is."""
    if not isinstance(item, torch.Tensor) or not item.is_floating_point():
        return item
    return torch.ones_like(item, dtype=torch.float64) * size
