"""NodeGraph: edges in any order give one canonical graph; what is no simple graph is an error."""

import networkx as nx
import numpy as np
import pytest
from scipy.sparse import csr_array

from netgraph import GraphStructureError, NodeGraph

SQUARE = [(0, 1), (1, 2), (2, 3), (3, 0)]


def test_drawn():
    graph = NodeGraph.from_edges(4, [(2, 0), (0, 1)])

    assert graph.offsets.tolist() == [0, 2, 3, 4, 4]
    assert graph.targets.tolist() == [1, 2, 0, 0]
    assert graph.edges().tolist() == [[0, 1], [0, 2]]
    assert graph.degrees.tolist() == [2, 1, 1, 0]
    assert (graph.n_nodes, graph.n_edges, graph.is_regular) == (4, 2, False)
    assert repr(graph) == "NodeGraph: 4 nodes, 2 edges, degrees 0 to 2"


def test_all_makers_agree():
    graph = NodeGraph.from_edges(4, SQUARE)

    assert graph == NodeGraph.from_edges(4, np.array(SQUARE)[::-1, ::-1])
    assert graph == NodeGraph.from_neighbours([[3, 1], [0, 2], [1, 3], [2, 0]])
    assert graph == NodeGraph.from_adjacency(graph.adjacency())
    assert graph == NodeGraph.from_adjacency(csr_array(graph.adjacency().astype(float)))
    assert graph == NodeGraph.from_networkx(graph.to_networkx())
    assert hash(graph) == hash(NodeGraph.from_edges(4, SQUARE[::-1]))
    assert graph != NodeGraph.from_edges(4, SQUARE[1:])


@pytest.mark.parametrize("seed", range(5))
def test_networkx_graphs_come_back(seed):
    G = nx.gnm_random_graph(20, 50, seed=seed)
    graph = NodeGraph.from_networkx(G)

    assert nx.utils.graphs_equal(graph.to_networkx(), G)
    np.testing.assert_array_equal(graph.adjacency(), nx.to_numpy_array(G) > 0)


def test_graphs_without_nodes_or_edges():
    assert repr(NodeGraph.from_edges(0, [])) == "NodeGraph: 0 nodes, 0 edges, degrees 0"
    assert repr(NodeGraph.from_edges(3, [])) == "NodeGraph: 3 nodes, 0 edges, 0-regular"
    assert NodeGraph.from_edges(3, []).neighbours.shape == (3, 0)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: NodeGraph.from_edges(3, [(0, 3)]), "expected nodes 0 to 2, got 0 to 3"),
        (lambda: NodeGraph.from_edges(3, [(1, 1)]), "node 1 is its own neighbour"),
        (lambda: NodeGraph.from_edges(3, [(0, 1), (1, 0)]), "node 0: neighbour 1 stands twice"),
        (lambda: NodeGraph.from_adjacency([[0, 1, 0], [1, 0, 0]]), r"square matrix, got shape \(2, 3\)"),
        (lambda: NodeGraph.from_adjacency([[0, 1], [0, 0]]), "edge 0 - 1: stands at node 0 only"),
        (lambda: NodeGraph.from_neighbours([[1], [0], [1]]), "edge 2 - 1: stands at node 2 only"),
        (lambda: NodeGraph(np.array([0, 2, 1]), np.array([1])), "offsets: expected to rise from 0 to 1"),
        (lambda: NodeGraph(np.array([0, 1, 2]), np.array([1, 2])), "expected nodes 0 to 1, got one outside"),
        (lambda: NodeGraph.from_networkx(nx.DiGraph([(0, 1)])), "got one that is directed"),
        (lambda: NodeGraph.from_networkx(nx.MultiGraph([(0, 1)])), "got one that is a multigraph"),
        (lambda: NodeGraph.from_edges(3, [(0, 1)]).neighbours, "regular graph, got degrees 0 to 1"),
    ],
)
def test_what_is_no_simple_graph(make, message):
    with pytest.raises(GraphStructureError, match=message):
        make()


def test_arrays_are_frozen():
    graph = NodeGraph.from_edges(4, SQUARE)

    with pytest.raises(ValueError, match="read-only"):
        graph.targets[0] = 2
