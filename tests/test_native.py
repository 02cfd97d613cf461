"""netgraph._native and its loader: every instruction set gives the answer of the numpy reference."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal

import netgraph as ng
from netgraph import compiled, native, reference
from netgraph.bits import pack_rows
from random_graphs import random_graph

needs_kernels = pytest.mark.skipif(native.kernels is None, reason="the compiled kernels are missing")


def assert_same_sweep(found, expected):
    for name, a, b in zip(ng.Sweep.__slots__, found, expected, strict=True):
        assert_array_equal(a, b, err_msg=name)


@pytest.mark.parametrize("cyclic", [False, True])
@pytest.mark.parametrize("seed", range(25))
def test_sweeps_equal_the_reference(kernels, seed, cyclic):
    graph = random_graph(seed, cyclic=cyclic)

    assert_same_sweep(compiled.sweep(graph), reference.sweep(graph))


@pytest.mark.parametrize("seed", range(25))
def test_restricted_bits_equal_the_reference(kernels, seed):
    graph = random_graph(seed, density=0.5)
    rng = np.random.default_rng(seed)
    sources, targets = rng.random((2, graph.n_units)) < 0.7

    assert_array_equal(compiled.restrict(graph, sources, targets), reference.restrict(graph, sources, targets))


@pytest.mark.parametrize("dtype", ["f8", "f4", "f2", "u2", "u1", "?"])
@pytest.mark.parametrize("seed", range(6))
def test_packed_weights_equal_the_reference(kernels, seed, dtype):
    graph = random_graph(seed)
    rng = np.random.default_rng(seed)
    weights = {name: (rng.random(p.shape) < 0.2).astype(dtype) for name, p in graph.parameters.items()}
    bits, found = compiled.sweep_weights(graph, weights)
    expected_bits, expected = reference.sweep_weights(graph, weights)

    assert_array_equal(bits, expected_bits)
    assert_same_sweep(found, expected)


def one_connection(rows, columns, taps, groups):
    index = ng.ElementIndex(0, (rows // groups * columns * taps, columns * taps, taps, 1))
    c = ng.Connection("w", "x", "y", rows, columns, taps, groups, index)
    sizes = {"x": groups * columns, "y": rows}
    bits = np.zeros(c.n_words, dtype=np.uint64)
    return ng.NetGraph(sizes, [c], bits, range(groups * columns), range(groups * columns, groups * columns + rows))


@pytest.mark.parametrize("columns", [1, 31, 32, 33, 63, 64, 65, 127, 128, 129, 511, 512, 513, 700, 2049])
@pytest.mark.parametrize("dtype", ["f8", "f4", "f2", "u1"])
def test_every_element_of_a_row_is_packed_at_its_place(kernels, columns, dtype):
    graph = one_connection(3, columns, 1, 1)
    weight = np.random.default_rng(columns).random((3, columns)) < 0.5
    bits, _ = compiled.sweep_weights(graph, {"w": weight.reshape(-1).astype(dtype)})

    assert_array_equal(bits, pack_rows(weight))


@pytest.mark.parametrize(("columns", "taps"), [(1, 9), (5, 9), (64, 9), (30, 1), (32, 1), (600, 1), (3, 200)])
@pytest.mark.parametrize("groups", [1, 2, 6])
def test_a_single_element_is_found_wherever_it_lies(kernels, columns, taps, groups):
    graph = one_connection(6, columns, taps, groups)
    c = graph.weighted[0]
    for element in np.random.default_rng(0).integers(0, c.size, 20):
        kept = np.zeros(c.size, dtype=bool)
        kept[element] = True
        single = graph.with_masks({"w": kept})

        assert_same_sweep(compiled.sweep(single), reference.sweep(single))
        assert compiled.sweep(single)[3].tolist() == [1]


def test_an_empty_connection_after_a_full_one_hits_nothing(kernels):
    connections = [
        ng.Connection("w", "x", "h", 130, 40, index=ng.ElementIndex(0, (130 * 40, 40, 1, 1))),
        ng.Connection("v", "h", "y", 130, 130, index=ng.ElementIndex(0, (130 * 130, 130, 1, 1))),
    ]
    graph = ng.NetGraph({"x": 40, "h": 130, "y": 130}, connections, np.zeros(130 * 4), range(40), range(170, 300))
    _, found = compiled.sweep_weights(graph, {"w": np.ones(130 * 40), "v": np.zeros(130 * 130)})

    assert found[0].tolist() == [True] * 170 + [False] * 130


@pytest.mark.parametrize("dtype", ["f8", "f4", "f2"])
@pytest.mark.parametrize("value", [np.inf, -np.inf, "tiny", "smallest"])
def test_infinities_and_subnormals_are_kept(kernels, dtype, value):
    info = np.finfo(dtype)
    number = {"tiny": info.tiny, "smallest": info.smallest_subnormal}.get(value, value)
    weight = np.zeros(200, dtype=dtype)
    weight[[3, 70, 199]] = number
    bits, _ = compiled.sweep_weights(one_connection(1, 200, 1, 1), {"w": weight})

    assert_array_equal(bits, pack_rows(weight.reshape(1, -1)))


@pytest.mark.parametrize("dtype", ["f8", "f4", "f2", "u2"])
@pytest.mark.parametrize("place", [0, 63, 64, 130, 199])
@pytest.mark.parametrize("sign", [1, -1])
def test_nan_is_found_wherever_it_lies(kernels, dtype, place, sign):
    weight = np.zeros(200, dtype=dtype)
    weight[place] = (0x7FC0 if sign == 1 else 0xFFC0) if dtype == "u2" else np.copysign(np.nan, sign)

    with pytest.raises(ng.WeightValueError, match=f"weight 'w': element {place} is NaN"):
        compiled.sweep_weights(one_connection(4, 50, 1, 1), {"w": weight})


@pytest.mark.parametrize("size", [0, 1, 63, 64, 255, 256, 1000, 4097])
def test_stream_reads_every_byte(kernels, size):
    data = np.random.default_rng(size).integers(0, 256, size, dtype=np.uint8)
    padded = np.concatenate([data, np.zeros(-size % 8, np.uint8)])
    read = kernels.stream(data)

    assert np.bitwise_or.reduce(np.frombuffer(np.uint64(read).tobytes(), np.uint8), initial=0) == np.bitwise_or.reduce(
        padded, initial=0
    )


@needs_kernels
def test_graphs_with_other_bits_share_the_plan():
    graph = random_graph(0)
    plan = compiled.plan_of(graph)

    assert compiled.plan_of(ng.trim(graph)) is plan
    assert compiled.plan_of(random_graph(0)) is not plan


@needs_kernels
@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda k, p, g: k.restrict(p, g.bits[:-1], g.gate, g.gate, g.bits.copy()), r"bits: expected size \d+, got"),
        (lambda k, p, g: k.restrict(p, g.bits, g.gate[1:], g.gate, g.bits.copy()), r"sources: expected size \d+, got"),
        (lambda k, p, g: k.Counters(p, g.bits.copy(), g.gate, g.gate, g.gate[1:]), r"co: expected size \d+, got"),
        (lambda k, p, g: k.use_isa("sse9"), r"instruction set 'sse9': this build or this processor does not have it"),
    ],
)
def test_sizes_are_checked(call, message):
    graph = random_graph(0)

    with pytest.raises(ValueError, match=message):
        call(native.kernels, compiled.plan_of(graph).kernel_plan, graph)


def run(code, **environment):
    """Run code beside the netgraph under test: the folder that Python runs in comes first on its path."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("NETGRAPH_")}
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=Path(ng.__file__).parents[1],
        env=inherited | environment,
        capture_output=True,
        text=True,
        check=False,
    )


