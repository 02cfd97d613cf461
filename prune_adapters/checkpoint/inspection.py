"""Graph and report of a checkpoint, without building its model in memory."""

import os
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import nn
from torch.utils._pytree import tree_map

import netgraph as ng
from prune_adapters.checkpoint.bits import Progress, stream_bits
from prune_adapters.checkpoint.files import Checkpoint, open_checkpoint
from prune_adapters.checkpoint.names import Found, find_parameters
from prune_adapters.checkpoint.progress import told
from prune_adapters.masks import bare_module
from prune_adapters.report import Report, report
from prune_adapters.trace.example import ExampleInputs, check_inputs, split_inputs
from prune_adapters.trace.options import Options, checked_options
from prune_adapters.trace.tape import Tape
from prune_adapters.trace.tracer import capture, structure_of_tape

__all__ = ["checkpoint_graph", "inspect_checkpoint"]


def checkpoint_graph(
    model: nn.Module,
    example_inputs: ExampleInputs,
    checkpoint: str | os.PathLike[str] | Checkpoint,
    *,
    unit_dims: Mapping[str, int | Sequence[int]] | None = None,
    positions: str = "join",
    norm: str = "mix",
    unknown: str | None = None,
    strict: bool = True,
    progress: bool | Progress = False,
) -> ng.NetGraph:
    """Return the graph that `to_graph` would give of the model with the values of a checkpoint, without loading them.

    The model is traced as it stands, best on the meta device, where it takes no memory. Then the file is read, a few
    megabytes at a time, and each weight leaves one bit: kept is what is not 0. Memory holds those bits and, for a
    weight that is used neither row by row nor column by column, one byte for each of its elements.

    Parameters
    ----------
    model : Module
        The architecture; its own values do not count. Build it under ``torch.device("meta")``, so that tied parameters
        stay tied.
    example_inputs : Tensor, tuple or dict
        As `to_graph` takes them, on any device.
    checkpoint : path-like or Checkpoint
        What `open_checkpoint` takes or returns, in any floating point type. Its names may begin with ``module.``,
        ``_orig_mod.`` or ``model.`` where those of the model do not, or lack ``model.``; a tied parameter may be there
        under any of its names.
    unit_dims, positions, norm, unknown
        As in `to_graph`.
    strict : bool
        False to leave tensors aside that the model has no use for; a note in the graph names them.
    progress : bool or callable
        True for a bar on standard error; a function is called with the bytes done, the bytes in all and a name. An
        error that it raises, or Ctrl-C, ends the reading.

    Returns
    -------
    NetGraph

    Raises
    ------
    CheckpointError
        The files are damaged, or belong to another model: tensors are missing, unexpected or of another shape.
    TraceError
        The model cannot be followed.
    WeightValueError
        A weight is NaN.

    Examples
    --------
    >>> import tempfile
    >>> from safetensors.torch import save_file
    >>> weights = {"0.weight": torch.tensor([[1.0, 0.0], [0.0, 0.0]]), "1.weight": torch.tensor([[1.0, 1.0]])}
    >>> with torch.device("meta"):
    ...     model = nn.Sequential(nn.Linear(2, 2, bias=False), nn.Linear(2, 1, bias=False))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_file(weights, folder + "/model.safetensors")
    ...     checkpoint_graph(model, torch.zeros(1, 2), folder)
    NetGraph: 3 layers, 5 units, 3 of 6 weights kept
      layer  units  weights  kept  from
      input      2        -     -  input
      0          2        4     1  input
      1          1        2     2  0, output
    """
    options = checked_options(positions, norm, unknown)
    bare = bare_module(model)
    opened = checkpoint if isinstance(checkpoint, Checkpoint) else open_checkpoint(checkpoint)
    found = find_parameters(bare, opened, strict=strict)
    graph = _structure(bare, _moved(example_inputs, bare), found, unit_dims or {}, options)
    with told(progress) as tell:
        return graph.with_bits(stream_bits(graph, found.parameters, tell))


def inspect_checkpoint(
    model: nn.Module | Callable[[], nn.Module],
    example_inputs: ExampleInputs,
    checkpoint: str | os.PathLike[str] | Checkpoint,
    *,
    unit_dims: Mapping[str, int | Sequence[int]] | None = None,
    positions: str = "join",
    norm: str = "mix",
    unknown: str | None = None,
    strict: bool = True,
    fold: bool = False,
    progress: bool | Progress = False,
) -> Report:
    """Return the report on a checkpoint: how many units and weights of each layer still matter.

    Parameters
    ----------
    model : Module or callable
        The architecture, or a function without arguments that builds it; it is called where modules take no memory.
    example_inputs, checkpoint, unit_dims, positions, norm, unknown, strict, progress
        As in `checkpoint_graph`, which raises the same errors.
    fold : bool
        As in `report`.

    Returns
    -------
    Report

    Examples
    --------
    >>> import tempfile
    >>> from safetensors.torch import save_file
    >>> weights = {"0.weight": torch.tensor([[1.0, 0.0], [0.0, 0.0]]), "1.weight": torch.tensor([[1.0, 1.0]])}
    >>> def build():
    ...     return nn.Sequential(nn.Linear(2, 2, bias=False), nn.Linear(2, 1, bias=False))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_file(weights, folder + "/model.safetensors")
    ...     inspect_checkpoint(build, torch.zeros(1, 2), folder).total.effective_sparsity
    0.6666666666666666
    """
    if not isinstance(model, nn.Module):
        with torch.device("meta"):
            model = model()
    graph = checkpoint_graph(
        model,
        example_inputs,
        checkpoint,
        unit_dims=unit_dims,
        positions=positions,
        norm=norm,
        unknown=unknown,
        strict=strict,
        progress=progress,
    )
    return report(graph, fold=fold)


def _moved(example_inputs: ExampleInputs, model: nn.Module) -> ExampleInputs:
    """Return the inputs on the device of the model."""
    first = next(iter([*model.parameters(), *model.buffers()]), None)
    if first is None:
        return example_inputs
    return tree_map(lambda item: item.to(first.device) if isinstance(item, torch.Tensor) else item, example_inputs)


def _structure(
    model: nn.Module,
    inputs: ExampleInputs,
    found: Found,
    unit_dims: Mapping[str, int | Sequence[int]],
    options: Options,
) -> ng.NetGraph:
    """Return the graph without bits; what was captured on the way is gone before the weights come."""
    check_inputs(model, *split_inputs(inputs))
    tape = _with_buffers(capture(model, inputs), found)
    if found.unexpected:
        tape.notes.append(f"tensors of the checkpoint left aside: {', '.join(found.unexpected)}")
    return structure_of_tape(tape, model, unit_dims, options)


def _with_buffers(tape: Tape, found: Found) -> Tape:
    """Give buffers on the meta device the values that the checkpoint has: some are indices, which a rule must know."""
    for number, name in tape.buffers.items():
        if tape.constants[number].is_meta and name in found.buffers:
            tape.constants[number] = found.buffers[name].tensor()
    return tape
