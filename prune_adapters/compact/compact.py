"""A smaller model that computes what the masked one does."""

import copy
from collections.abc import Mapping
from dataclasses import replace
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import nn
from torch.utils._pytree import tree_leaves

import netgraph as ng
from prune_adapters.apply import remove_masks
from prune_adapters.compact.attached import attach, taken_down
from prune_adapters.compact.constants import measured_constants, run
from prune_adapters.compact.decide import Decision, decide
from prune_adapters.compact.facts import facts_of, facts_of_norms, idle_outputs, norm_inputs
from prune_adapters.compact.rebuild import shrink
from prune_adapters.compact.record import CompactReport, KeptChannels, LayerChange
from prune_adapters.compact.same import check_same_calls
from prune_adapters.errors import CompactError
from prune_adapters.groups import Facts, LayerSlots, coupled_slots, rebuildable
from prune_adapters.masks import bare_module, check_masks, to_masks
from prune_adapters.trace.example import ExampleInputs, split_inputs
from prune_adapters.trace.follow import failing_line
from prune_adapters.trace.registry import Options
from prune_adapters.trace.tape import Tape
from prune_adapters.trace.tracer import capture, graph_and_units, in_eval_mode

__all__ = ["compact", "compact_report"]

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
    statistics of a layer or group norm even if nobody reads it, and attention heads stay. In train mode batch norm
    would not treat folded constants as before, so train on from the result and do not compare step by step.

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
    masks = check_masks(bare, to_masks(graph))
    masked = remove_masks(copy.deepcopy(bare))
    args, kwargs = split_inputs(example_inputs)
    tape = _captured(masked, example_inputs)
    modules = rebuildable(tape, masked)
    norms = norm_inputs(tape, modules)
    # Without the weights into dead units, which change no output, more channels are read by none.
    whole, units = graph_and_units(tape, masked, masks, {}, Options(unknown=unknown), [*norms.values()])
    sound = ng.drop_dead(whole)
    _zero_removed(masked, masks | to_masks(sound))
    result = copy.deepcopy(masked)
    with in_eval_mode(masked), in_eval_mode(result):
        facts = facts_of(sound, modules) | facts_of_norms(sound, modules, dict(zip(norms, units, strict=True)))
        decision = _decided(masked, modules, facts, tape, (args, kwargs), result)
        _check_outputs(masked, result, args, kwargs)
        if decision.gone.any():
            check_same_calls(tape, capture(result, example_inputs), decision)
    left = {layer.path: (layer.inputs, layer.outputs) for layer in decision.recorder.layers}
    kept = {path: (~decision.gone[inputs], ~decision.gone[outputs]) for path, (inputs, outputs) in left.items()}
    attach(result, taken_down(masked, result, kept))
    _reports[result] = _report(bare, result, decision, facts, idle_outputs(sound))
    return result


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


def _decided(
    masked: nn.Module,
    modules: Mapping[str, nn.Module],
    facts: dict[str, Facts],
    tape: Tape,
    inputs: tuple[tuple, dict],
    result: nn.Module,
) -> Decision:
    """Decide what goes, and take it out of `result`; the constants that are found are added to the facts."""
    values = measured_constants(masked, *inputs, {path: known.classes == 1 for path, known in facts.items()})
    facts.update({path: replace(facts[path], values=found) for path, found in values.items()})
    decision = decide(coupled_slots(tape, modules, facts), facts, modules)
    for layer in decision.recorder.layers:
        kept_in, kept_out = ~decision.gone[layer.inputs], ~decision.gone[layer.outputs]
        smaller = result.get_submodule(layer.path)
        shrink(smaller, kept_in, kept_out, values.get(layer.path))
        if smaller._parameters.get("weight") is None:
            smaller.to(next(masked.parameters()).device)
    return decision


def _check_outputs(masked: nn.Module, result: nn.Module, args: tuple, kwargs: dict) -> None:
    """Raise `CompactError` where the smaller model does not run, or gives something else."""
    expected = [t for t in tree_leaves(run(masked, args, kwargs)) if isinstance(t, torch.Tensor)]
    try:
        found = [t for t in tree_leaves(run(result, args, kwargs)) if isinstance(t, torch.Tensor)]
    except Exception as error:
        raise CompactError(
            f"the smaller model does not run: {failing_line(error)} ({str(error).strip().splitlines()[0]}); "
            "take the size from the tensor, as in x.flatten(1) or x.shape[1], instead of writing it down"
        ) from error
    for number, (new, old) in enumerate(zip(found, expected, strict=True)):
        if new.shape != old.shape or not _close(new, old):
            raise CompactError(
                f"output {number} of the smaller model differs: a forward computes with the number of channels "
                "(a mean written as sum / n, a scale of 1 / sqrt(n)); give it the original number"
            )


def _close(new: torch.Tensor, old: torch.Tensor) -> bool:
    if not old.is_floating_point():
        return torch.equal(new, old)
    scale = float(old.abs().nan_to_num().max()) if old.numel() else 0.0
    bound = torch.finfo(old.dtype).eps ** 0.5
    return torch.allclose(new, old, rtol=bound, atol=bound * scale, equal_nan=True)


def _report(
    model: nn.Module, result: nn.Module, decision: Decision, facts: Mapping[str, Facts], idle: Mapping[str, np.ndarray]
) -> CompactReport:
    layers = {layer.path: layer for layer in decision.recorder.layers}
    changes = [
        LayerChange(path, _sizes(decision, layer.inputs), _sizes(decision, layer.outputs))
        for path, layer in layers.items()
        if decision.gone[layer.inputs].any() or decision.gone[layer.outputs].any()
    ]
    counts = tuple(sum(p.numel() for p in m.parameters()) for m in (model, result))
    kept = []
    for name, could_go in idle.items():
        path = name.rpartition(".")[0]
        layer = layers.get(path) if path in facts else None
        kept += _kept(path, layer, could_go, decision) if layer else _foreign(name, could_go)
    return CompactReport((counts[0], counts[1]), tuple(changes), tuple(kept))


def _sizes(decision: Decision, slots: np.ndarray) -> tuple[int, int]:
    return len(slots), int((~decision.gone[slots]).sum())


def _foreign(name: str, could_go: np.ndarray) -> list[KeptChannels]:
    channels = tuple(np.flatnonzero(could_go).tolist())
    return [KeptChannels(name, channels, FOREIGN.format(name=name))] if channels else []


def _kept(path: str, layer: LayerSlots, could_go: np.ndarray, decision: Decision) -> list[KeptChannels]:
    """Return the channels of a layer that could go by themselves but stay, by reason."""
    by_reason: dict[str, list[int]] = {}
    for channel in np.flatnonzero(could_go & ~decision.gone[layer.outputs]).tolist():
        by_reason.setdefault(decision.reason(int(layer.outputs[channel])), []).append(channel)
    return [KeptChannels(path, tuple(channels), reason) for reason, channels in by_reason.items()]
