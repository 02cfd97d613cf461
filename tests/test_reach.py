"""netgraph.reach: value classes, co-accessibility, trim and drop_dead against written answers and a loop over edges."""

import networkx as nx
import numpy as np
import pytest
from numpy.testing import assert_array_equal

import netgraph as ng
from netgraph import reference
from netgraph.bits import unpack_rows
from random_graphs import random_graph

SEEDS = range(40)


def dense(name, source, target, rows, columns, **options):
    index = ng.ElementIndex(0, (rows * columns, columns, 1, 1))
    return ng.Connection(name, source, target, rows, columns, index=index, **options)


def chain(bits, **options):
    """x (1 unit) -> h (3 units) -> y (1 unit): ids 0 | 1 2 3 | 4."""
    connections = [dense("w", "x", "h", 3, 1), dense("v", "h", "y", 1, 3)]
    return ng.NetGraph({"x": 1, "h": 3, "y": 1}, connections, np.array(bits), [0], [4], **options)


#
#        0                 h: 1 is reached and leads on
#      /   \                  2 is reached and leads nowhere
#     1     2     3           3 is not reached and leads on
#      \          /
#           4


def test_path_dead_end_and_source_less_unit():
    graph = chain([0b011, 0b101])
    found = ng.sweep(graph)

    assert found.accessible.tolist() == [True, True, True, False, True]
    assert found.co_accessible.tolist() == [True, True, False, True, True]
    assert found.consistent.tolist() == [1, 1]
    assert ng.dead_units(graph).tolist() == [2]
    assert ng.constant_units(graph).tolist() == [3]
    assert ng.trim(graph).bits.tolist() == [0b001, 0b001]
    assert [ids.tolist() for ids in ng.consistent_edges(graph)] == [[0, 1], [1, 4]]


def test_a_unit_fed_only_by_its_bias_is_constant_not_dead():
    graph = chain([0b011, 0b101], shift=[False, False, False, True, False])

    assert ng.unit_classes(graph).tolist() == [2, 2, 2, 1, 2]
    assert ng.constant_units(graph).tolist() == [3]
    assert ng.drop_dead(graph).bits.tolist() == [0b001, 0b101]
    assert ng.trim(graph).bits.tolist() == [0b001, 0b001]


def test_a_masked_gate_cuts_the_unit_off():
    graph = chain([0b111, 0b111], gate=[True, False, True, True, True], shift=[False, True, False, False, False])
    found = ng.sweep(graph)

    assert ng.unit_classes(graph).tolist() == [2, 1, 2, 2, 2]
    assert found.co_accessible.all()  # the gate stands after the sum: its unit still reaches the output
    assert found.consistent.tolist() == [2, 2]


@pytest.mark.parametrize(
    ("kept", "classes", "co"),
    [
        ([1, 1], [2, 2, 2, 2], [True, True, True, True]),
        ([1, 0], [2, 2, 0, 0], [False, False, True, True]),  # times zero: nothing passes through the other factor
        ([0, 0], [2, 0, 0, 0], [False, False, False, True]),
    ],
)
def test_product_is_zero_with_any_factor_and_blocks_the_others(kept, classes, co):
    connections = [
        dense("a", "x", "p", 1, 1),
        dense("b", "x", "q", 1, 1),
        ng.Wiring("p", "m", 1, factor=0),
        ng.Wiring("q", "m", 1, factor=1),
    ]
    sizes = {"x": 1, "p": 1, "q": 1, "m": 1}
    graph = ng.NetGraph(sizes, connections, np.array(kept), [0], [3], products=frozenset({"m"}))

    assert ng.unit_classes(graph).tolist() == classes
    assert ng.co_accessible(graph).tolist() == co


def test_factor_without_a_source_is_a_constant():
    connections = [ng.Wiring("x", "m", 1, factor=0), ng.Wiring("x", "m", 1, factor=1, target_start=1)]
    graph = ng.NetGraph({"x": 1, "m": 2}, connections, np.zeros(0), [0], [1, 2], products=frozenset({"m"}))

    assert ng.unit_classes(graph).tolist() == [2, 2, 2]


