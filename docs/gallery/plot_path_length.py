"""
From the graph to the network: who hears of whom?
=================================================

A network repeats its node graph in every layer. How many layers does it take until every output depends on every input?
That is where short paths could help, and it can be measured without training anything.
"""

# %%
# Four graphs of 64 nodes and degree 4, which keep 6 % of the weights each: a ring, the ring after 3 and 12 double edge
# swaps, and a searched one.

import matplotlib.pyplot as plt
import torch
from torch import nn

import netgraph as ng
import prune_adapters as pa

ring = ng.generators.circulant(64, degree=4)
graphs = [ring, ng.swap_edges(ring, nswap=3, seed=1), ng.swap_edges(ring, nswap=12, seed=1)]
graphs.append(ng.shorten(ring, steps=10_000, seed=0).graph)
depths = range(1, 9)


def reached(graph: ng.NodeGraph, depth: int) -> float:
    """Return the share of pairs of an input and an output that a path joins."""
    model = nn.Sequential(*[nn.Linear(64, 64) for _ in range(depth)])
    masks = pa.regular_masks(model, torch.zeros(1, 64), graph, dense=())
    return ng.input_output_reachable_fraction(pa.to_graph(model, torch.zeros(1, 64), masks=masks))


# %%
# Left: reach against depth. Right: how far apart the nodes of the graph are, from which the left side follows.

figure, (left, right) = plt.subplots(ncols=2, figsize=(9, 3.6), layout="constrained")
for graph, color, marker in zip(graphs, ("#D55E00", "#E69F00", "#56B4E9", "#0072B2"), "os^v", strict=True):
    label = f"{ng.average_shortest_path_length(graph):.2f} hops"
    left.plot(depths, [100 * reached(graph, depth) for depth in depths], color=color, marker=marker, label=label)
    shares = ng.distance_histogram(graph)[1:] / (64 * 63)
    right.plot(range(1, len(shares) + 1), 100 * shares, color=color, marker=marker)
left.set_xlabel("layers of the network")
left.set_ylabel("pairs of input and output joined, %")
left.legend(title="mean path length", frameon=False)
right.set_xlabel("hops between two nodes")
right.set_ylabel("pairs of nodes, %")
for ax in (left, right):
    ax.spines[["top", "right"]].set_visible(False)
plt.show()

# %%
# Whether a task gains from it is another question: ``examples/plot_path_length_vs_accuracy.py``.
