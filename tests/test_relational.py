"""Relational graphs: channels split as in the papers' code, joined as their nodes are."""

import numpy as np
import pytest

import netgraph as ng
from netgraph.generators import circulant, complete

PATH = ng.NodeGraph.from_edges(3, [(0, 1), (1, 2)])


def compute_size(channels, nodes, seed):
    """The split of the papers: the first nodes get a channel more, then all are shuffled."""
    sizes = np.zeros(nodes, dtype=int)
    sizes[: channels % nodes] = channels // nodes + 1
    sizes[channels % nodes :] = channels // nodes
    return np.random.RandomState(seed).permutation(sizes)


@pytest.mark.parametrize(("channels", "nodes"), [(64, 64), (100, 64), (70, 16), (5, 3), (512, 64), (7, 1)])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_channels_are_split_as_in_the_papers(channels, nodes, seed):
    counts = ng.channel_counts(channels, nodes, seed=seed)

    np.testing.assert_array_equal(counts, compute_size(channels, nodes, seed))
    np.testing.assert_array_equal(np.bincount(ng.node_of_channel(channels, nodes, seed=seed)), counts)


def test_drawn():
    assert ng.relational_biadjacency(PATH, 3, 3).astype(int).tolist() == [[0, 1, 0], [1, 0, 1], [0, 1, 0]]
    assert ng.relational_biadjacency(PATH, 3, 3, self_loops=True).astype(int).tolist() == [
        [1, 1, 0],
        [1, 1, 1],
        [0, 1, 1],
    ]


@pytest.mark.parametrize(("targets", "sources"), [(64, 64), (100, 70), (65, 200)])
@pytest.mark.parametrize("self_loops", [False, True])
def test_channels_are_joined_as_their_nodes(targets, sources, self_loops):
    graph = circulant(64, degree=6)
    adjacency = graph.adjacency() | (self_loops * np.eye(64, dtype=bool))
    expected = adjacency.repeat(compute_size(sources, 64, 1), axis=1).repeat(compute_size(targets, 64, 1), axis=0)

    np.testing.assert_array_equal(ng.relational_biadjacency(graph, targets, sources, self_loops=self_loops), expected)


@pytest.mark.parametrize(("targets", "sources"), [(64, 128), (64, 71), (100, 64)])
def test_density(targets, sources):
    graph = circulant(64, degree=8)

    assert ng.relational_biadjacency(graph, targets, sources).mean() == 8 / 64
    assert ng.relational_biadjacency(graph, targets, sources, self_loops=True).mean() == 9 / 64


def test_a_complete_graph_with_self_loops_keeps_all():
    assert ng.relational_biadjacency(complete(8), 20, 9, self_loops=True).all()


@pytest.mark.parametrize(("targets", "sources"), [(2, 5), (5, 2), (0, 5)])
def test_a_layer_narrower_than_the_graph(targets, sources):
    with pytest.raises(
        ng.ChannelsBelowNodesError, match=r"channels for 3 nodes: .* smaller graph or leave this layer dense"
    ):
        ng.relational_biadjacency(PATH, targets, sources)
