"""A smaller model that computes what the masked one does."""

import copy
from collections.abc import Mapping
from dataclasses import dataclass, replace
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import nn

import netgraph as ng
from prune_adapters.apply import remove_masks
from prune_adapters.compact.attached import attach, taken_down
from prune_adapters.compact.constants import measured_constants
from prune_adapters.compact.decide import Decision, decide
from prune_adapters.compact.facts import facts_of, facts_of_norms, idle_outputs, norm_inputs
from prune_adapters.compact.heads import dead_heads
from prune_adapters.compact.rebuild import shrink, shrink_parameter
from prune_adapters.compact.record import CompactReport, KeptChannels, LayerChange
from prune_adapters.compact.same import check_same_calls, check_same_outputs
from prune_adapters.errors import CompactError
from prune_adapters.groups import COUNTED, LayerSlots, coupled_slots, raw_parameters, rebuildable
from prune_adapters.masks import bare_module, check_masks, to_masks
from prune_adapters.trace.example import ExampleInputs, split_inputs
from prune_adapters.trace.options import Options
from prune_adapters.trace.tape import Tape
from prune_adapters.trace.tracer import capture, graph_and_units, in_eval_mode

__all__ = ["compact", "compact_report", "smaller"]

_reports: WeakKeyDictionary[nn.Module, CompactReport] = WeakKeyDictionary()

FOREIGN = "{name!r} is no weight of a layer that can be rebuilt: a type of its own, several uses, or shared"


def compact(
    model: nn.Module, graph: ng.NetGraph, example_inputs: ExampleInputs, *, unknown: str | None = None
) -> nn.Module:
    """Return a smaller model that computes in eval mode what `model` computes under ``to_masks(graph)``.

    Dead channels are left out. Constant channels are folded into the bias of the layer that reads them or, where
    that layer pads with zeros, into a map over positions. What is coupled (residual sums, concatenation,
    depthwise and grouped convolutions) goes together or stays, and a channel that cannot go stays and is listed by
    `compact_report`. The result is dense: it holds no masks.

    Parameters
    ----------
    model : Module
        Not changed. Wrappers of DistributedDataParallel, DataParallel and torch.compile are left behind.
    graph : NetGraph
        The graph of `model`. Only its masks count; what is dead or constant is found anew.
    example_inputs : Tensor, tuple or dict
        As for `to_graph`. The constants are measured on them, and the result must give the same outputs on them.
    unknown : {None, "mix"}
        An operator without a rule is an error, or every output of it depends on every input.

    Returns
    -------
    Module
        A deep copy of the same class with smaller layers: torch's own, but for a convolution that pads with zeros and
        reads a constant other than 0, which becomes a subclass of ours with one more kernel, ``ones_weight``, and for
        a layer, RMS or group norm that has lost channels, which becomes one that goes on counting them.

    Raises
    ------
    CompactError
        The smaller model does not run, because a size is written into a forward (the line is named), or it computes
        something else, because a forward computes with a number of channels or branches on it.
    MaskError
        `graph` is not a graph of `model`.
    TraceError
        The model cannot be followed.

    Notes
    -----
    Only modules of torch's types Linear, Conv, ConvTranspose, BatchNorm, InstanceNorm, LayerNorm, RMSNorm, GroupNorm,
    PReLU and Embedding become smaller, if they run once on parameters of their own. A live channel stays in the
    statistics of a layer or group norm even if nobody reads it. Of ``nn.MultiheadAttention`` whole heads go, of
    attention written out in a forward nothing does. In train mode batch norm would not treat folded constants as
    before, so train on from the result and do not compare step by step.

    Examples
    --------
    Hidden unit 1 is not reached, so it is relu(0.5) whatever the input; the next bias takes it over:

    >>> import torch, prune_adapters as pa
    >>> model = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.ReLU(), torch.nn.Linear(2, 1))
    >>> values = [[[1.0, 1.0], [0.0, 0.0]], [0.0, 0.5], [[2.0, 2.0]], [0.0]]
    >>> for parameter, value in zip(model.parameters(), values):
    ...     parameter.data = torch.tensor(value)
    >>> x = torch.ones(1, 2)
    >>> small = pa.compact(model, pa.to_graph(model, x), x)
    >>> small[0], small[2].bias.item(), small(x).item(), model(x).item()
    (Linear(in_features=2, out_features=1, bias=True), 1.0, 5.0, 5.0)
    """
    bare = bare_module(model)
    return smaller(bare, check_masks(bare, to_masks(graph)), example_inputs, unknown)[0]


