"""netgraph.incremental: after any deletes and inserts the answer is that of a sweep over the same graph."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

import netgraph as ng
from netgraph import native
from netgraph.incremental import _factors_stay_nonzero
from random_graphs import random_graph

needs_kernels = pytest.mark.skipif(native.kernels is None, reason="counting needs the compiled kernels")


def chain(bits=(0b11, 0b11), **options):
    """x (1 unit) -> h (2 units) -> y (1 unit): ids 0 | 1 2 | 3."""
    connections = [
        ng.Connection("w", "x", "h", 2, 1, index=ng.ElementIndex(0, (2, 1, 1, 1))),
        ng.Connection("v", "h", "y", 1, 2, index=ng.ElementIndex(0, (2, 2, 1, 1))),
    ]
    return ng.NetGraph({"x": 1, "h": 2, "y": 1}, connections, np.array(bits), [0], [3], **options)


def assert_equals_sweep(reach):
    found = ng.sweep(reach.graph())

    assert_array_equal(reach.accessible, found.accessible)
    assert_array_equal(reach.co_accessible, found.co_accessible)
    assert reach.n_consistent == found.consistent.sum()


def changed_at_random(reach, graph, seed, rounds=12, sizes=(0, 1, 5, None)):
    """Delete and insert random batches in turn (None: of half the parameter), checking each state."""
    rng = np.random.default_rng(seed)
    names = graph.edge_parameters
    for number in range(rounds):
        name = names[rng.integers(len(names))]
        size = graph.parameters[name].size
        batch = sizes[rng.integers(len(sizes))]
        elements = rng.integers(0, size, max(size // 2, 1) if batch is None else batch)
        if number % 3 == 1:
            reach.insert(name, elements)
        else:
            kept = np.flatnonzero(reach.graph().masks()[name])
            reach.delete(name, kept[elements % kept.size] if kept.size and number % 2 else elements)
        assert_equals_sweep(reach)


def test_a_unit_dies_with_its_only_edge_and_comes_back():
    reach = ng.IncrementalReach(chain())
    reach.delete("w", np.array([1]))

    assert reach.accessible.tolist() == [True, True, False, True]
    assert reach.n_consistent == 2
    reach.delete("v", np.array([0, 1]))

    assert reach.co_accessible.tolist() == [False, False, False, True]
    assert reach.n_consistent == 0
    reach.insert("w", np.array([0, 1]))
    reach.insert("v", np.array([0, 1]))

    assert reach.accessible.all()
    assert reach.n_consistent == 4


@pytest.mark.parametrize("mode", ["auto", "recompute"])
@pytest.mark.parametrize("seed", range(8))
def test_every_state_equals_a_sweep(seed, mode):
    graph = random_graph(seed, cyclic=seed % 4 == 3, layers=5)
    changed_at_random(ng.IncrementalReach(graph, mode=mode), graph, seed)


@needs_kernels
@pytest.mark.parametrize("seed", range(30))
def test_counting_equals_a_sweep(seed):
    graph = random_graph(seed, products=False)
    changed_at_random(ng.IncrementalReach(graph, mode="count"), graph, seed)


@needs_kernels
@pytest.mark.parametrize("seed", range(30))
def test_counting_through_products_of_nonzero_factors_equals_a_sweep(seed):
    graph = random_graph(seed)
    everywhere = np.ones(graph.n_units, dtype=bool)
    graph = ng.NetGraph(
        graph.layers,
        graph.connections,
        graph.bits,
        graph.inputs,
        graph.outputs,
        graph.products,
        gate=graph.gate,
        shift=everywhere,
    )
    changed_at_random(ng.IncrementalReach(graph, mode="count"), graph, seed)


@needs_kernels
@pytest.mark.parametrize("seed", range(5))
def test_deleting_and_inserting_again_restores_everything(seed):
    graph = random_graph(seed, products=False, density=0.05)
    reach = ng.IncrementalReach(graph, mode="count")
    kept = {name: np.flatnonzero(mask) for name, mask in graph.masks().items()}
    for change in (reach.delete, reach.insert):
        for name in graph.edge_parameters:
            change(name, kept[name])

    assert_equals_sweep(reach)
    masks = reach.graph().masks()
    for name, mask in graph.masks().items():
        assert_array_equal(masks[name], mask)


@needs_kernels
def test_an_edge_removed_between_two_deaths_of_its_source_is_counted_once():
    reach = ng.IncrementalReach(chain(), mode="count")
    for change, name, element in [
        (reach.delete, "w", 0),
        (reach.insert, "w", 0),
        (reach.delete, "v", 0),
        (reach.delete, "w", 0),
    ]:
        change(name, np.array([element]))
        assert_equals_sweep(reach)


@needs_kernels
@pytest.mark.parametrize("seed", range(10))
def test_many_small_changes_of_a_sparse_graph_equal_a_sweep(seed):
    graph = random_graph(seed, products=False, layers=3, density=0.01)
    changed_at_random(ng.IncrementalReach(graph, mode="count"), graph, seed, rounds=100, sizes=(1, 2, 20))


def test_a_parameter_with_two_uses_changes_both():
    index = ng.ElementIndex(0, (1, 1, 1, 1))
    connections = [ng.Connection("w", "x", "h", 1, 1, index=index), ng.Connection("w", "h", "y", 1, 1, index=index)]
    reach = ng.IncrementalReach(ng.NetGraph({"x": 1, "h": 1, "y": 1}, connections, np.array([1, 1]), [0], [2]))
    reach.delete("w", np.array([0]))

    assert reach.accessible.tolist() == [True, False, False]
    assert reach.n_consistent == 0


def test_elements_that_a_connection_reads_twice_change_together():
    connections = [ng.Connection("w", "x", "y", 2, 2, index=np.array([[[0], [1]], [[1], [0]]]))]
    reach = ng.IncrementalReach(ng.NetGraph({"x": 2, "y": 2}, connections, np.array([0b1111]), [0, 1], [2, 3]))
    reach.delete("w", np.array([1]))

    assert reach.graph().bits.tolist() == [0b1001]


def test_cycles_are_recomputed():
    graph = random_graph(0, cyclic=True, layers=4)

    with pytest.raises(ValueError, match=r"got 'count', but counting needs .* no cycle"):
        ng.IncrementalReach(graph, mode="count")


def test_a_factor_that_may_become_zero_is_found():
    wiring = [ng.Wiring("x", "m", 1, factor=0), ng.Wiring("h", "m", 1, factor=1)]
    weights = ng.Connection("w", "x", "h", 1, 1)

    def gated(shift):
        sizes, products = {"x": 1, "h": 1, "m": 1}, frozenset({"m"})
        connections = [weights, *wiring]
        return ng.NetGraph(sizes, connections, np.array([1]), [0], [2], products=products, shift=shift)

    assert not _factors_stay_nonzero(gated([False, False, False]))
    assert _factors_stay_nonzero(gated([False, True, False]))
    reach = ng.IncrementalReach(gated([False, False, False]))
    reach.delete("w", np.array([0]))

    assert reach.co_accessible.tolist() == [False, True, True]


@needs_kernels
def test_small_batches_are_counted_only_once_that_pays():
    index = ng.ElementIndex(0, (256 * 256, 256, 1, 1))
    full = np.full(256 * 4, 2**64 - 1, dtype=np.uint64)
    connections = [ng.Connection("w", "x", "y", 256, 256, index=index)]
    reach = ng.IncrementalReach(ng.NetGraph({"x": 256, "y": 256}, connections, full, range(256), range(256, 512)))
    counted = []
    for element in range(20):
        reach.delete("w", np.array([element]))
        counted.append(reach._counters is not None)

    assert counted == sorted(counted)
    assert counted[0] != counted[-1]
    reach.delete("w", np.arange(60_000))

    assert reach._counters is None
    assert_equals_sweep(reach)


def test_the_graph_given_and_the_graph_returned_stay_as_they_are():
    graph = chain()
    reach = ng.IncrementalReach(graph)
    reach.delete("w", np.array([0]))
    between = reach.graph()
    reach.delete("w", np.array([1]))

    assert graph.bits.tolist() == [0b11, 0b11]
    assert between.bits.tolist() == [0b10, 0b11]


@pytest.mark.parametrize(
    ("parameter", "elements", "error", "message"),
    [
        ("u", np.array([0]), KeyError, r"parameter 'u': no connection uses it; the graph has 'w', 'v'"),
        ("w", np.array([2]), IndexError, r"elements of 'w': expected 0 <= index < 2, got \[2, 2\]"),
        ("w", np.array([-1]), IndexError, r"expected 0 <= index < 2, got \[-1, -1\]"),
        ("w", np.array([True]), ValueError, r"expected flat indexes, got dtype bool"),
    ],
)
def test_bad_changes_are_refused(parameter, elements, error, message):
    with pytest.raises(error, match=message):
        ng.IncrementalReach(chain()).delete(parameter, elements)


def test_unknown_mode():
    with pytest.raises(ValueError, match="mode: expected 'auto', 'count' or 'recompute', got 'fast'"):
        ng.IncrementalReach(chain(), mode="fast")
