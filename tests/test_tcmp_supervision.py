"""The supervisory networks: exact forward on every network, backward as autograd has it on a plain dense version."""

import numpy as np
import pytest
import torch

import netgraph as ng
import prune_adapters as pa
from chains import chain
from networks import CASES
from prune_adapters.sweeps import Supervision
from random_graphs import random_graph

Psi = dict[str, torch.Tensor]


def drawn_psi(graph: ng.NetGraph, seed: int, kept: float, dtype: torch.dtype = torch.float64) -> Psi:
    """Return values of which a share is above one half."""
    generator = torch.Generator().manual_seed(seed)
    found = {}
    for name in graph.edge_parameters:
        shape = graph.parameters[name].shape
        low = torch.rand(shape, generator=generator, dtype=dtype) / 2
        found[name] = (low + (torch.rand(shape, generator=generator) < kept) / 2).requires_grad_()
    return found


def step(crisp: torch.Tensor, soft: torch.Tensor) -> torch.Tensor:
    """Return the crisp flags with the gradient of a sigmoid."""
    own = torch.sigmoid(soft)
    return crisp + own - own.detach()


def joins_of_chain(psi: Psi) -> Psi:
    """Return what Eq. 4 has beside psi, with Eq. 5 by autograd; weights are (out, in)."""
    matrices = list(psi.values())
    right, left = [torch.ones(matrices[0].shape[1], dtype=torch.float64)], [torch.ones(matrices[-1].shape[0]).double()]
    for own in matrices[:-1]:
        right.append(step(((own > 0.5).double() @ right[-1].detach() > 0).double(), own @ right[-1]))
    for own in reversed(matrices[1:]):
        left.insert(0, step(((own > 0.5).double().T @ left[0].detach() > 0).double(), own.T @ left[0]))
    return {name: left[i][:, None] * right[i] for i, name in enumerate(psi)}


def gradients(joins: Psi, psi: Psi, seed: int = 0) -> list[torch.Tensor]:
    """Return the gradients of a sum of the effective masks with random weights."""
    generator = torch.Generator().manual_seed(seed)
    weights = [torch.randn(own.shape, generator=generator, dtype=own.dtype) for own in psi.values()]
    total = sum((w * joins[name] * psi[name]).sum() for w, name in zip(weights, psi, strict=True))
    return list(torch.autograd.grad(total, list(psi.values())))


@pytest.mark.parametrize("kept", [0.05, 0.2, 0.6])
@pytest.mark.parametrize("sizes", [(3, 2), (4, 6, 3), (7, 5, 6, 4, 2)], ids=str)
def test_a_chain_is_equation_4_and_5(sizes: tuple[int, ...], kept: float) -> None:
    graph = chain(sizes)
    psi = drawn_psi(graph, 1, kept)
    joins, expected = Supervision(graph)(psi), joins_of_chain(psi)

    torch.testing.assert_close(joins, expected)
    torch.testing.assert_close(gradients(joins, psi), gradients(expected, psi))


def joins_by_units(graph: ng.NetGraph, psi: Psi, found: ng.Sweep) -> Psi:
    """Return the joins from one dense matrix over all units, with the gradient by autograd."""
    n, crisp = graph.n_units, [torch.from_numpy(f).double() for f in (found.accessible, found.co_accessible)]
    weights, wires = torch.zeros(n, n, dtype=torch.float64), torch.zeros(n, n, dtype=torch.float64)
    ends = []
    for c in graph.weighted:
        row, column, tap = np.indices((c.rows, c.columns, c.taps)).reshape(3, -1)
        source = graph.slices[c.source].start + c.source_start + row // (c.rows // c.groups) * c.columns + column
        ends.append((c, torch.from_numpy(c.elements()[row, column, tap]), source))
        place = torch.from_numpy(graph.slices[c.target].start + c.target_start + row), torch.from_numpy(source)
        weights = weights.index_put(place, psi[c.parameter].flatten()[ends[-1][1]], accumulate=True)
    passing = opened(graph, found.nonzero)
    for c in graph.wiring:
        source, target = c.edges()
        source, target = source + graph.slices[c.source].start, target + graph.slices[c.target].start
        wires.index_put_((torch.from_numpy(target), torch.from_numpy(source)), passing[id(c)][target], accumulate=True)
    single = [(wires.bool().sum(d) == 1) & ~weighed(graph, d, n) & (wires.sum(d) == 1) for d in (1, 0)]
    for name in graph.products:
        single[0][graph.slices[name]] = True
    gate = torch.from_numpy(graph.gate.copy()).double()
    live, co = list(crisp[0]), list(crisp[1])
    for unit in range(n):
        if unit not in graph.inputs:
            live[unit] = flag(crisp[0][unit], (weights + wires)[unit] @ torch.stack(live), single[0][unit], gate[unit])
    for unit in reversed(range(n)):
        if unit not in graph.outputs:
            soft = (weights + wires)[:, unit] @ (gate * torch.stack(co))
            co[unit] = flag(crisp[1][unit], soft, single[1][unit], torch.ones(()))
    return joined(graph, psi, ends, torch.stack(live), gate * torch.stack(co))


