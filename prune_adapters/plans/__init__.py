"""Plans: where the weights of a sparse layer are, in the tables that its operator wants."""

from prune_adapters.plans.sparse import SparsePlan

__all__ = ["SparsePlan"]
