"""From a PyTorch model to the graph of its units.

A model is captured as a tape of operator calls (`capture` by torch.export, `follow` by running it). `replay` sends each
call to its rule (`rules`, by operator family), the rules collect layers and connections in a `builder`, and `finish`
turns them into a `NetGraph`.
"""

from prune_adapters.trace import rules
from prune_adapters.trace.registry import Operation, known_operators, register_rule
from prune_adapters.trace.tracer import to_graph

__all__ = ["Operation", "known_operators", "register_rule", "rules", "to_graph"]
