"""From the counts of a sub-network to an ordinary module: to train on, to export, to keep in a file."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Protocol

import numpy as np
import torch
from torch import nn

from netgraph.describe import some_names
from prune_adapters.compact import rebuild
from prune_adapters.graph_pruning.net.calibration import Calibration, recalibrate
from prune_adapters.graph_pruning.smaller.fresh import fresh_copy
from prune_adapters.graph_pruning.smaller.reconstruct import reconstruct
from prune_adapters.graph_pruning.space.space import WidthSpace
from prune_adapters.graph_pruning.space.widths import Counts, Width
from prune_adapters.groups import CHANNELWISE, COUNTED, TRANSPOSED
from prune_adapters.masks import bare_module

__all__ = ["Generator", "sub_network", "with_strongest_first"]

INITS = ("trained", "scratch", "generated")
CHOICES = ("l1", "first")


class Generator(Protocol):
    """What makes weights for sub-networks, a `PruningNet` above all."""

    def weights(self, counts: Counts) -> Mapping[str, torch.Tensor]:
        """Return every parameter of ``space.narrowed(counts)`` by name."""


def sub_network(
    space: WidthSpace,
    counts: Counts,
    *,
    init: str = "trained",
    model: nn.Module | None = None,
    generator: Generator | None = None,
    choose: str = "l1",
    calibration: Calibration | None = None,
    fresh_statistics: bool = True,
    ridge: float = 1e-6,
    seed: int | np.random.Generator | None = 0,
) -> nn.Module:
    """Return a sub-network as an ordinary module of the class of the whole model.

    Reconstructed from the abstracts of [1]_ and from MetaPruning [2]_ and AMC [3]_: the first takes generated weights,
    the second trains from scratch, the third goes on from the trained network's own.

    Parameters
    ----------
    space : WidthSpace
    counts : tuple of int
    init : {"trained", "scratch", "generated"}
        The weights: the trained network's own, fresh ones, or those of `generator`.
    model : Module, optional
        The trained network, of the class and the sizes of ``space.model``. Default: ``space.model`` itself.
    generator : Generator
        For "generated".
    choose : {"l1", "first"}
        For "trained": in each width the channels stay whose filters have the largest L1 norms, summed over the layers
        that write the width, or the first ones.
    calibration : Tensor, or sequence of batches, optional
        For "trained": the weights of every layer are fitted to what it gives in the trained network (see
        `reconstruct`). For both that and "generated": batch norms get the statistics of these inputs.
    fresh_statistics : bool
        False: batch norms keep the statistics that they have.
    ridge : float
        As of `reconstruct`.
    seed : int, numpy Generator or None
        Of the fresh weights.

    Returns
    -------
    Module
        Its shapes are those of ``space.narrowed(counts)``. It carries its recipe, so `save_compacted` and `rebuild`
        take it; training mode and ``requires_grad`` are those of the model.

    Raises
    ------
    ValueError
        An option is unknown or does not go with `init`, `counts` do not fit, `model` is another network, or the
        generator's weights do not have the names and shapes of the sub-network.

    References
    ----------
    .. [1] Zhang et al., Graph Pruning for Model Compression, Applied Intelligence 52, 2022.
    .. [2] Liu et al., MetaPruning: meta learning for automatic neural network channel pruning, ICCV 2019.
    .. [3] He et al., AMC: AutoML for model compression and acceleration on mobile devices, ECCV 2018.

    Examples
    --------
    >>> from prune_adapters.graph_pruning.space.space import width_space
    >>> model = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1))
    >>> model[0].weight.data = torch.tensor([[1.0, 1.0], [0.1, 0.1], [2.0, 2.0]])
    >>> space = width_space(model, torch.ones(1, 2))
    >>> sub_network(space, (2,))[0].weight.tolist()
    [[1.0, 1.0], [2.0, 2.0]]
    >>> sub_network(space, (2,), init="scratch")
    Sequential(
      (0): Linear(in_features=2, out_features=2, bias=True)
      (1): ReLU()
      (2): Linear(in_features=2, out_features=1, bias=True)
    )
    """
    _check_options(init, choose, generator, calibration)
    own = space if model is None else replace(space, model=_fitting(model, space.model))
    if init == "scratch":
        return fresh_copy(rebuild(own.model, own.recipe(counts)), seed=seed)
    if init == "generated":
        assert generator is not None
        small = rebuild(own.model, own.recipe(counts))
        _take(small, generator.weights(counts))
    else:
        chosen = with_strongest_first(own, counts) if choose == "l1" else own
        small = rebuild(own.model, chosen.recipe(counts))
        if calibration is not None:
            small = reconstruct(small, own.model, calibration, ridge=ridge, seed=seed)
    if calibration is not None and fresh_statistics:
        recalibrate(small, calibration)
    return small


def with_strongest_first(space: WidthSpace, counts: Counts) -> WidthSpace:
    """Return a space in which the leading groups of each width are those with the largest L1 norms.

    Parameters
    ----------
    space : WidthSpace
        Its model is the one whose filters count.
    counts : tuple of int
        How many of each width are wanted. These come in the order of their channels, and so do the others behind.

    Returns
    -------
    WidthSpace

    Examples
    --------
    >>> from prune_adapters.graph_pruning.space.space import width_space
    >>> model = nn.Sequential(nn.Linear(1, 3), nn.ReLU(), nn.Linear(3, 1))
    >>> model[0].weight.data = torch.tensor([[1.0], [0.1], [2.0]])
    >>> first = with_strongest_first(width_space(model, torch.ones(1, 1)), (2,))
    >>> [group.outputs["0"] for group in first.widths[0].groups]
    [(0,), (2,), (1,)]
    """
    if len(counts) != len(space.widths):
        raise ValueError(f"counts: expected one for each of {len(space.widths)} widths, got {len(counts)}")
    widths = []
    for width, count in zip(space.widths, counts, strict=True):
        order = np.argsort(-_norms(width, space.model), kind="stable")
        places = [*sorted(order[:count].tolist()), *sorted(order[count:].tolist())]
        widths.append(replace(width, groups=tuple(width.groups[place] for place in places)))
    return replace(space, widths=tuple(widths))


def _norms(width: Width, model: nn.Module) -> np.ndarray:
    """Return the L1 norm of the filters that write each group: ndarray of float64, shape (size,)."""
    norms = np.zeros(width.size)
    for path in width.layers:
        rows = _row_norms(model.get_submodule(path))
        if rows is not None:
            norms += [rows[list(group.outputs[path])].sum() for group in width.groups]
    return norms


def _row_norms(layer: nn.Module) -> np.ndarray | None:
    """Return the L1 norm of what makes each output channel; None where nothing does but the channel itself."""
    weight = getattr(layer, "in_proj_weight" if isinstance(layer, nn.MultiheadAttention) else "weight", None)
    if isinstance(layer, (*CHANNELWISE, *COUNTED)) or weight is None:
        return None
    columns = isinstance(layer, (*TRANSPOSED, nn.Embedding)) and getattr(layer, "groups", 1) == 1
    magnitudes = weight.detach().abs().double().cpu()
    return (magnitudes.transpose(0, 1) if columns else magnitudes).flatten(1).sum(1).numpy()


def _check_options(init: str, choose: str, generator: object, calibration: object) -> None:
    if init not in INITS:
        raise ValueError(f"init: expected one of {', '.join(INITS)}, got {init!r}")
    if choose not in CHOICES:
        raise ValueError(f"choose: expected one of {', '.join(CHOICES)}, got {choose!r}")
    if (generator is None) == (init == "generated"):
        raise ValueError(f"generator: expected one for init='generated' and none else, got init={init!r}")
    if calibration is not None and init == "scratch":
        raise ValueError("calibration: expected none for init='scratch', whose weights are fitted to nothing")


def _fitting(model: nn.Module, whole: nn.Module) -> nn.Module:
    bare = bare_module(model)
    shapes = [{n: tuple(t.shape) for n, t in (*m.named_parameters(), *m.named_buffers())} for m in (whole, bare)]
    differing = [n for n in {**shapes[0], **shapes[1]} if shapes[0].get(n) != shapes[1].get(n)]
    if differing:
        name = differing[0]
        raise ValueError(
            f"model: another network than the one of the space: {name!r}: expected shape {shapes[0].get(name)}, "
            f"got {shapes[1].get(name)}"
        )
    return bare


def _take(small: nn.Module, weights: Mapping[str, torch.Tensor]) -> None:
    """Set the parameters of a sub-network, in place, to generated ones."""
    own = dict(small.named_parameters())
    missing, unknown = sorted(own.keys() - weights.keys()), sorted(weights.keys() - own.keys())
    if missing or unknown:
        raise ValueError(
            f"generator: expected every parameter of the sub-network and nothing else; missing: "
            f"{some_names(missing) or 'none'}, unknown: {some_names(unknown) or 'none'}"
        )
    with torch.no_grad():
        for name, parameter in own.items():
            if parameter.shape != weights[name].shape:
                raise ValueError(
                    f"generator: {name!r}: expected shape {tuple(parameter.shape)}, got {tuple(weights[name].shape)}"
                )
            parameter.copy_(weights[name])