def test_feedback_is_followed_to_the_fixed_point():
    # x -> a -> b -> a; the output reads a, so b matters only around the cycle
    connections = [dense("w", "x", "a", 1, 1), dense("v", "a", "b", 1, 1), dense("u", "b", "a", 1, 1, feedback=True)]
    graph = ng.NetGraph({"x": 1, "a": 1, "b": 1}, connections, np.array([1, 1, 1]), [0], [1])

    assert ng.accessible(graph).all()
    assert ng.co_accessible(graph).all()
    assert ng.sweep(graph).consistent.tolist() == [1, 1, 1]


def test_a_cycle_without_an_input_stays_zero():
    connections = [dense("w", "x", "a", 1, 1), dense("v", "a", "b", 1, 1), dense("u", "b", "a", 1, 1, feedback=True)]
    graph = ng.NetGraph({"x": 1, "a": 1, "b": 1}, connections, np.array([0, 1, 1]), [0], [1])

    assert ng.unit_classes(graph).tolist() == [2, 0, 0]


def test_layer_norm_mixes_units():
    connections = [dense("w", "x", "h", 3, 1), ng.Wiring("h", "n", 1, fan_in=3, fan_out=3)]
    graph = ng.NetGraph({"x": 1, "h": 3, "n": 3}, connections, np.array([0b010]), [0], [4])

    assert ng.accessible(graph).tolist() == [True, False, True, False, True, True, True]
    assert ng.co_accessible(graph).tolist() == [True, True, True, True, True, False, False]


def test_channel_shuffle_follows_its_pairs():
    pairs = np.array([[0, 1, 2, 3], [0, 2, 1, 3]], dtype=np.int32)
    graph = ng.NetGraph({"x": 4, "y": 4}, [ng.Wiring("x", "y", 0, pairs=pairs)], np.zeros(0), [1], [6])

    assert ng.accessible(graph).tolist() == [False, True, False, False, False, False, True, False]
    assert ng.co_accessible(graph).tolist() == [False, True, False, False, False, False, True, False]


def edges_of(graph):
    """Yield (source, target, factor, connection number) of every edge; the number is None for wiring."""
    position = 0
    for c in graph.connections:
        source, target = graph.slices[c.source].start, graph.slices[c.target].start
        if isinstance(c, ng.Wiring):
            for s, t in zip(*c.edges(), strict=True):
                yield source + s, target + t, c.factor, None
            continue
        per_group = c.rows // c.groups
        for row, column, _ in zip(*np.nonzero(graph.kept(position)), strict=True):
            group = row // per_group
            yield source + c.source_start + group * c.columns + column, target + c.target_start + row, 0, position
        position += 1


