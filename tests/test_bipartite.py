"""Generators of layers: degrees on both sides, and equal numbers of paths through a RadiX-Net."""

from math import prod

import numpy as np
import pytest

import netgraph as ng
from netgraph.generators import biregular, radix_net, random_d_out

SHAPES = [(6, 4, 3), (5, 7, 2), (7, 5, 6), (1, 3, 1), (3, 1, 2), (64, 128, 9), (10, 10, 10), (10, 10, 0), (33, 20, 16)]


@pytest.mark.parametrize(("n_sources", "n_targets", "degree"), SHAPES)
@pytest.mark.parametrize("seed", range(3))
def test_biregular_layers(n_sources, n_targets, degree, seed):
    layer = biregular(n_sources, n_targets, degree, seed=seed)
    out_degrees = layer.sum(axis=0)

    assert layer.shape == (n_targets, n_sources)
    assert set(layer.sum(axis=1).tolist()) == {degree}
    assert out_degrees.max() - out_degrees.min() == (n_targets * degree % n_sources > 0)


@pytest.mark.parametrize(("n_sources", "n_targets", "degree"), [(6, 4, 3), (4, 6, 3), (5, 5, 2), (5, 9, 9), (5, 9, 0)])
def test_the_smaller_side_of_an_x_net_layer_has_one_degree(n_sources, n_targets, degree):
    layer = random_d_out(n_sources, n_targets, degree, seed=0)

    assert layer.shape == (n_targets, n_sources)
    assert set(layer.sum(axis=int(n_targets <= n_sources)).tolist()) == {degree}


@pytest.mark.parametrize("make", [biregular, random_d_out])
def test_the_same_seed_gives_the_same_layer(make):
    np.testing.assert_array_equal(make(20, 12, 5, seed=1), make(20, 12, 5, seed=1))

    assert (make(20, 12, 5, seed=1) != make(20, 12, 5, seed=2)).any()


@pytest.mark.parametrize(
    ("radices", "widths"),
    [
        ([(2, 2)], (1, 1, 1)),
        ([(2, 3)], (1, 2, 3)),
        ([(4, 2), (2, 4)], (1,) * 5),
        ([(6,), (2, 3), (3,)], (1, 2, 1, 3, 1)),
    ],
)
def test_a_radix_net_has_equally_many_paths_between_all_pairs(radices, widths):
    graph = radix_net(radices, widths)
    names = list(graph.layers)
    paths = np.linalg.multi_dot(
        [ng.to_biadjacency(graph, a, b).astype(int) for a, b in zip(names[-2::-1], names[:0:-1], strict=True)]
        + ([np.eye(graph.layers["layer0"], dtype=int)])
    )
    n_nodes = prod(radices[0])

    assert list(graph.layers.values()) == [width * n_nodes for width in widths]
    assert (paths == paths[0, 0]).all()
    assert paths[0, 0] == prod(r for own in radices for r in own) * prod(widths[1:-1]) // n_nodes


def test_degrees_of_a_radix_net():
    layer = ng.to_biadjacency(radix_net([(3, 2)], (2, 1, 1)), "layer0", "layer1")

    assert set(layer.sum(axis=1).tolist()) == {6}
    assert set(layer.sum(axis=0).tolist()) == {3}