def smaller(
    bare: nn.Module, masks: Mapping[str, torch.Tensor], example_inputs: ExampleInputs, unknown: str | None = None
) -> tuple[nn.Module, Decision]:
    """Return the smaller model that computes what a bare one does under masks, and what was decided.

    Parameters
    ----------
    bare : Module
        Not changed.
    masks : mapping of str to Tensor of bool
        Those of biases and norms count too; parameters without a mask are kept whole.
    example_inputs, unknown
        As in `compact`.
    """
    masked = remove_masks(copy.deepcopy(bare))
    args, kwargs = split_inputs(example_inputs)
    tape = _captured(masked, example_inputs)
    modules = rebuildable(tape, masked)
    norms = norm_inputs(tape, modules)
    # Without the weights into dead units, which change no output, more channels are read by none.
    whole, units = graph_and_units(tape, masked, masks, {}, Options(unknown=unknown), [*norms.values()])
    sound = ng.drop_dead(whole)
    _zero_removed(masked, {**masks, **to_masks(sound)})
    subject = _Subject(masked, tape, modules, args, kwargs, sound, dict(zip(norms, units, strict=True)))
    try:
        result, decision = _attempt(subject, example_inputs)
    except CompactError as error:
        result, decision = _cautious_attempt(subject, example_inputs, error)
    attach(result, taken_down(masked, result, decision.kept_channels(), decision.kept_entries()))
    _reports[result] = _report(bare, result, decision, idle_outputs(sound))
    return result, decision


@dataclass(frozen=True, eq=False)
class _Subject:
    """A model with its removed weights 0, what it calls, and what its graph says."""

    masked: nn.Module
    tape: Tape
    modules: Mapping[str, nn.Module]
    args: tuple
    kwargs: dict
    graph: ng.NetGraph
    norm_units: Mapping[str, np.ndarray | None]


def _attempt(subject: _Subject, example_inputs: ExampleInputs, obstacle: str = "") -> tuple[nn.Module, Decision]:
    """Return a smaller model that has passed every check, and what was decided.

    With an obstacle, in words, whatever meets a norm with statistics over channels or a raw parameter stays.
    """
    masked, result = subject.masked, copy.deepcopy(subject.masked)
    with in_eval_mode(masked), in_eval_mode(result):
        decision = _decided(subject, obstacle)
        decision.heads.update(dead_heads(subject.tape, masked, to_masks(subject.graph)))
        _take_out(result, decision)
        check_same_outputs(masked, result, subject.args, subject.kwargs)
        if decision.anything:
            check_same_calls(subject.tape, capture(result, example_inputs), decision)
    return result, decision


def _cautious_attempt(
    subject: _Subject, example_inputs: ExampleInputs, error: CompactError
) -> tuple[nn.Module, Decision]:
    """Try again without the residual streams, the width of which hand-written attention computes with.

    Where that does not help the first error is what a user should see.
    """
    try:
        return _attempt(subject, example_inputs, str(error))
    except CompactError:
        raise error from error.__cause__


def compact_report(module: nn.Module) -> CompactReport:
    """Return what `compact` did to make `module`, and which channels it had to keep.

    Parameters
    ----------
    module : Module
        What `compact` returned, not a copy of it.

    Returns
    -------
    CompactReport

    Raises
    ------
    ValueError
        `compact` did not make this module.

    Examples
    --------
    >>> import torch, prune_adapters as pa
    >>> model = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.ReLU(), torch.nn.Linear(3, 1))
    >>> keep = {"0.weight": torch.tensor([[True, True], [True, False], [False, False]])}
    >>> x = torch.ones(1, 2)
    >>> print(pa.compact_report(pa.compact(model, pa.to_graph(model, x, masks=keep), x)))
    parameters 13 -> 9
    layer  inputs  outputs
    0      2 -> 2  3 -> 2
    2      3 -> 2  1 -> 1
    """
    if module not in _reports:
        raise ValueError(f"compact_report: this {type(module).__name__} was not returned by compact")
    return _reports[module]