def swept_by_loops(graph):
    """Return live, nonzero, co-accessible and consistent counts, edge by edge until nothing changes."""
    edges = list(edges_of(graph))
    product = np.concatenate([np.full(n, name in graph.products) for name, n in graph.layers.items()])
    n, inputs = graph.n_units, set(graph.inputs.tolist())
    live, nonzero = np.zeros(n, bool), np.zeros(n, bool)
    factors = [[] for _ in range(n)]
    for s, t, factor, _ in edges:
        factors[t].append((s, factor))
    while True:
        before = live.copy(), nonzero.copy()
        for t in range(n):
            sources = [s for s, _ in factors[t]]
            join = all if product[t] else any
            nonzero[t] = join(nonzero[s] for s in sources)
            live[t] = any(live[s] for s in sources) and (nonzero[t] or not product[t])
            live[t], nonzero[t] = live[t] & graph.gate[t], (nonzero[t] & graph.gate[t]) | graph.shift[t]
            if t in inputs:
                live[t] = nonzero[t] = True
        if all(np.array_equal(a, b) for a, b in zip(before, (live, nonzero), strict=True)):
            break
    co = np.zeros(n, bool)
    co[graph.outputs] = True
    while True:
        before = co.copy()
        for s, t, factor, _ in edges:
            others = [nonzero[o] for o, f in factors[t] if f != factor] if product[t] else []
            co[s] |= co[t] and graph.gate[t] and all(others)
        if np.array_equal(before, co):
            break
    consistent = np.zeros(len(graph.weighted), np.int64)
    for s, t, _, position in edges:
        if position is not None:
            consistent[position] += live[s] and co[t] and graph.gate[t]
    return live, nonzero, co, consistent


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("cyclic", [False, True])
def test_sweeps_equal_loops_over_edges(seed, cyclic):
    graph = random_graph(seed, cyclic=cyclic, layers=5)
    found = ng.sweep(graph)
    expected = swept_by_loops(graph)

    for name, by_loops, by_reference in zip(ng.Sweep.__slots__, expected, reference.sweep(graph), strict=True):
        assert_array_equal(getattr(found, name), by_loops, err_msg=name)
        assert_array_equal(by_reference, by_loops, err_msg=name)


@pytest.mark.parametrize("seed", range(10))
def test_without_products_and_gates_reach_is_that_of_networkx(seed):
    graph = random_graph(seed, cyclic=seed % 2 == 1, products=False)
    graph = ng.NetGraph(graph.layers, graph.connections, graph.bits, graph.inputs, graph.outputs)
    digraph = nx.DiGraph((int(s), int(t)) for s, t, _, _ in edges_of(graph))
    digraph.add_nodes_from(range(graph.n_units))
    reached = set().union(graph.inputs.tolist(), *(nx.descendants(digraph, u) for u in graph.inputs.tolist()))
    leading = set().union(graph.outputs.tolist(), *(nx.ancestors(digraph, u) for u in graph.outputs.tolist()))

    assert set(np.flatnonzero(ng.accessible(graph)).tolist()) == reached
    assert set(np.flatnonzero(ng.co_accessible(graph)).tolist()) == leading


@pytest.mark.parametrize("seed", SEEDS)
def test_trim_keeps_exactly_the_consistent_elements(seed):
    graph = random_graph(seed, cyclic=seed % 4 == 0)
    found, trimmed = ng.sweep(graph), ng.trim(graph)

    assert_array_equal(np.bitwise_count(trimmed.bits).sum(), found.consistent.sum())
    assert_array_equal(ng.trim(trimmed).bits, trimmed.bits)
    assert_array_equal(trimmed.bits & graph.bits, trimmed.bits)
    assert_array_equal(trimmed.bits, reference.restrict(graph, found.accessible, found.co_accessible & graph.gate))


@pytest.mark.parametrize("seed", SEEDS)
def test_drop_dead_is_idempotent_and_keeps_every_class_that_matters(seed):
    graph = random_graph(seed, cyclic=seed % 4 == 0)
    dropped = ng.drop_dead(graph)
    co, nonzero = ng.co_accessible(graph), ng.sweep(graph).nonzero

    assert_array_equal(ng.drop_dead(dropped).bits, dropped.bits)
    assert_array_equal(ng.co_accessible(dropped)[nonzero], co[nonzero])
    assert_array_equal(ng.unit_classes(dropped)[co], ng.unit_classes(graph)[co])
    assert_array_equal(dropped.bits & ng.trim(graph).bits, ng.trim(graph).bits)


def test_adding_an_edge_never_shrinks_reach_without_products():
    graph = random_graph(3, products=False, density=0.02)
    more = graph.with_bits(graph.bits | random_graph(3, products=False, density=0.021).bits)

    assert not (ng.accessible(graph) & ~ng.accessible(more)).any()
    assert not (ng.co_accessible(graph) & ~ng.co_accessible(more)).any()


