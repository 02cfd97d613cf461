"""From a PyTorch model to its graph of units."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch
from torch import nn

import netgraph as ng
from prune_adapters.errors import TraceError
from prune_adapters.masks import bare_module, check_masks, parameter_names
from prune_adapters.shards import is_spread, resharded
from prune_adapters.trace.builder import GraphBuilder
from prune_adapters.trace.capture import capture_by_export
from prune_adapters.trace.example import ExampleInputs, check_inputs, split_inputs
from prune_adapters.trace.finish import final_units, finish
from prune_adapters.trace.follow import capture_by_running, failing_line, is_data_dependent
from prune_adapters.trace.inputs import input_values
from prune_adapters.trace.kept import with_kept
from prune_adapters.trace.options import Options, checked_options
from prune_adapters.trace.replay import replay
from prune_adapters.trace.tape import Ref, Tape, chosen_tensors, refs_in
from prune_adapters.trace.values import Units

__all__ = [
    "capture",
    "graph_and_units",
    "graph_of_tape",
    "in_eval_mode",
    "structure_of_tape",
    "to_graph",
]


def to_graph(
    model: nn.Module,
    example_inputs: ExampleInputs,
    masks: Mapping[str, torch.Tensor] | None = None,
    *,
    unit_dims: Mapping[str, int | Sequence[int]] | None = None,
    fixed_inputs: Sequence[str] = (),
    outputs: Sequence[str] | None = None,
    positions: str = "join",
    norm: str = "mix",
    unknown: str | None = None,
    follow: str | None = None,
) -> ng.NetGraph:
    """Return the directed graph of a model's units.

    A unit is one neuron or one channel; an edge carries at least one kept weight. Values are described in eval mode;
    the model is not changed. An element is kept if its mask says so; without masks, if the masks of `apply_masks` say
    so; without those, if its value is not 0. On the meta device every element is kept.

    Parameters
    ----------
    model : Module
        Wrappers of DistributedDataParallel, DataParallel and torch.compile are seen through. A model whose parameters
        are spread over ranks (FSDP2, tensor parallelism) is traced before that.
    example_inputs : Tensor, tuple or dict
        One tensor, the positional or the keyword arguments of ``model.forward``. Only shapes and types count, unless
        the model is followed by running it.
    masks : mapping of str to Tensor of bool, optional
        Shape of the parameter, True = kept. Parameters without a mask are kept whole. Masks of biases, norms
        and running means act on the classes of the units.
    unit_dims : mapping of str to int or sequence of int, optional
        Dimension(s) of an input that carry units. Default: channels for a convolution; the last dimension for a linear
        layer, or every pixel if the input is flattened first.
    fixed_inputs : sequence of str
        Names of inputs that are the same in every call, an attention mask, say: they count as constants.
    outputs : sequence of str, optional
        Names of the outputs that count: keys of a dict, positions in a tuple, joined by dots ("0", "hidden.1"; a single
        tensor is "output"). Default: every tensor in the tuples, lists and dicts that the model returns. Caches and
        other objects never count.
    positions : {"join", "split"}
        What happens where units meet along positions (class token, rolled windows): joined channel by channel, or kept
        apart at the price of more units.
    norm : {"mix", "through"}
        Layer and group norm mix their channels; "through" follows the channel as some literature does. Never use the
        latter for removal: it calls weights dead whose gradient is not zero.
    unknown : {None, "mix"}
        An operator without a rule is an error, or makes every output depend on every input.
    follow : {None, "example"}
        Python that depends on values is an error, or the graph follows the path that this example takes and says so in
        ``graph.notes``.

    Returns
    -------
    NetGraph

    Raises
    ------
    TraceError
        The model cannot be followed; the message names operator or line, module path and remedy.
    MaskError
        A mask has an unknown name, a wrong shape or a wrong dtype.
    WeightValueError
        A weight is NaN.
    KeyError
        A name in `unit_dims` or `fixed_inputs` is not an input, or one in `outputs` not an output.
    ValueError
        An example input is on another device or of another floating type than the model, or has a size of 0.

    Examples
    --------
    >>> import torch, prune_adapters as pa
    >>> model = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.ReLU(), torch.nn.Linear(2, 1))
    >>> pa.to_graph(model, torch.zeros(1, 3))
    NetGraph: 3 layers, 6 units, 8 of 8 weights kept
      layer  units  weights  kept  from
      input      3        -     -  input
      0          2        6     6  input
      2          1        2     2  0, output
    """
    options = checked_options(positions, norm, unknown, follow)
    bare = bare_module(model)
    check_inputs(bare, *split_inputs(example_inputs))
    chosen = None if masks is None else _checked_masks(bare, masks)
    tape = chosen_tensors(capture(bare, example_inputs, follow=follow), fixed_inputs, outputs)
    return graph_of_tape(tape, bare, chosen, unit_dims or {}, options)


def capture(model: nn.Module, example_inputs: ExampleInputs, *, follow: str | None = None) -> Tape:
    """Return the calls that a bare module makes in eval mode; tied parameters go by their first name.

    Parameters
    ----------
    model : Module
    example_inputs, follow
        As in `to_graph`.

    Raises
    ------
    TraceError
        The model cannot be followed.
    """
    _check_whole(model)
    args, kwargs = split_inputs(example_inputs)
    with in_eval_mode(model):
        tape = _captured(model, args, kwargs, follow)
    if not tape.outputs:
        raise TraceError("the model returns no tensor; return one, or tensors in tuples, lists or dicts")
    _use_first_names(tape, model)
    return tape


def graph_of_tape(
    tape: Tape,
    model: nn.Module,
    masks: Mapping[str, torch.Tensor] | None,
    unit_dims: Mapping[str, int | Sequence[int]],
    options: Options,
) -> ng.NetGraph:
    """Return the graph of a captured bare module.

    Parameters
    ----------
    tape : Tape
    model : Module
    masks : mapping of str to Tensor of bool, or None
        Checked already.
    unit_dims : mapping of str to int or sequence of int
    options : Options
    """
    return graph_and_units(tape, model, masks, unit_dims, options, [])[0]


def graph_and_units(
    tape: Tape,
    model: nn.Module,
    masks: Mapping[str, torch.Tensor] | None,
    unit_dims: Mapping[str, int | Sequence[int]],
    options: Options,
    watched: Sequence[Ref],
) -> tuple[ng.NetGraph, list[np.ndarray | None]]:
    """Return the graph of a captured bare module, and which units some of its tensors hold.

    Parameters
    ----------
    tape, model, masks, unit_dims, options
        As in `graph_of_tape`.
    watched : sequence of Ref

    Returns
    -------
    graph : NetGraph
    units : list of (ndarray of int64, or None)
        For each watched tensor the unit of each element, at its rank, of size 1 along dimensions in which the unit
        does not change; `ZERO` and `PRESENT` for constants. None where a tensor has no units.
    """
    structure, units = _traced(tape, model, unit_dims, options, watched)
    return with_kept(structure, model, masks), units


def structure_of_tape(
    tape: Tape, model: nn.Module, unit_dims: Mapping[str, int | Sequence[int]], options: Options
) -> ng.NetGraph:
    """Return the graph of a captured bare module with every element removed: who could be joined to whom.

    Parameters
    ----------
    tape, model, unit_dims, options
        As in `graph_of_tape`.
    """
    return _traced(tape, model, unit_dims, options, [])[0]


def _traced(
    tape: Tape,
    model: nn.Module,
    unit_dims: Mapping[str, int | Sequence[int]],
    options: Options,
    watched: Sequence[Ref],
) -> tuple[ng.NetGraph, list[np.ndarray | None]]:
    """Return the graph with every element removed, and the units of the watched tensors."""
    builder = GraphBuilder({name: tuple(p.shape) for name, p in model.named_parameters()})
    builder.notes += tape.notes
    values = replay(tape, builder, input_values(tape, builder, unit_dims), options)
    _note_unreached(tape, builder)
    found = [values.get(ref.number) for ref in watched]
    units = [final_units(builder, v.ids.numpy()) if isinstance(v, Units) else None for v in found]
    return finish(builder), units


def _checked_masks(model: nn.Module, masks: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return the masks by first names; those of buffers (running means) are checked by the graph."""
    buffers = {name for name, _ in model.named_buffers()}
    own = check_masks(model, {name: mask for name, mask in masks.items() if name not in buffers})
    return {**own, **{name: mask for name, mask in masks.items() if name in buffers}}


