"""Scores: one number for each weight, higher = keep.

A set of scores is a dictionary ``{parameter name: float tensor of the parameter's shape}`` in the order of
``named_parameters()``. `prune_adapters.select` turns it into masks; any other source of scores will do as well.

Scored by default are all edge parameters but embedding tables. Only a graph knows the edge parameters for certain;
without one they are the weights of two or more dimensions that are no table, no gain of a norm and no bias.

magnitude_scores, random_scores    from the weights alone
snip_scores, grasp_scores          from gradients of a loss: what removing a weight does to the loss, to its gradient
synflow_scores, synflow_prune      from gradients without data: the share of a weight in the flow of a positive network
path_scores                        the same share by the paths of the graph, of any network
"""

from prune_adapters.scores.grasp import grasp_scores
from prune_adapters.scores.paths import path_scores
from prune_adapters.scores.plain import magnitude_scores, random_scores
from prune_adapters.scores.snip import snip_scores
from prune_adapters.scores.synflow import synflow_prune, synflow_scores

__all__ = [
    "grasp_scores",
    "magnitude_scores",
    "path_scores",
    "random_scores",
    "snip_scores",
    "synflow_prune",
    "synflow_scores",
]
