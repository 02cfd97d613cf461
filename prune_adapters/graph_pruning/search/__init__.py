"""Searches over widths, all with the same budget, log and number of evaluations."""

from prune_adapters.graph_pruning.search.candidate import Evaluation, Objective, SearchResult
from prune_adapters.graph_pruning.search.cross_entropy import cross_entropy_search
from prune_adapters.graph_pruning.search.drawn import random_search, uniform_search
from prune_adapters.graph_pruning.search.evolution import evolution_search
from prune_adapters.graph_pruning.search.log import LoggedCandidate, SearchLog
from prune_adapters.graph_pruning.search.magnitude import l1_widths
from prune_adapters.graph_pruning.search.policy import policy_search
from prune_adapters.graph_pruning.search.states import aggregated_state, plain_state

__all__ = [
    "Evaluation",
    "LoggedCandidate",
    "Objective",
    "SearchLog",
    "SearchResult",
    "aggregated_state",
    "cross_entropy_search",
    "evolution_search",
    "l1_widths",
    "plain_state",
    "policy_search",
    "random_search",
    "uniform_search",
]