def test_everything_pruned():
    graph = chain([0, 0])

    assert ng.unit_classes(graph).tolist() == [2, 0, 0, 0, 0]
    assert ng.dead_units(graph).tolist() == [0, 1, 2, 3]
    assert ng.sweep(graph).consistent.tolist() == [0, 0]
    assert ng.trim(graph).bits.tolist() == [0, 0]


def test_empty_layers_and_connections_without_elements():
    connections = [dense("w", "x", "h", 0, 2), dense("v", "h", "y", 2, 0), ng.Wiring("h", "y", 0)]
    graph = ng.NetGraph({"x": 2, "h": 0, "y": 2}, connections, np.zeros(0), [0, 1], [2, 3])

    assert ng.unit_classes(graph).tolist() == [2, 2, 0, 0]
    assert ng.sweep(graph).consistent.tolist() == [0, 0]
    assert ng.trim(graph).bits.size == 0
    assert [ids.size for ids in ng.consistent_edges(graph)] == [0, 0]


def test_graph_without_units():
    graph = ng.NetGraph({}, (), np.zeros(0), np.zeros(0), np.zeros(0))

    assert ng.unit_classes(graph).size == 0


def random_weights(graph, dtype, seed):
    """Return weights of each parameter, of which about half are 0 or -0, and the masks that they stand for."""
    rng = np.random.default_rng(seed)
    weights, masks = {}, {}
    for name, info in graph.parameters.items():
        kept = rng.random(info.shape) < 0.1
        zero = rng.choice([0.0, -0.0], info.shape)
        weights[name] = np.where(kept, rng.choice([1e-7, 2.5, -3.0], info.shape) if dtype.kind == "f" else 1, zero)
        weights[name], masks[name] = weights[name].astype(dtype), kept
    return weights, masks


@pytest.mark.parametrize("dtype", ["f8", "f4", "f2", "u1", "?", "i4", "i8", ">f4", "g"])
@pytest.mark.parametrize("seed", range(4))
def test_weights_pack_to_the_masks_they_stand_for(seed, dtype):
    graph = random_graph(seed, cyclic=seed == 3)
    weights, masks = random_weights(graph, np.dtype(dtype), seed)
    kept, found = ng.sweep_weights(graph, weights)
    expected = graph.with_masks(masks)

    assert_array_equal(kept.bits, expected.bits)
    for name in ng.Sweep.__slots__:
        assert_array_equal(getattr(found, name), getattr(ng.sweep(expected), name), err_msg=name)
    assert_array_equal(ng.with_weights(graph, weights).bits, expected.bits)


@pytest.mark.parametrize("seed", range(4))
def test_bfloat16_arrives_as_uint16(seed):
    graph = random_graph(seed)
    weights, masks = random_weights(graph, np.dtype("f4"), seed)
    halves = {name: (w.view(np.uint32) >> 16).astype(np.uint16) for name, w in weights.items()}
    kept, _ = ng.sweep_weights(graph, halves, dtype="bfloat16")

    assert_array_equal(kept.bits, graph.with_masks(masks).bits)


def test_parameters_without_an_entry_keep_their_bits():
    graph = chain([0b011, 0b101])
    kept = ng.with_weights(graph, {"v": np.array([0.0, 1.0, 0.0])})

    assert kept.bits.tolist() == [0b011, 0b010]


def test_a_parameter_used_twice_is_packed_in_both_places():
    connections = [dense("w", "x", "h", 2, 2), dense("w", "h", "y", 2, 2)]
    graph = ng.NetGraph({"x": 2, "h": 2, "y": 2}, connections, np.zeros(2), [0, 1], [4, 5])
    kept = ng.with_weights(graph, {"w": np.array([1.0, 0.0, 0.0, 2.0])})

    assert [unpack_rows(kept.words(i), 2, 2).tolist() for i in (0, 1)] == [[[True, False], [False, True]]] * 2


