"""Least squares: the weights with which a smaller network best repeats what the layers of the dense one give.

After the channel pruning of He et al. [1], as AMC [2] uses it: channels are chosen, then the weights of every layer are
fitted to the outputs that the layer has in the dense network, before its activation. Differs from both in that the
ridge pulls towards the weights that the layer has already: so a layer never gets worse on what it is fitted to, and
one whose inputs and weights are whole keeps them to the bit.

References
----------
.. [1] He, Zhang and Sun, Channel pruning for accelerating very deep neural networks, ICCV 2017, section 3.1 and 3.2.
.. [2] He et al., AMC: AutoML for model compression and acceleration on mobile devices, ECCV 2018, section 3.4.
"""

import copy
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from prune_adapters.compact import compact_recipe
from prune_adapters.graph_pruning.net.calibration import Calibration, batches_of
from prune_adapters.masks import bare_module
from prune_adapters.trace.tracer import in_eval_mode

__all__ = ["NormalEquations", "reconstruct"]

FITTED = (nn.Linear, nn.Conv2d)


class NormalEquations:
    """The sums that a ridge regression needs, taken batch by batch in float64.

    Solved is ``min |rows @ change - missing|^2 + strength |change|^2``, where `strength` is `ridge` times the mean
    square of a column summed over all rows.

    Parameters
    ----------
    n_columns, n_outputs : int

    Examples
    --------
    >>> equations = NormalEquations(1, 1)
    >>> for row in (1.0, 2.0, 3.0):
    ...     equations.add(torch.tensor([[row]]), torch.tensor([[5 * row]]))
    >>> round(equations.solved(0.0).item(), 6)
    5.0
    """

    def __init__(self, n_columns: int, n_outputs: int) -> None:
        self.squares = torch.zeros(n_columns, n_columns, dtype=torch.float64)
        self.products = torch.zeros(n_columns, n_outputs, dtype=torch.float64)

    def add(self, rows: torch.Tensor, missing: torch.Tensor) -> None:
        """Take in some rows, shape (n, n_columns), and what they are to give, shape (n, n_outputs)."""
        wide = rows.detach().double()
        self.squares += (wide.T @ wide).cpu()
        self.products += (wide.T @ missing.detach().double()).cpu()

    def solved(self, ridge: float) -> torch.Tensor:
        """Return the coefficients: Tensor of float64, shape (n_columns, n_outputs); 0 where all rows are 0."""
        strength = float(self.squares.diagonal().mean())
        if strength == 0.0 or not self.products.any():
            return torch.zeros_like(self.products)
        # Without a ridge, columns that depend on others would have no solution.
        lifted = self.squares + max(ridge, 1e-12) * strength * torch.eye(len(self.squares), dtype=torch.float64)
        return torch.cholesky_solve(self.products, torch.linalg.cholesky(lifted))


def reconstruct(
    small: nn.Module,
    dense: nn.Module,
    calibration: Calibration,
    *,
    ridge: float = 1e-6,
    positions: int | None = 64,
    batch_size: int = 64,
    seed: int | np.random.Generator | None = 0,
) -> nn.Module:
    """Return a smaller network whose layers repeat those of the dense network as well as their inputs allow.

    Layer after layer, in the order in which they run, the weights and the bias of each Linear and each ungrouped
    Conv2d are fitted: from the inputs that it has in the smaller network, whose earlier layers are fitted already, to
    the outputs that it has in the dense one. Grouped and depthwise convolutions, norms, and layers that run several
    times are left as they are. Costs two passes to each layer over the calibration inputs.

    Parameters
    ----------
    small : Module
        Carries its recipe (see `compact_recipe`) against `dense`; not changed. Its weights are where the fit starts.
    dense : Module
        Not changed.
    calibration : Tensor, or sequence of batches
        A few hundred inputs of the training set, without targets.
    ridge : float
        Pull towards the weights of `small`, relative to the mean square of an input.
    positions : int or None
        Positions of a picture that take part, drawn anew for each batch; None: all.
    batch_size : int
        For a tensor.
    seed : int, numpy Generator or None
        Draws the positions.

    Returns
    -------
    Module
        A copy of `small`, in its training mode, with its recipe. With nothing removed it is `small` to the bit. On the
        positions that took part no layer is further from the dense one than with the weights that it had.

    Raises
    ------
    ValueError
        `small` has no recipe, `calibration` is empty, or `ridge` or `positions` is out of range.

    Examples
    --------
    Hidden unit 1 is the double of unit 0. Once it is gone, unit 0 does the work of both:

    >>> import prune_adapters as pa
    >>> model = nn.Sequential(nn.Linear(1, 2), nn.ReLU(), nn.Linear(2, 1))
    >>> for parameter, value in zip(model.parameters(), [[[1.0], [2.0]], [0.0, 0.0], [[1.0, 3.0]], [0.5]]):
    ...     parameter.data = torch.tensor(value)
    >>> x = torch.tensor([[1.0], [2.0], [3.0]])
    >>> small = pa.remove_channels(model, pa.coupled_channels(model, x)[1:2], x)
    >>> again = reconstruct(small, model, x)
    >>> [[round(v, 2) for v in m(x[:2]).flatten().tolist()] for m in (model, small, again)]
    [[7.5, 14.5], [1.5, 2.5], [7.5, 14.5]]
    """
    if ridge < 0:
        raise ValueError(f"ridge: expected at least 0, got {ridge}")
    if positions is not None and positions < 1:
        raise ValueError(f"positions: expected at least 1 of a picture, or None for all, got {positions}")
    bare, result = bare_module(dense), copy.deepcopy(bare_module(small))
    removed = {r.layer: r.outputs for r in compact_recipe(result).removals}
    batches = batches_of(calibration, result, batch_size)
    rng = np.random.default_rng(seed)
    with torch.no_grad(), in_eval_mode(bare), in_eval_mode(result):
        for path in _fitted(result, batches[0]):
            gone = removed.get(path, ())
            whole = len(bare.get_submodule(path).get_parameter("weight"))
            kept = torch.tensor(sorted({*range(whole)} - {*gone}))
            _refit(result, bare, path, kept, batches, ridge=ridge, positions=positions, rng=rng)
    return result


