"""Values of the weights of a model, from itself or from a checkpoint, and the graphs that they make."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from prune_adapters.cli.console import bar
from prune_adapters.cli.errors import CommandError
from prune_adapters.cli.models import Opened, open_model, tell_assumed_inputs
from prune_adapters.cli.own_files import is_own_file, load_own_file

if TYPE_CHECKING:
    import torch
    from torch import nn

    from netgraph import NetGraph

__all__ = ["graph_of", "load_weights", "masked", "opened_with", "traced", "values_of"]


def opened_with(text: str, *, shape: str | None, checkpoint: Path | None, seed: int = 0) -> Opened:
    """Return the model that MODEL stands for, with the weights of a checkpoint if there is one.

    Parameters
    ----------
    text : str
        MODEL.
    shape : str or None
    checkpoint : Path or None
    seed : int
        Of fresh weights.
    """
    opened = open_model(text, shape=shape, seed=seed)
    return opened if checkpoint is None else replace(opened, model=load_weights(opened.model, checkpoint))


def load_weights(model: "nn.Module", path: Path) -> "nn.Module":
    """Return a model with the parameters and buffers of a checkpoint.

    Parameters
    ----------
    model : Module
        Changed in place, unless the file holds a compacted model.
    path : Path

    Returns
    -------
    Module
        `model` itself, or the smaller model that a file of `netgraph compact` makes of it.
    """
    import torch

    if is_own_file(path):
        return load_own_file(model, path)

    from prune_adapters.checkpoint.files import open_checkpoint
    from prune_adapters.checkpoint.names import find_parameters

    found = find_parameters(model, open_checkpoint(path))
    with torch.no_grad():
        for name, stored in found.parameters.items():
            model.get_parameter(name).copy_(stored.tensor())
        for name, stored in found.buffers.items():
            model.get_buffer(name).copy_(stored.tensor())
    return model


@contextmanager
def traced(opened: Opened, text: str, shape: str | None) -> Iterator[None]:
    """Add to an error of the tracer which inputs were assumed.

    Parameters
    ----------
    opened : Opened
    text : str
        MODEL.
    shape : str or None
    """
    import prune_adapters as pa

    try:
        yield
    except pa.TraceError:
        tell_assumed_inputs(opened, text, shape)
        raise


def graph_of(
    text: str, *, shape: str | None, checkpoint: Path | None, unknown: str | None = None, follow: str | None = None
) -> "tuple[Opened, NetGraph]":
    """Return the model that MODEL stands for and its graph; with a checkpoint the model may have no values.

    Parameters
    ----------
    text : str
        MODEL.
    shape : str or None
    checkpoint : Path or None
        Read a few megabytes at a time, unless the model is followed by running it or this package wrote the file.
    unknown, follow
        As in `to_graph`.
    """
    import prune_adapters as pa

    if checkpoint is None or follow is not None or is_own_file(checkpoint):
        opened = opened_with(text, shape=shape, checkpoint=checkpoint)
        with traced(opened, text, shape):
            return opened, pa.to_graph(opened.model, opened.inputs, unknown=unknown, follow=follow)
    pa.open_checkpoint(checkpoint)  # what is wrong with the file is told before the model is built
    try:
        return _graph_of_file(open_model(text, shape=shape, device="meta"), checkpoint, unknown)
    except (CommandError, pa.CheckpointError, OSError):
        raise
    except Exception:  # some models cannot be built or followed without values
        opened = open_model(text, shape=shape)
        with traced(opened, text, shape):
            return _graph_of_file(opened, checkpoint, unknown)


def _graph_of_file(opened: Opened, checkpoint: Path, unknown: str | None) -> "tuple[Opened, NetGraph]":
    import prune_adapters as pa

    with bar(f"reading {checkpoint.name}") as tell:
        told = {"unknown": unknown, "progress": lambda done, total, name: tell(done, total)}
        graph = pa.checkpoint_graph(opened.model, opened.inputs, checkpoint, **told)  # type: ignore[arg-type]
    return replace(opened, file=checkpoint), graph


def values_of(opened: Opened, graph: "NetGraph") -> "dict[str, torch.Tensor]":
    """Return the values of all parameters that carry edges.

    Parameters
    ----------
    opened : Opened
    graph : NetGraph
    """
    import prune_adapters as pa
    from prune_adapters.checkpoint.names import find_parameters

    if opened.file is None:
        return {name: p.detach() for name, p in opened.model.named_parameters() if name in graph.edge_parameters}
    found = find_parameters(opened.model, pa.open_checkpoint(opened.file)).parameters
    return {name: found[name].tensor() for name in graph.edge_parameters}


def masked(graph: "NetGraph", opened: Opened, *, masks: Path | None, threshold: float | None = None) -> "NetGraph":
    """Return the graph without what masks remove, and without weights whose magnitude is at most a threshold.

    Parameters
    ----------
    graph : NetGraph
    opened : Opened
    masks : Path or None
    threshold : float, optional
    """
    import prune_adapters as pa

    if threshold is not None:
        if not threshold >= 0:
            raise CommandError(f"--threshold: expected a number of at least 0, got {threshold}")
        values = values_of(opened, graph)
        graph = _narrowed(graph, {name: value.abs() > threshold for name, value in values.items()})
    return graph if masks is None else _narrowed(graph, pa.load_masks(masks, model=opened.model))


def _narrowed(graph: "NetGraph", masks: "dict[str, torch.Tensor]") -> "NetGraph":
    """Return the graph with what it and the masks keep."""
    there = graph.masks()
    arrays = {name: mask.cpu().numpy() for name, mask in masks.items() if name in graph.parameters}
    return graph.with_masks({name: a & there[name] if name in there else a for name, a in arrays.items()})
