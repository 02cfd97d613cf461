"""Node graphs of every kind: lattices, random graphs, algebraic graphs with short paths, and bipartite layers.

    circulant, cycle, complete, grid, hypercube, generalised_petersen       without chance
    random_regular, ws_flex, watts_strogatz, erdos_renyi, barabasi_albert, tree
    affine_polarity, polarity, mckay_miller_siran, hoffman_singleton, cayley, search_cayley
    refill, resize                                                          regular graphs of any size from these
    best_known                                                              the best of all for (nodes, degree)
    biregular, random_d_out, radix_net                                      layers of a network

The same seed gives the same graph.
"""

from netgraph.generators.affine import affine_polarity
from netgraph.generators.algebraic import hoffman_singleton, mckay_miller_siran, polarity
from netgraph.generators.best import best_known
from netgraph.generators.bipartite import biregular, random_d_out
from netgraph.generators.cayley_graphs import cayley, search_cayley
from netgraph.generators.flexible_ring import ws_flex
from netgraph.generators.lattices import circulant, complete, cycle, generalised_petersen, grid, hypercube
from netgraph.generators.radix import radix_net
from netgraph.generators.random_graphs import barabasi_albert, erdos_renyi, random_regular, tree, watts_strogatz
from netgraph.generators.resizing import refill, resize

__all__ = [
    "affine_polarity",
    "barabasi_albert",
    "best_known",
    "biregular",
    "cayley",
    "circulant",
    "complete",
    "cycle",
    "erdos_renyi",
    "generalised_petersen",
    "grid",
    "hoffman_singleton",
    "hypercube",
    "mckay_miller_siran",
    "polarity",
    "radix_net",
    "random_d_out",
    "random_regular",
    "refill",
    "resize",
    "search_cayley",
    "tree",
    "watts_strogatz",
    "ws_flex",
]