def weighed(graph: ng.NetGraph, dim: int, n: int) -> torch.Tensor:
    """Return the units into which, or out of which, some weight leads."""
    there = torch.zeros(n, dtype=torch.bool)
    for c in graph.weighted:
        spans = (c.target, c.target_start, c.rows), (c.source, c.source_start, c.groups * c.columns)
        name, start, count = spans[0 if dim == 1 else 1]
        there[graph.slices[name].start + start :][:count] = True
    return there


def opened(graph: ng.NetGraph, nonzero: np.ndarray) -> dict[int, torch.Tensor]:
    """Return for each wiring the units at which all other factors are nonzero."""
    present: dict[tuple[str, int], torch.Tensor] = {}
    for c in graph.wiring:
        flags = present.setdefault((c.target, c.factor), torch.ones(graph.n_units, dtype=torch.float64))
        if c.target in graph.products:
            source, target = c.edges()
            flags[target + graph.slices[c.target].start] = torch.from_numpy(
                nonzero[source + graph.slices[c.source].start]
            ).double()
    found = {}
    for c in graph.wiring:
        others = [f for (name, factor), f in present.items() if name == c.target and factor != c.factor]
        alone = torch.ones(graph.n_units, dtype=torch.float64)
        found[id(c)] = torch.stack([alone, *others]).prod(0) if c.target in graph.products else alone
    return found


def flag(crisp: torch.Tensor, soft: torch.Tensor, handed: torch.Tensor, gate: torch.Tensor) -> torch.Tensor:
    soft = soft if handed else torch.sigmoid(soft)
    return crisp + gate * (soft - soft.detach())


def joined(graph: ng.NetGraph, psi: Psi, ends: list, live: torch.Tensor, passing: torch.Tensor) -> Psi:
    found = {name: torch.zeros(own.numel(), dtype=torch.float64) for name, own in psi.items()}
    for c, elements, source in ends:
        row = np.indices((c.rows, c.columns, c.taps)).reshape(3, -1)[0]
        target = graph.slices[c.target].start + c.target_start + row
        found[c.parameter] = found[c.parameter].index_put((elements,), passing[target] * live[source], accumulate=True)
    return {name: own.view(psi[name].shape) for name, own in found.items()}


@pytest.mark.parametrize("seed", [0, 2, 3, 5, 6, 8, 9])
def test_random_graphs_are_autograd_over_units(seed: int) -> None:
    graph = random_graph(seed, layers=4)
    psi = drawn_psi(graph, seed, 0.05)
    found = ng.sweep(graph.with_masks({name: (own > 0.5).numpy() for name, own in psi.items()}))
    joins, expected = Supervision(graph)(psi), joins_by_units(graph, psi, found)

    torch.testing.assert_close(joins, expected)
    torch.testing.assert_close(gradients(joins, psi), gradients(expected, psi))


NETWORKS = ["resnet20_a", "se_resnet", "shufflenet_v2", "vit_class", "raw_matmul"]
NETWORKS += ["chunked_projection", "transposed_conv", "group_norm", "tied_embedding", "shared_module", "glu", "einsum"]


@pytest.mark.parametrize("name", NETWORKS)
def test_networks(name: str) -> None:
    case = CASES[name]
    graph = pa.to_graph(case.model(), case.inputs(), masks={})
    psi = drawn_psi(graph, 2, 0.3, torch.float32)
    kept = graph.with_masks({name: (own > 0.5).numpy() for name, own in psi.items()})
    joins = Supervision(graph)(psi)
    masks = {name: (psi[name] > 0.5) & joins[name].bool() for name in psi}
    pulls = gradients(joins, psi)

    torch.testing.assert_close(masks, pa.to_masks(ng.trim(kept)))
    assert all(pull.isfinite().all() for pull in pulls)
    assert sum(int((pull != 0).sum()) for pull in pulls) > 0


@pytest.mark.parametrize("name", ["resnet20_a", "lenet"])
def test_no_gradient_where_neither_end_is_alive(name: str) -> None:
    """A sparse network has weights from units that are not live to units that no output depends on."""
    case = CASES[name]
    graph = pa.to_graph(case.model(), case.inputs(), masks={})
    psi = drawn_psi(graph, 2, 0.02, torch.float32)
    found = ng.sweep(graph.with_masks({name: (own > 0.5).numpy() for name, own in psi.items()}))
    joins = Supervision(graph)(psi)
    pulls = dict(
        zip(psi, torch.autograd.grad(sum(own.sum() for own in joins.values()), list(psi.values())), strict=True)
    )
    none = ng.reach.passes.restrict(graph, ~found.accessible, ~(found.co_accessible & graph.gate))
    lost = pa.to_masks(graph.with_bits(none))

    assert sum(int(own.sum()) for own in lost.values()) > 0
    assert all(not pulls[name][own].any() for name, own in lost.items() if len(graph.uses(name)) == 1)


