"""Spectra and local structure: of node graphs, and of single layers read as bipartite graphs.

spectral_gap, normalised_gap, algebraic_connectivity, is_ramanujan      eigenvalues of node graphs
clustering, transitivity, four_cycles, small_worldness                  triangles and 4-cycles
ramanujan_gap, singular_gap, imdb, randomness, layer_scores             layers
"""

from netgraph.spectrum.clustering import SmallWorldness, clustering, four_cycles, small_worldness, transitivity
from netgraph.spectrum.gaps import algebraic_connectivity, is_ramanujan, normalised_gap, spectral_gap
from netgraph.spectrum.layers import LayerScores, imdb, layer_scores, ramanujan_gap, randomness, singular_gap

__all__ = [
    "LayerScores",
    "SmallWorldness",
    "algebraic_connectivity",
    "clustering",
    "four_cycles",
    "imdb",
    "is_ramanujan",
    "layer_scores",
    "normalised_gap",
    "ramanujan_gap",
    "randomness",
    "singular_gap",
    "small_worldness",
    "spectral_gap",
    "transitivity",
]
