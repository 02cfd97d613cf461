"""Plans: where the weights of a sparse layer are, in the tables that its operator wants."""

from prune_adapters.plans.block import BlockPlan
from prune_adapters.plans.pair import PairPlan
from prune_adapters.plans.sparse import SparsePlan
from prune_adapters.plans.tap import TapPlan

__all__ = ["BlockPlan", "PairPlan", "SparsePlan", "TapPlan"]