def test_a_drawn_graph() -> None:
    """Two hidden units, of which one leads nowhere: the sums are 0.9 and 0.1."""
    psi = {"weight1": torch.tensor([[0.9], [0.9]]), "weight2": torch.tensor([[0.8, 0.1]], requires_grad=True)}
    joins = Supervision(ng.from_biadjacency([[[1], [1]], [[1, 1]]]))(psi)
    joins["weight1"].sum().backward()
    slopes = [torch.sigmoid(torch.tensor(x)) * torch.sigmoid(torch.tensor(-x)) for x in (0.8, 0.1)]

    assert joins["weight1"].tolist() == [[1.0], [0.0]]
    torch.testing.assert_close(psi["weight2"].grad, torch.stack(slopes)[None])


def test_a_cyclic_graph_has_a_gradient() -> None:
    graph = random_graph(1, cyclic=True)
    psi = drawn_psi(graph, 1, 0.1)
    kept = graph.with_masks({name: (own > 0.5).numpy() for name, own in psi.items()})
    joins = Supervision(graph)(psi)

    torch.testing.assert_close(
        {name: (psi[name] > 0.5) & joins[name].bool() for name in psi}, pa.to_masks(ng.trim(kept))
    )
    assert all(pull.isfinite().all() for pull in gradients(joins, psi))


def test_a_gradient_ends_where_a_feedback_connection_comes_from() -> None:
    """x -> a -> b -> y, and b -> a: what a pulls at b is not handed on to a again."""
    ends = {"xa": ("x", "a"), "ba": ("b", "a"), "ab": ("a", "b"), "by": ("b", "y")}
    connections = [ng.Connection(name, *own, 1, 1, feedback=name == "ba") for name, own in ends.items()]
    graph = ng.NetGraph(dict.fromkeys("xaby", 1), connections, [1] * 4, [0], [3])
    psi = {name: torch.full((1,), 0.6 + i / 10, requires_grad=True) for i, name in enumerate(ends)}
    found = torch.autograd.grad(Supervision(graph)(psi)["by"].sum(), list(psi.values()))
    at_b = torch.sigmoid(torch.tensor(0.8)) * torch.sigmoid(torch.tensor(-0.8))
    at_a = 0.8 * at_b * torch.sigmoid(torch.tensor(1.3)) * torch.sigmoid(torch.tensor(-1.3))

    torch.testing.assert_close(torch.cat(found), torch.stack([at_a, at_a, at_b, torch.zeros(())]))


def test_autocast_changes_nothing() -> None:
    case = CASES["shufflenet_v2"]
    graph = pa.to_graph(case.model(), case.inputs(), masks={})
    psi = drawn_psi(graph, 2, 0.3, torch.float32)
    expected = Supervision(graph)(psi)
    pulls = gradients(expected, psi)
    with torch.autocast("cpu", torch.bfloat16):
        joins = Supervision(graph)(psi)

        torch.testing.assert_close(joins, expected)
        torch.testing.assert_close(gradients(joins, psi), pulls)


@pytest.mark.parametrize("name", ["chunked_projection", "transposed_conv"])
def test_a_gradient_that_is_one_expanded_number(name: str) -> None:
    case = CASES[name]
    graph = pa.to_graph(case.model(), case.inputs(), masks={})
    psi = drawn_psi(graph, 2, 0.3)
    joins = list(Supervision(graph)(psi).values())
    found = torch.autograd.grad([own.sum() for own in joins], list(psi.values()), retain_graph=True)

    torch.testing.assert_close(
        found, torch.autograd.grad(joins, list(psi.values()), [torch.ones_like(own) for own in joins])
    )


def test_parameters_without_psi_keep_what_the_graph_has() -> None:
    graph = chain([2, 2, 1]).with_masks({"w2": np.array([[True, False]])})
    joins = Supervision(graph)({"w1": torch.full((2, 2), 0.9)})

    assert joins["w1"].tolist() == [[1.0, 1.0], [0.0, 0.0]]


def test_a_parameter_without_an_edge_joins_nothing() -> None:
    case = CASES["resnet20_a"]
    graph = pa.to_graph(case.model(), case.inputs(), masks={})
    gates = [name for name in graph.parameters if name not in graph.edge_parameters]
    psi = drawn_psi(graph, 2, 0.3)
    psi[gates[0]] = torch.ones(graph.parameters[gates[0]].shape, dtype=torch.float64, requires_grad=True)
    joins = Supervision(graph)(psi)

    assert not joins[gates[0]].any()
    assert not gradients(joins, psi)[-1].any()
