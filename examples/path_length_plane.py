"""The plane of You et al.: graphs of any degree by clustering C and path length L, as networks of one size.

Their graphs are rings of many degrees, rewired with many probabilities (`ng.generators.ws_flex`), and have self-loops.
A graph with fewer edges gets a wider network, so that all keep as many weights as the dense one, the complete graph.

You, Leskovec, He and Xie, "Graph Structure of Neural Networks", ICML (2020), sections 3 and 4.
"""

from dataclasses import dataclass
from math import floor, sqrt
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from scipy.stats import t as student_t

import netgraph as ng

__all__ = ["Plane", "graphs_over_plane", "matched_width", "plot_plane"]

DRAWN_PER_GRAPH = 25
"""Graphs that are drawn for each that is taken."""
BLUE, ORANGE, GREY = "#0072B2", "#D55E00", "#777777"


@dataclass(frozen=True)
class Plane:
    """The graphs in columns: clustering, path lengths and accuracies (graphs x seeds, in per cent)."""

    clustering: np.ndarray
    lengths: np.ndarray
    accuracies: np.ndarray

    @property
    def means(self) -> np.ndarray:
        """Accuracy of each graph, over seeds."""
        return self.accuracies.mean(axis=1)

    @property
    def sweet(self) -> np.ndarray:
        """Which graphs are not significantly worse than the best: one-sided t-test, p >= 0.05, as in the paper."""
        n_seeds, variance = self.accuracies.shape[1], _spread(self.accuracies) ** 2
        away = self.means - self.means.max()
        error = np.sqrt((variance + variance[self.means.argmax()]) / n_seeds)
        ratio = np.divide(away, error, out=np.where(away < 0, -np.inf, 0.0), where=error > 0)
        return student_t.cdf(ratio, max(2 * n_seeds - 2, 1)) >= 0.05


def graphs_over_plane(n_nodes: int, count: int, *, seed: int = 0) -> list[ng.NodeGraph]:
    """Return the complete graph, and others spread over clustering and path length, each far from those before."""
    degrees = np.linspace(2, sqrt(n_nodes - 2), 5 * count) ** 2
    probabilities = np.random.default_rng(seed).permutation(np.linspace(0, 1, DRAWN_PER_GRAPH * count) ** 2)
    drawn = [
        ng.generators.ws_flex(n_nodes, float(degree), float(probability), seed=seed + place)
        for place, (degree, probability) in enumerate(
            zip(np.resize(degrees, len(probabilities)), probabilities, strict=True)
        )
    ]
    every = [ng.generators.complete(n_nodes), *drawn]
    place = np.array([(ng.spectrum.clustering(g), ng.average_shortest_path_length(g)) for g in every])
    place = (place - place.min(axis=0)) / np.ptp(place, axis=0)
    chosen, nearest = [0], np.full(len(every), np.inf)
    while len(chosen) < count:
        nearest = np.minimum(nearest, np.linalg.norm(place - place[chosen[-1]], axis=1))
        chosen.append(int(nearest.argmax()))
    return [every[number] for number in chosen]


def matched_width(graph: ng.NodeGraph, inputs: int, depth: int, classes: int, dense_width: int) -> int:
    """Return the width of a network of `depth` hidden layers that keeps the weights of a dense one of `dense_width`.

    The first and the last layer are dense; the others keep a block for each edge, in both directions, and self-loop.
    """
    share = (2 * graph.n_edges + graph.n_nodes) / graph.n_nodes**2
    masked, ends = share * (depth - 1), inputs + classes
    budget = ends * dense_width + (depth - 1) * dense_width**2
    return floor((sqrt(ends**2 + 4 * masked * budget) - ends) / (2 * masked))


def plot_plane(plane: Plane, title: str, path: Path) -> None:
    """Draw the plane coloured by accuracy, and accuracy against both measures, as PNG and PDF."""
    figure, (ax, *others) = plt.subplots(ncols=3, figsize=(13, 4.6), width_ratios=[1.5, 1, 1], layout="constrained")
    low, high = np.percentile(plane.means, [5, 100])
    dots = ax.scatter(
        plane.clustering, plane.lengths, c=plane.means, s=70, cmap="viridis", vmin=low, vmax=high, edgecolor="white"
    )
    figure.colorbar(dots, ax=ax, label="test accuracy, %, mean over seeds", extend="min")
    sweet, best = plane.sweet, plane.means.argmax()
    ax.scatter(
        plane.clustering[sweet],
        plane.lengths[sweet],
        s=130,
        facecolor="none",
        edgecolor=ORANGE,
        label="not worse than the best (p >= 0.05)",
    )
    ax.scatter(plane.clustering[best], plane.lengths[best], s=230, marker="*", color=ORANGE, label="best", zorder=3)
    ax.set(xlabel="clustering coefficient C", ylabel="mean path length L, hops")
    _note_dense(ax, plane.clustering[0], plane.lengths[0])
    figure.legend(loc="outside lower left", ncols=2, fontsize=9, frameon=False)
    for other, x, label in zip(
        others, (plane.clustering, plane.lengths), ("clustering coefficient C", "mean path length L, hops"), strict=True
    ):
        other.errorbar(
            x, plane.means, _spread(plane.accuracies), fmt="o", color=BLUE, ecolor=GREY, markersize=4, elinewidth=0.8
        )
        other.axhline(plane.means[0], color=ORANGE, linewidth=1, linestyle="--")
        other.annotate(
            "dense network",
            (1, plane.means[0]),
            xycoords=("axes fraction", "data"),
            xytext=(0, 3),
            textcoords="offset points",
            ha="right",
            color=ORANGE,
            fontsize=9,
        )
        other.set_xlabel(label)
    others[0].set_ylabel("test accuracy, % (bars: standard deviation)")
    for each in (ax, *others):
        each.grid(alpha=0.3)
        each.spines[["top", "right"]].set_visible(False)
    figure.suptitle(title, fontsize=11)
    for suffix in (".png", ".pdf"):
        figure.savefig(path.with_suffix(suffix), dpi=150)
    plt.close(figure)


def _note_dense(ax: plt.Axes, x: float, y: float) -> None:
    ax.annotate(
        "complete graph:\nthe dense network",
        (x, y),
        (12, 70),
        textcoords="offset points",
        ha="right",
        fontsize=9,
        color=GREY,
        arrowprops={"arrowstyle": "-", "color": GREY},
    )


def _spread(accuracies: np.ndarray) -> np.ndarray:
    return accuracies.std(axis=1, ddof=1) if accuracies.shape[1] > 1 else np.zeros(len(accuracies))
