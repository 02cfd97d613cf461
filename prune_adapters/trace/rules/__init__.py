"""Rules by operator family; importing this package registers all of them."""

from prune_adapters.trace.rules import (
    attention,
    conv,
    einsum,
    elementwise,
    embedding,
    indexing,
    joins,
    linear,
    norm,
    products,
    reduce,
    views,
)

__all__ = [
    "attention",
    "conv",
    "einsum",
    "elementwise",
    "embedding",
    "indexing",
    "joins",
    "linear",
    "norm",
    "products",
    "reduce",
    "views",
]