HIDE = "import sys; sys.modules['netgraph._native'] = None\n"
SHOW = "import netgraph.native, netgraph.reach; print(netgraph.reach.passes.__name__)"


def test_native_0_forces_the_reference():
    assert run(SHOW, NETGRAPH_NATIVE="0").stdout.strip() == "netgraph.reference"


def test_a_missing_module_is_warned_of_once():
    result = run(HIDE + SHOW + "\nimport netgraph")

    assert result.stdout.strip() == "netgraph.reference"
    assert result.stderr.count("RuntimeWarning: netgraph runs on numpy alone") == 1


def test_native_1_wants_the_module():
    result = run(HIDE + SHOW, NETGRAPH_NATIVE="1")

    assert result.returncode == 1
    assert "ImportError: netgraph._native is missing, and NETGRAPH_NATIVE=1 asks for it" in result.stderr


def test_other_settings_are_refused():
    result = run(SHOW, NETGRAPH_NATIVE="yes")

    assert "ValueError: NETGRAPH_NATIVE: expected 0, 1 or nothing, got 'yes'" in result.stderr


@needs_kernels
def test_isa_is_chosen_by_the_environment():
    code = "from netgraph import native; print(native.kernels.isa())"

    assert run(code, NETGRAPH_ISA="generic").stdout.strip() == "generic"
    assert "instruction set 'sse9'" in run(code, NETGRAPH_ISA="sse9").stderr
