"""Compares the masks of a graph with those of the gradient oracle."""

import itertools
from collections.abc import Mapping, Sequence

import numpy as np
from torch import Tensor, nn

import netgraph as ng
import prune_adapters as pa
from oracle import live_masks, random_masks
from positive import Inputs, Roles

__all__ = ["check_against_gradients", "compared", "disagreements", "masked"]


def masked(graph: ng.NetGraph, masks: Mapping[str, Tensor], *, constants: bool = True) -> ng.NetGraph:
    """Return the graph under masks; without `constants` also every bias, running mean and table is masked away."""
    arrays = {name: mask.numpy() for name, mask in masks.items()}
    if constants:
        return graph.with_masks(arrays)
    described = graph.parameters | graph.buffers
    names = {u.parameter for u in graph.unit_parameters if u.role == "shift" and u.parameter}
    return graph.with_masks({name: np.zeros(described[name].shape, dtype=bool) for name in names} | arrays)


def disagreements(found: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> dict[str, tuple[int, int]]:
    """Return ``{parameter: (elements that should be kept and are not, elements kept that should not be)}``."""
    assert found.keys() == expected.keys()
    counts = {n: (int((expected[n] & ~found[n]).sum()), int((found[n] & ~expected[n]).sum())) for n in expected}
    return {name: count for name, count in counts.items() if count != (0, 0)}


def compared(
    model: nn.Module,
    inputs: Inputs,
    graph: ng.NetGraph,
    masks: Mapping[str, Tensor],
    question: str,
    *,
    draws: int = 3,
    roles: Roles | None = None,
) -> dict[str, tuple[int, int]]:
    """Return the disagreements of the gradient oracle and the graph.

    Questions: ``"trim"`` is asked where constants are 0, ``"drop_dead"`` where they are not. ``"bare"`` asks what
    `drop_dead` leaves where constants are 0, which is what `trim` leaves as well if no function makes a constant of a
    zero (a sigmoid or an exponential does).
    """
    constants = question == "drop_dead"
    clear = ng.trim if question == "trim" else ng.drop_dead
    found = pa.to_masks(clear(masked(graph, masks, constants=constants)))
    return disagreements(found, live_masks(model, inputs, masks, constants=constants, draws=draws, roles=roles))


def check_against_gradients(
    model: nn.Module,
    inputs: Inputs,
    graph: ng.NetGraph,
    *,
    densities: Sequence[float] = (0.6, 0.35),
    seeds: Sequence[int] = (0, 1),
    questions: Sequence[str] = ("trim", "drop_dead"),
    wider: bool = False,
) -> None:
    """Raise AssertionError if graph and oracle disagree under random masks.

    Parameters
    ----------
    model, inputs, graph
        As in `compared`.
    densities, seeds : sequence
        Of the random masks.
    questions : sequence of str
        "trim", "drop_dead" or both.
    wider : bool
        Whether the graph may keep elements that have no gradient; it may never miss one.
    """
    for density, seed, question in itertools.product(densities, seeds, questions):
        masks = random_masks(model, graph.edge_parameters, density, seed=seed)
        found = compared(model, inputs, graph, masks, question)
        wrong = {name: counts for name, counts in found.items() if counts[0] or not wider}

        assert wrong == {}, f"{question}, density {density}, seed {seed}: (missing, too many) {wrong}"