def _fitted(model: nn.Module, batch: tuple[tuple, dict]) -> list[str]:
    """Return the layers that are fitted, in the order in which they run: those that run once, on their own weights."""
    layers = {p: m for p, m in model.named_modules() if type(m) in FITTED and getattr(m, "groups", 1) == 1}
    order: list[str] = []
    with _hooks({path: lambda *_, path=path: order.append(path) for path in layers}, model):
        model(*batch[0], **batch[1])
    uses = Counter(id(parameter) for m in model.modules() for parameter in m._parameters.values())
    calls = Counter(order)
    return [p for p in order if calls[p] == 1 and uses[id(layers[p].weight)] == 1]


def _refit(
    small: nn.Module,
    dense: nn.Module,
    path: str,
    kept: torch.Tensor,
    batches: Sequence[tuple[tuple, dict]],
    *,
    ridge: float,
    positions: int | None,
    rng: np.random.Generator,
) -> None:
    """Fit one layer of the smaller network in place."""
    layer = small.get_submodule(path)
    weight, bias = layer.get_parameter("weight"), layer._parameters["bias"]
    equations = NormalEquations(weight[0].numel() + (bias is not None), len(weight))
    for batch in batches:
        wanted = _at(dense, path, batch)[1].index_select(_channels(layer), kept.to(weight.device))
        given, found = _at(small, path, batch)
        equations.add(*_sampled(layer, given, wanted - found, positions, rng))
    change = equations.solved(ridge).T.to(weight)
    weight.add_(change[:, : weight[0].numel()].reshape(weight.shape))
    if bias is not None:
        bias.add_(change[:, -1])


def _channels(layer: nn.Module) -> int:
    return -1 if isinstance(layer, nn.Linear) else -3


def _sampled(
    layer: nn.Module, given: torch.Tensor, missing: torch.Tensor, positions: int | None, rng: np.random.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the inputs that make each output, shape (n, columns), and what is missing to it, shape (n, outputs)."""
    if isinstance(layer, nn.Linear):
        rows, targets = (t.reshape(len(t), -1, t.shape[-1]) for t in (given, missing))
    else:
        rows, targets = _windows(layer, given).transpose(1, 2), missing.flatten(2).transpose(1, 2)
    if positions is not None and positions < rows.shape[1]:
        chosen = torch.from_numpy(np.sort(rng.choice(rows.shape[1], positions, replace=False))).to(rows.device)
        rows, targets = rows[:, chosen], targets[:, chosen]
    rows, targets = rows.flatten(0, 1), targets.flatten(0, 1)
    if layer.bias is not None:
        rows = torch.cat([rows, rows.new_ones(len(rows), 1)], dim=1)
    return rows, targets


def _windows(layer: nn.Module, given: torch.Tensor) -> torch.Tensor:
    """Return what each position of a convolution sees: Tensor, shape (n, columns, positions)."""
    assert isinstance(layer, nn.Conv2d)
    mode = "constant" if layer.padding_mode == "zeros" else layer.padding_mode
    padded = functional.pad(given, layer._reversed_padding_repeated_twice, mode=mode)
    return functional.unfold(padded, layer.kernel_size, layer.dilation, stride=layer.stride)


class _Reached(Exception):
    """The layer that was waited for has run."""


def _at(model: nn.Module, path: str, batch: tuple[tuple, dict]) -> tuple[torch.Tensor, torch.Tensor]:
    """Return input and output of a layer; the pass ends there."""
    held: list[torch.Tensor] = []

    def hold(_: nn.Module, given: tuple, named: dict, output: torch.Tensor) -> None:
        held.extend(((*given, *named.values())[0], output))
        raise _Reached

    with _hooks({path: hold}, model), suppress(_Reached):
        model(*batch[0], **batch[1])
    return held[0], held[1]


@contextmanager
def _hooks(hooks: Mapping[str, Callable[..., None]], model: nn.Module) -> Iterator[None]:
    handles = [model.get_submodule(path).register_forward_hook(hook, with_kwargs=True) for path, hook in hooks.items()]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