@contextlib.contextmanager
def in_eval_mode(model: nn.Module) -> Iterator[None]:
    """Switch to eval mode and back, module by module."""
    training = [module for module in model.modules() if module.training]
    for module in training:
        module.training = False
    try:
        yield
    finally:
        for module in training:
            module.training = True


def _captured(model: nn.Module, args: tuple, kwargs: dict, follow: str | None) -> Tape:
    if follow == "example":
        return _by_running(model, args, kwargs)
    try:
        return capture_by_export(model, args, kwargs)
    except Exception as error:
        if is_data_dependent(error):
            raise TraceError(
                f"the path through the model depends on a value at {failing_line(error)}; "
                "pass follow='example' to follow the path that the example inputs take"
            ) from error
        if any(p.is_meta for p in model.parameters()):
            raise TraceError(
                f"torch.export cannot follow the model on the meta device: {_first_line(error)}"
            ) from error
        tape = _by_running(model, args, kwargs)
        tape.notes.append(f"followed by running the example, as torch.export refused the model: {_first_line(error)}")
        return tape


def _by_running(model: nn.Module, args: tuple, kwargs: dict) -> Tape:
    try:
        return capture_by_running(model, args, kwargs)
    except Exception as error:
        raise TraceError(
            f"the model does not run on the example inputs: {_first_line(error)} at {failing_line(error)}"
        ) from error


def _first_line(error: BaseException) -> str:
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0]}" if text else type(error).__name__


def _check_whole(model: nn.Module) -> None:
    resharded(model)
    spread = next((name for name, p in model.named_parameters() if is_spread(p)), None)
    if spread is not None:
        raise TraceError(
            f"parameter {spread!r} is spread over ranks (DTensor); trace before fully_shard or parallelize_module, or "
            "another model of the same class: the names are the same"
        )


def _use_first_names(tape: Tape, model: nn.Module) -> None:
    """Let tied parameters go by the name that ``named_parameters()`` gives them."""
    names = parameter_names(model)
    for number, name in tape.parameters.items():
        tape.parameters[number] = names[name]


def _note_unreached(tape: Tape, builder: GraphBuilder) -> None:
    used = {ref.number for call in tape.calls for ref in refs_in((call.args, call.kwargs))}
    reached = {name for number, name in tape.parameters.items() if number in used}
    unreached = [name for name in builder.shapes if name not in reached]
    if unreached:
        builder.notes.append(f"parameters not reached by this input: {', '.join(unreached)}")
