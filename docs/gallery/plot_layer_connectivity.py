"""
Kept, and kept for nothing
==========================

How much of a random mask works? LeNet-300-100 is pruned at random at ever higher compression, with the same density in
every layer, with ERK densities and with IGQ densities. Without training, from a few masks of each kind, the picture
tells how many of the kept weights lie on a path from the input to the output.
"""

# %%
# The network is traced once. Masks then only change which bits of the graph are set, through
# :func:`prune_adapters.to_graph` with ``masks=``.

import matplotlib.pyplot as plt
import numpy as np
import torch
from torch import nn

import netgraph as ng
import prune_adapters as pa

model = nn.Sequential(nn.Linear(784, 300), nn.ReLU(), nn.Linear(300, 100), nn.ReLU(), nn.Linear(100, 10))
example = torch.zeros(1, 784)
compressions = np.array([3, 10, 30, 100, 300, 1000])
kinds = {"uniform": "layer", "ERK": "erk", "IGQ": "igq"}


def working(scope: str, compression: float, seed: int) -> tuple[float, float]:
    """Return the share of kept weights that are consistent, and the effective compression."""
    scores = pa.random_scores(model, seed=seed)
    masks = pa.masks_from_scores(scores, sparsity=1 - 1 / compression, scope=scope)
    graph = pa.to_graph(model, example, masks=masks)
    effective = ng.effective_density(graph)
    return effective / ng.density(graph), 1 / effective if effective else np.inf


# %%
# Three masks of each kind at each compression.

found = {
    kind: np.array([[working(s, c, seed) for seed in range(3)] for c in compressions]) for kind, s in kinds.items()
}
for kind, own in found.items():
    print(kind, " ".join(f"{share:.0%}" for share in own[..., 0].mean(axis=1)))

# %%
# Left: the share that works. Right: the compression that one gets for the one that was asked for.

figure, (left, right) = plt.subplots(ncols=2, figsize=(9, 3.6), layout="constrained")
for (kind, own), color, marker in zip(found.items(), ("#D55E00", "#0072B2", "#009E73"), "o^s", strict=True):
    left.plot(compressions, 100 * own[..., 0].mean(axis=1), color=color, marker=marker, label=kind)
    right.plot(compressions, np.median(own[..., 1], axis=1), color=color, marker=marker)
right.plot(compressions, compressions, color="#777777", linewidth=1, zorder=0)
right.annotate("all that is kept works", (30, 24), color="#777777", va="top")
left.set_ylabel("kept weights on a path, %")
right.set_ylabel("effective compression")
right.set_yscale("log")
left.legend(frameon=False)
for ax in (left, right):
    ax.set_xscale("log")
    ax.set_xlabel("compression that was asked for")
    ax.spines[["top", "right"]].set_visible(False)
plt.show()
