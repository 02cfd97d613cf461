"""Seeded random graphs with every form of connection, for tests that compare two ways to one answer."""

import numpy as np

import netgraph as ng
from netgraph.bits import pack_rows

WIDTHS = (1, 2, 7, 31, 32, 33, 63, 64, 65, 128)
TAPS = (1, 1, 1, 3, 9, 49, 70)


def random_graph(seed, *, density=None, cyclic=False, products=True, layers=7):
    """Return a graph of random layers, connections, wiring, gates, shifts, inputs and outputs."""
    rng = np.random.default_rng(seed)
    sizes = {f"layer{i}": int(rng.choice(WIDTHS)) for i in range(layers)}
    names = list(sizes)
    multiplied = {n for n in names[2:-1] if products and rng.random() < 0.2}
    connections = []
    for position, target in enumerate(names[1:], start=1):
        before = names[:position]
        if target in multiplied:
            connections += _factors(rng, sizes, before, target)
            continue
        connections += [_weighted(rng, sizes, rng.choice(before), target) for _ in range(rng.integers(1, 3))]
        connections += [_wiring(rng, sizes, rng.choice(before), target) for _ in range(rng.integers(0, 3))]
    if cyclic:
        sums = [n for n in names if n not in multiplied]
        for _ in range(3):
            source, target = rng.choice(names), rng.choice(sums)
            connections.append(_weighted(rng, sizes, source, target, feedback=True))
            connections.append(_wiring(rng, sizes, source, target, feedback=True))
    return _with_random_bits(rng, sizes, connections, multiplied, density)


def _with_random_bits(rng, sizes, connections, multiplied, density):
    density = density or float(rng.choice([0.01, 0.05, 0.3]))
    weighted = [c for c in connections if isinstance(c, ng.Connection)]
    words = [pack_rows(rng.random((c.rows, c.width)) < density) for c in weighted]
    n = sum(sizes.values())
    last = next(reversed(sizes.values()))
    outputs = np.unique(np.concatenate([rng.integers(0, n, 2), np.arange(n - last, n)]))
    shift_density = rng.choice([0.0, 0.2, 1.0])
    return ng.NetGraph(
        sizes,
        connections,
        np.concatenate(words),
        np.arange(next(iter(sizes.values()))),
        outputs,
        products=frozenset(multiplied),
        gate=rng.random(n) < rng.choice([0.8, 1.0]),
        shift=rng.random(n) < shift_density,
    )


def _span(rng, size):
    """Return start and length of a random part of a layer."""
    if rng.random() < 0.6:
        return 0, size
    start = int(rng.integers(0, size))
    return start, int(rng.integers(1, size - start + 1))


def _weighted(rng, sizes, source, target, feedback=False):
    source_start, n_sources = _span(rng, sizes[source])
    target_start, rows = _span(rng, sizes[target])
    groups = 1
    if rng.random() < 0.4:
        groups = int(rng.choice([g for g in range(1, rows + 1) if rows % g == 0 and g <= n_sources]))
    columns, taps = n_sources // groups, int(rng.choice(TAPS))
    shape = (rows, columns, taps)
    return ng.Connection(
        f"w{rng.integers(10**9)}",
        str(source),
        str(target),
        *shape,
        groups=groups,
        index=_index(rng, shape, groups),
        source_start=source_start,
        target_start=target_start,
        feedback=feedback,
    )


def _index(rng, shape, groups):
    rows, columns, taps = shape
    kind = rng.integers(3)
    if kind == 0:
        return ng.ElementIndex(5, (rows // groups * columns * taps, columns * taps, taps, 1))
    if kind == 1:
        return ng.ElementIndex(0, (rows // groups, 1, rows * taps, rows))
    return np.random.default_rng(rows).permutation(rows * columns * taps).reshape(shape)


def _wiring(rng, sizes, source, target, feedback=False):
    source_start, n_sources = _span(rng, sizes[source])
    target_start, n_targets = _span(rng, sizes[target])
    if rng.random() < 0.3:
        pairs = np.stack([rng.integers(0, sizes[source], 20), rng.integers(0, sizes[target], 20)]).astype(np.int32)
        return ng.Wiring(str(source), str(target), 0, pairs=pairs, feedback=feedback)
    groups = int(rng.integers(1, min(n_sources, n_targets) + 1))
    return ng.Wiring(
        str(source),
        str(target),
        groups,
        fan_in=n_sources // groups,
        fan_out=n_targets // groups,
        source_start=source_start,
        target_start=target_start,
        feedback=feedback,
    )


def _factors(rng, sizes, before, target):
    """Return wiring into a product layer: each unit has at most one source for each factor."""
    wiring = []
    for factor in range(int(rng.integers(1, 4))):
        source = str(rng.choice(before))
        if rng.random() < 0.3:
            n = min(5, sizes[target])
            targets = rng.choice(sizes[target], size=n, replace=False)
            pairs = np.stack([rng.integers(0, sizes[source], n), targets]).astype(np.int32)
            wiring.append(ng.Wiring(source, target, 0, pairs=pairs, factor=factor))
            continue
        groups = min(sizes[source], sizes[target])
        fan_out = max(sizes[target] // groups, 1)
        wiring.append(ng.Wiring(source, target, groups, fan_out=fan_out, factor=factor))
    return wiring