def test_strided_and_transposed_arrays_are_read_right():
    connections = [dense("w", "x", "y", 40, 40)]
    parameters = {"w": ng.ParameterInfo((40, 40), "edge")}
    graph = ng.NetGraph({"x": 40, "y": 40}, connections, np.zeros(40), [0], [40], parameters=parameters)
    weight = np.random.default_rng(0).normal(size=(40, 40)) * (np.arange(40) % 3 == 0)
    strided = np.zeros((40, 80))[:, ::2]
    strided[:] = weight

    for form in (weight, np.asfortranarray(weight), strided):
        assert_array_equal(ng.with_weights(graph, {"w": form}).kept(0)[:, :, 0], weight != 0)


@pytest.mark.parametrize("dtype", ["f8", "f4", "f2", "g"])
def test_nan_is_an_error_that_names_its_place(dtype):
    graph = random_graph(1)
    name = graph.weighted[0].parameter
    weights = {name: np.zeros(graph.parameters[name].shape, dtype=dtype)}
    element = int(graph.weighted[0].elements().max())
    weights[name].reshape(-1)[element] = np.nan

    with pytest.raises(ng.WeightValueError, match=rf"weight '{name}': element {element} is NaN"):
        ng.sweep_weights(graph, weights)


def test_nan_of_bfloat16_is_found_and_infinity_is_kept():
    graph = chain([0, 0])
    infinite = ng.with_weights(graph, {"w": np.array([0x7F80, 0xFF80, 0x8000], np.uint16)}, dtype="bfloat16")

    assert infinite.bits.tolist() == [0b011, 0]
    with pytest.raises(ng.WeightValueError, match="element 1 is NaN"):
        ng.with_weights(graph, {"w": np.array([0, 0x7F81, 0], np.uint16)}, dtype="bfloat16")


@pytest.mark.parametrize(
    ("weights", "options", "error", "message"),
    [
        ({"u": np.zeros(3)}, {}, KeyError, r"weight 'u': no such parameter; the graph has 'w', 'v'"),
        ({"w": np.zeros((3, 1))}, {}, ValueError, r"weight 'w': expected shape \(3,\), got \(3, 1\)"),
        ({"w": np.zeros(3, complex)}, {}, ValueError, r"weight 'w': expected a real dtype, got complex128"),
        ({"w": np.zeros(3, np.uint16)}, {}, ValueError, r"dtype uint16 has two readings; pass dtype='bfloat16'"),
        ({"w": np.zeros(3)}, {"dtype": "float16"}, ValueError, r"expected 'bfloat16' or None, got 'float16'"),
    ],
)
def test_bad_weights_are_refused(weights, options, error, message):
    with pytest.raises(error, match=message):
        ng.with_weights(chain([0, 0]), weights, **options)


def test_the_graph_and_its_arrays_are_not_changed():
    graph = random_graph(0)
    bits = graph.bits.copy()
    ng.trim(graph), ng.drop_dead(graph), ng.sweep(graph)

    assert_array_equal(graph.bits, bits)
    assert not ng.trim(graph).bits.flags.writeable


def test_products_take_wiring_only():
    with pytest.raises(ng.GraphStructureError, match=r"into a product layer expected wiring .* got weights"):
        ng.NetGraph({"x": 1, "m": 1}, [dense("w", "x", "m", 1, 1)], np.array([1]), [0], [1], products=frozenset({"m"}))


@pytest.mark.parametrize(
    "connection",
    [
        ng.Connection("w", "x", "y", 2, 2, source_start=-1),
        ng.Connection("w", "x", "y", 2, -1),
        ng.Wiring("x", "y", 2, target_start=-1),
        ng.Wiring("x", "y", 0, pairs=np.array([[0, -1], [1, 0]], dtype=np.int32)),
    ],
)
def test_negative_units_are_refused(connection):
    with pytest.raises(
        ng.GraphStructureError, match=r"'x' -> 'y': expected sizes, starts and units of at least 0, got -1"
    ):
        ng.NetGraph({"x": 2, "y": 2}, [connection], np.zeros(2), [0], [1])
