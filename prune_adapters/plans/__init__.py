"""Plans: where the weights of a sparse layer are, in the tables that its operator wants."""

from prune_adapters.plans.pair import PairPlan
from prune_adapters.plans.sparse import SparsePlan
from prune_adapters.plans.tap import TapPlan

__all__ = ["PairPlan", "SparsePlan", "TapPlan"]