def _zero_removed(model: nn.Module, masks: Mapping[str, torch.Tensor]) -> None:
    with torch.no_grad():
        for name, mask in masks.items():
            weight = model.get_parameter(name)
            weight.masked_fill_(~mask.to(weight.device), 0.0)


def _captured(model: nn.Module, example_inputs: ExampleInputs) -> Tape:
    tape = capture(model, example_inputs)
    read = [note for note in tape.notes if "value was read" in note]
    if read:
        raise CompactError(f"{read[0]}; another input may take another path, so nothing can be removed safely")
    return tape


def _decided(subject: _Subject, obstacle: str) -> Decision:
    """Return what goes: the largest removal that keeps the function."""
    modules, tape = subject.modules, subject.tape
    facts = facts_of(subject.graph, modules) | facts_of_norms(subject.graph, modules, subject.norm_units)
    wanted = {path: known.classes == 1 for path, known in facts.items()}
    values = measured_constants(subject.masked, subject.args, subject.kwargs, wanted)
    facts.update({path: replace(facts[path], values=found) for path, found in values.items()})
    recorder = coupled_slots(tape, modules, facts, raw_parameters(tape, subject.masked))
    if obstacle:
        counted = [layer.inputs for layer in recorder.layers if isinstance(modules[layer.path], COUNTED)]
        for slots in (*counted, *(held.numbers for held in recorder.raw.met.values())):
            recorder.coupling.pin(slots, obstacle)
    decision = decide(recorder, facts, modules)
    decision.constants.update(values)
    return decision


def _take_out(result: nn.Module, decision: Decision) -> None:
    """Make the layers and parameters of `result` smaller."""
    device = next(result.parameters()).device
    for path, (inputs, outputs) in decision.kept_channels().items():
        module = result.get_submodule(path)
        shrink(module, inputs, outputs, decision.constants.get(path))
        if isinstance(module, COUNTED) and module._parameters.get("weight") is None:
            module.to(device)
    for name, (dim, entries) in decision.kept_entries().items():
        shrink_parameter(result, name, dim, entries)


def _report(model: nn.Module, result: nn.Module, decision: Decision, idle: Mapping[str, np.ndarray]) -> CompactReport:
    layers = {layer.path: layer for layer in decision.recorder.layers}
    left = decision.kept_channels() | {name: (kept, kept) for name, (_, kept) in decision.kept_entries().items()}
    changes = [LayerChange(p, _sizes(i), _sizes(o)) for p, (i, o) in left.items() if not (i.all() and o.all())]
    counts = tuple(sum(p.numel() for p in m.parameters()) for m in (model, result))
    kept = []
    for name, could_go in idle.items():
        path = name.rpartition(".")[0]
        layer = layers.get(path)
        if path in decision.heads or path.removesuffix(".out_proj") in decision.heads:
            continue
        kept += _kept(path, layer, could_go, decision) if layer else _foreign(name, could_go)
    return CompactReport((counts[0], counts[1]), tuple(changes), tuple(kept))


def _sizes(kept: np.ndarray) -> tuple[int, int]:
    return len(kept), int(kept.sum())


def _foreign(name: str, could_go: np.ndarray) -> list[KeptChannels]:
    channels = tuple(np.flatnonzero(could_go).tolist())
    return [KeptChannels(name, channels, FOREIGN.format(name=name))] if channels else []


def _kept(path: str, layer: LayerSlots, could_go: np.ndarray, decision: Decision) -> list[KeptChannels]:
    """Return the channels of a layer that could go by themselves but stay, by reason."""
    by_reason: dict[str, list[int]] = {}
    for channel in np.flatnonzero(could_go & ~decision.gone[layer.outputs]).tolist():
        by_reason.setdefault(decision.reason(int(layer.outputs[channel])), []).append(channel)
    return [KeptChannels(path, tuple(channels), reason) for reason, channels in by_reason.items()]
