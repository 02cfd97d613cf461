"""
How short can a regular graph be?
=================================

A mask from a regular graph keeps the share degree / nodes of every layer. For 64 nodes and several degrees: the ring, a
random graph, what algebra gives at once and what a short search makes of it, against the bound that no graph beats.
"""

# %%
# :func:`netgraph.shorten` exchanges the ends of pairs of edges, so that all degrees stay.

import matplotlib.pyplot as plt
import numpy as np

import netgraph as ng

N = 64
degrees = [4, 6, 8, 10, 12, 16]
kinds = {
    "ring": lambda degree: ng.generators.circulant(N, degree=degree),
    "random": lambda degree: ng.generators.random_regular(N, degree, seed=0),
    "algebra": lambda degree: ng.generators.best_known(N, degree, seed=0),
    "searched": lambda degree: ng.shorten(ng.generators.best_known(N, degree, seed=0), steps=10_000, seed=0).graph,
}
graphs = {kind: [make(degree) for degree in degrees] for kind, make in kinds.items()}
bound = np.array([ng.aspl_lower_bound(N, degree) for degree in degrees])

# %%
# At the highest degrees the bound is reached: all graphs of diameter 2 have the same mean path length, and there is
# nothing left to gain.

figure, (left, right) = plt.subplots(ncols=2, figsize=(9, 3.6), layout="constrained")
for (kind, own), color, marker in zip(
    graphs.items(), ("#777777", "#D55E00", "#009E73", "#0072B2"), "os^v", strict=True
):
    lengths = np.array([ng.average_shortest_path_length(graph) for graph in own])
    left.plot(degrees, lengths, color=color, marker=marker, label=kind)
    if kind != "ring":
        right.plot(degrees, 100 * (lengths / bound - 1), color=color, marker=marker)
left.plot(degrees, bound, color="black", linestyle="--", linewidth=1, label="bound")
left.set_ylabel("mean path length, hops")
right.set_ylabel("above the bound, %")
left.legend(frameon=False)
for ax in (left, right):
    ax.set_xlabel("degree")
    ax.set_xticks(degrees, [f"{degree}\n{degree / N:.0%} kept" for degree in degrees], fontsize=8)
    ax.spines[["top", "right"]].set_visible(False)
plt.show()

# %%
# The mask of a layer of 128 inputs and 96 outputs, from the shortest graph of degree 6.

chosen = graphs["searched"][1]
figure, axes = plt.subplots(ncols=2, figsize=(9, 3.6), layout="constrained")
for ax, graph, title in zip(axes, (graphs["ring"][1], chosen), ("ring", "searched"), strict=True):
    ax.imshow(ng.relational_biadjacency(graph, 96, 128), cmap="Blues", interpolation="nearest", aspect="auto")
    ax.set_title(f"{title}: {ng.average_shortest_path_length(graph):.2f} hops", fontsize=10)
    ax.set_xlabel("inputs")
axes[0].set_ylabel("outputs")
plt.show()
