"""How many weights a graph keeps, plainly and effectively.

All counts are of parameter elements: an element is counted once however often the network uses it, and it is kept
(or consistent) if one of its uses is.

    density             kept / all elements of the edge parameters
    sparsity            1 - density
    compression ratio   all / kept
    effective ...       the same with consistent elements in place of kept ones: that of ``trim(graph)``

References
----------
Vysogorets and Kempe (2023), "Connectivity Matters: Neural Network Pruning Through the Lens of Effective Sparsity",
Journal of Machine Learning Research 24(99): effective sparsity and effective compression. Here products, gates and
shifts count too: what is consistent is what `netgraph.reach` says.
"""

from netgraph.size.measures import (
    compression_ratio,
    density,
    effective_compression_ratio,
    effective_density,
    effective_sparsity,
    sparsity,
)
from netgraph.size.rows import SizeRow, layer_sizes, parameter_sizes

__all__ = [
    "SizeRow",
    "compression_ratio",
    "density",
    "effective_compression_ratio",
    "effective_density",
    "effective_sparsity",
    "layer_sizes",
    "parameter_sizes",
    "sparsity",
]
