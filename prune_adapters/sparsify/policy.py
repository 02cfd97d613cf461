"""Which form each layer is to take: measured here, predicted, or given."""

import copy
import math
from collections.abc import Mapping
from typing import TypeAlias

import torch
from torch import nn

from prune_adapters.sparsify.forms import Candidate, build
from prune_adapters.sparsify.measure import inputs_of, seconds_of
from prune_adapters.sparsify.predict import expected
from prune_adapters.sparsify.record import FORMS, LayerChoice, SparsifyRecord
from prune_adapters.trace.example import ExampleInputs, split_inputs

__all__ = ["Policy", "choices", "machine"]

GAIN = 1.05
"""A layer changes its form only if that is expected to be at least so many times faster than the dense one."""

Policy: TypeAlias = str | SparsifyRecord | Mapping[str, str]


def choices(
    model: nn.Module, layers: list[Candidate], policy: Policy, example_inputs: ExampleInputs | None, training: bool
) -> tuple[str, list[LayerChoice]]:
    """Return how it was chosen, and the form of each layer; arguments as for `sparsify`."""
    if isinstance(policy, SparsifyRecord):
        return "given", _given(layers, policy.forms, "as recorded")
    if not isinstance(policy, str):
        return "given", _given(layers, policy, "as given")
    if policy in FORMS:
        every = {c.name: policy if policy in c.forms else "dense" for c in layers}
        return "given", _given(layers, every, f"{policy} wherever it fits")
    if policy == "measure" and example_inputs is None:
        raise ValueError("sparsify: policy 'measure' needs example_inputs, to know the sizes of the layers' inputs")
    if policy == "predict" or (policy == "auto" and example_inputs is None):
        return "predicted", _predicted(model, layers, example_inputs)
    if policy in ("auto", "measure"):
        assert example_inputs is not None
        return "measured", _measured(model, layers, example_inputs, training)
    raise ValueError(
        f"sparsify: policy {policy!r}: expected 'auto', 'measure', 'predict', a form ({', '.join(FORMS)}), "
        "a record, or a mapping of module paths to forms"
    )


def machine(model: nn.Module) -> str:
    """Return what times depend on: device, threads, version of torch."""
    device = next((p.device for p in model.parameters()), torch.device("cpu"))
    where = torch.cuda.get_device_name(device) if device.type == "cuda" else torch.backends.cpu.get_cpu_capability()
    return f"{device.type} ({where}), {torch.get_num_threads()} threads, torch {torch.__version__}"


def _given(layers: list[Candidate], forms: Mapping[str, str], reason: str) -> list[LayerChoice]:
    known = {candidate.name: candidate for candidate in layers}
    for name, form in forms.items():
        if name not in known:
            listed = ", ".join(known) or "none"
            raise ValueError(f"sparsify: policy: {name!r} is no masked layer of the model; those are {listed}")
        if form not in known[name].forms:
            why = known[name].reason or f"its mask allows {', '.join(known[name].forms)}"
            raise ValueError(f"sparsify: policy: layer {name!r} cannot become {form!r}: {why}")
    return [LayerChoice(c.name, forms.get(c.name, "dense"), c.density, c.reason or reason, {}) for c in layers]


def _predicted(model: nn.Module, layers: list[Candidate], example_inputs: ExampleInputs | None) -> list[LayerChoice]:
    inputs = {} if example_inputs is None else _inputs(model, layers, example_inputs)
    found = []
    for candidate in layers:
        given = inputs.get(candidate.name)
        times = {form: expected(candidate.layer, form, candidate.mask, given) for form in candidate.forms}
        possible = {form: time for form, time in times.items() if math.isfinite(time)}
        sizes = "" if given is None else f" on {'x'.join(map(str, given.shape))}"
        found.append(_fastest(candidate, possible, f"expected from density and blocks{sizes}"))
    return found


def _inputs(model: nn.Module, layers: list[Candidate], example_inputs: ExampleInputs) -> dict[str, torch.Tensor]:
    return inputs_of(model, {c.name: c.layer for c in layers}, *split_inputs(example_inputs))


def _measured(
    model: nn.Module, layers: list[Candidate], example_inputs: ExampleInputs, training: bool
) -> list[LayerChoice]:
    inputs = _inputs(model, layers, example_inputs)
    found = []
    for candidate in layers:
        if candidate.name not in inputs or len(candidate.forms) == 1:
            why = candidate.reason or "it does not run on these inputs"
            found.append(LayerChoice(candidate.name, "dense", candidate.density, why, {}))
            continue
        others = {form: build(candidate, form) for form in candidate.forms if form != "dense"}
        times = seconds_of({"dense": copy.deepcopy(candidate.layer)} | others, inputs[candidate.name], training)
        found.append(_fastest(candidate, times, f"measured on {'x'.join(map(str, inputs[candidate.name].shape))}"))
    return found


def _fastest(candidate: Candidate, times: dict[str, float], how: str) -> LayerChoice:
    best = min(times, key=lambda form: times[form])
    if best == "dense" or times["dense"] < GAIN * times[best]:
        why = candidate.reason or f"{how}: no other form gains 5 %"
        return LayerChoice(candidate.name, "dense", candidate.density, why, times)
    return LayerChoice(candidate.name, best, candidate.density, how, times)
